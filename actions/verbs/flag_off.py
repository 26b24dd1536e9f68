"""`flag.off`: switch one feature flag off in the repository that declares it; its default takes over."""

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk, Undo
from schemas import Json


class Flag(Parameters):
    service: str = Field(min_length=1)
    flag: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$")


class FlagOff(Declared):
    name = "flag.off"
    parameters: type[Parameters] = Flag
    risk: Risk = "low"
    is_reversible = True
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = ("git: push to the repository of the flags",)
    owner = "platform"
    settle_s = 120
    selectors = ("service", "flag")

    def undo(self, parameters: Parameters) -> Undo | None:
        return Undo("flag.on", parameters.model_dump(mode="json"))

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {"flag": "ENABLED"}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"flag": "DISABLED"}


PLUGIN = FlagOff
