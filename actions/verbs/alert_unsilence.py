"""`alert.unsilence`: end a silence of ours before its time; the undo of `alert.silence`."""

from actions._contract import Parameters, Undo
from actions.verbs._silence import Silence, SilenceVerb
from schemas import Json


class AlertUnsilence(SilenceVerb):
    name = "alert.unsilence"

    def undo(self, parameters: Parameters) -> Undo | None:
        return Undo("alert.silence", parameters.model_dump(mode="json"))

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Silence)
        return {"until_s": parameters.until_s}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"until_s": 0}


PLUGIN = AlertUnsilence
