"""`alert.unsilence`: end a silence of ours before its time; the undo of `alert.silence`."""

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk, Undo
from schemas import Json


class Silence(Parameters):
    alertname: str = Field(min_length=1)
    service: str = Field(min_length=1)
    until_s: int = Field(gt=0)
    """When it ends, in Unix seconds."""


class AlertUnsilence(Declared):
    name = "alert.unsilence"
    parameters: type[Parameters] = Silence
    risk: Risk = "low"
    is_reversible = True
    effect_class: EffectClass = "naturally_idempotent"
    permissions: tuple[str, ...] = ("alertmanager: read and write silences",)
    owner = "platform"
    settle_s = 0
    selectors = ("alertname", "service")

    def undo(self, parameters: Parameters) -> Undo | None:
        return Undo("alert.silence", parameters.model_dump(mode="json"))

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Silence)
        return {"until_s": parameters.until_s}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"until_s": 0}


PLUGIN = AlertUnsilence
