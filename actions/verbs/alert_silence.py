"""`alert.silence`: keep one alert of one service quiet until a stated time, while its cause is being worked on.

It names one alert and one service exactly, never a pattern, and ends by itself: a silence that outlives its reason
hides the next incident.
"""

from collections.abc import Mapping

from actions._contract import Parameters, Undo
from actions.verbs._silence import Silence, SilenceVerb
from schemas import Json

LONGEST_S = 4 * 3600


class AlertSilence(SilenceVerb):
    name = "alert.silence"

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
