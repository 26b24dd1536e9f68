"""Settings of services: what decisions should know of them that telemetry does not say."""

from pydantic import Field, field_validator

from actions import Hours, HumanClass, PolicyError, ServiceProfile, Tier
from tidegate._section import Section


class Service(Section):
    """One service, by its plain name."""

    tier: Tier = "standard"
    """`critical`: a person always decides."""
    labels: frozenset[str] = frozenset()
    """Compliance labels, for example `pci`; rules name them."""
    human_only: frozenset[HumanClass] = frozenset()
    """Why changes to it are for people alone."""
    on_call: tuple[str, ...] = Field(default=(), max_length=50)
    """When somebody who answers for it is there, in UTC: `mon-fri 08:00-18:00`; always if empty."""

    @field_validator("on_call")
    @classmethod
    def _are_hours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                Hours.parse(text)
            except PolicyError as error:
                raise ValueError(str(error)) from error
        return value

    def profile(self) -> ServiceProfile:
        hours = tuple(Hours.parse(text) for text in self.on_call)
        return ServiceProfile(self.tier, self.labels, self.human_only, hours)
