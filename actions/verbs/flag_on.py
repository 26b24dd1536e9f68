"""`flag.on`: switch a feature flag on again; the undo of `flag.off`."""

from actions._contract import Parameters, Risk, Undo
from actions.verbs._flag import FlagVerb
from schemas import Json


class FlagOn(FlagVerb):
    name = "flag.on"
    risk: Risk = "medium"

    def undo(self, parameters: Parameters) -> Undo | None:
        return Undo("flag.off", parameters.model_dump(mode="json"))

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {"flag": "DISABLED"}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"flag": "ENABLED"}


PLUGIN = FlagOn
