"""`traffic.shift`: move a share of a service's traffic to or from its canary, in the steps 0, 10, 25, 50 per cent.

At most 25 points up at once and never more than half: a wrong canary is then seen by few. Taking traffic away from the
canary is free, because that is what one does in an emergency.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from actions._contract import Declared, EffectClass, Parameters, Risk, Undo
from schemas import Json

_AT_ONCE = 25  # the largest distance between two steps
Percent = Literal[0, 10, 25, 50]


class Shift(Parameters):
    service: str = Field(min_length=1)
    runtime_key: str = Field(pattern="^[A-Za-z0-9_.-]{1,200}$")
    """Where the proxy keeps the share, in per cent, that goes to the canary."""
    from_percent: Percent
    to_percent: Percent

    @model_validator(mode="after")
    def _moves(self) -> "Shift":
        if self.from_percent == self.to_percent:
            raise ValueError(f"from_percent and to_percent are both {self.to_percent}")
        return self


class TrafficShift(Declared):
    name = "traffic.shift"
    parameters: type[Parameters] = Shift
    risk: Risk = "medium"
    is_reversible = True
    effect_class: EffectClass = "naturally_idempotent"
    permissions: tuple[str, ...] = ("envoy: runtime and runtime_modify of the admin interface",)
    owner = "platform"
    settle_s = 60
    selectors = ("service", "runtime_key")

    def undo(self, parameters: Parameters) -> Undo | None:
        assert isinstance(parameters, Shift)
        back = {"from_percent": parameters.to_percent, "to_percent": parameters.from_percent}
        return Undo(self.name, parameters.model_dump(mode="json") | back)

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Shift)
        return {"percent": parameters.from_percent}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Shift)
        return {"percent": parameters.to_percent}

    def limit(self, parameters: Parameters, state: Mapping[str, Json]) -> str | None:
        assert isinstance(parameters, Shift)
        if parameters.to_percent - parameters.from_percent > _AT_ONCE:
            return f"more than {_AT_ONCE} points up at once"
        return None


PLUGIN = TrafficShift
