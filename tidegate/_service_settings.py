"""Settings of services: what decisions should know of them that telemetry does not say."""

from pydantic import Field, field_validator, model_validator

from actions import Hours, HumanClass, PolicyError, ServiceProfile, Tier
from schemas import Json
from tidegate._section import Section


class Workload(Section):
    """The Deployment of a service, for runbooks that restart or scale it, or the CronJob that is run again."""

    namespace: str = Field(min_length=1)
    deployment: str | None = Field(default=None, min_length=1)
    cronjob: str | None = Field(default=None, min_length=1)
    replicas: int | None = Field(default=None, ge=1)
    """On an ordinary day."""
    replicas_raised: int | None = Field(default=None, ge=1)
    """For a while; both numbers are needed before anything is scaled."""

    @model_validator(mode="after")
    def _is_something(self) -> "Workload":
        if self.deployment is None and self.cronjob is None:
            raise ValueError("give `deployment`, `cronjob` or both")
        return self


class Pool(Section):
    """The connections of a service to PostgreSQL, for runbooks that raise their limit for a while."""

    server: str = Field(min_length=1)
    """Entity id of the server: `default/service/orders-db`."""
    role: str = Field(min_length=1)
    limit: int = Field(ge=1)
    raised: int = Field(ge=1)
    """At most 80 % of what the server has, which is checked there once more."""


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
    kubernetes: Workload | None = None
    pool: Pool | None = None

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
        return ServiceProfile(self.tier, self.labels, self.human_only, hours, self._facts())

    def _facts(self) -> dict[str, Json]:
        """What runbooks may refer to; what is not said is absent."""
        facts: dict[str, Json] = {}
        if self.kubernetes is not None:
            facts |= self.kubernetes.model_dump(mode="json", exclude_none=True)
        if self.pool is not None:
            facts |= {f"pool_{name}": value for name, value in self.pool.model_dump(mode="json").items()}
        return facts
