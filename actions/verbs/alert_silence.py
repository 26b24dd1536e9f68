"""`alert.silence`: keep one alert of one service quiet until a stated time, while its cause is being worked on.

It names one alert and one service exactly, never a pattern, and ends by itself: a silence that outlives its reason
hides the next incident.
"""

from collections.abc import Mapping

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk, Undo
from schemas import Json

LONGEST_S = 4 * 3600


class Silence(Parameters):
    alertname: str = Field(min_length=1)
    service: str = Field(min_length=1)
    until_s: int = Field(gt=0)
    """When it ends, in Unix seconds."""


class AlertSilence(Declared):
    name = "alert.silence"
    parameters: type[Parameters] = Silence
    risk: Risk = "low"
    is_reversible = True
    effect_class: EffectClass = "naturally_idempotent"
    permissions: tuple[str, ...] = ("alertmanager: read and write silences",)
    owner = "platform"
    settle_s = 0
    selectors = ("alertname", "service")

    def undo(self, parameters: Parameters) -> Undo | None:
        return Undo("alert.unsilence", parameters.model_dump(mode="json"))

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {"until_s": 0}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Silence)
        return {"until_s": parameters.until_s}

    def limit(self, parameters: Parameters, state: Mapping[str, Json]) -> str | None:
        assert isinstance(parameters, Silence)
        now_s = state.get("now_s")
        if not isinstance(now_s, int) or not now_s < parameters.until_s <= now_s + LONGEST_S:
            return f"it would not end within {LONGEST_S // 3600} hours from now"
        return None


PLUGIN = AlertSilence
