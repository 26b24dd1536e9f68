"""`flag.off`: switch one feature flag off in the repository that declares it; its default takes over."""

from actions._contract import Parameters, Risk, Undo
from actions.verbs._flag import FlagVerb
from schemas import Json


class FlagOff(FlagVerb):
    name = "flag.off"
    risk: Risk = "low"

    def undo(self, parameters: Parameters) -> Undo | None:
        return Undo("flag.on", parameters.model_dump(mode="json"))

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {"flag": "ENABLED"}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"flag": "DISABLED"}


PLUGIN = FlagOff
