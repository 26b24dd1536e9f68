"""`kubernetes.uncordon`: open a node for new pods again; the undo of `kubernetes.cordon`."""

from actions._contract import Parameters, Undo
from actions.verbs._node import NodeVerb
from schemas import Json


class KubernetesUncordon(NodeVerb):
    name = "kubernetes.uncordon"

    def undo(self, parameters: Parameters) -> Undo | None:
        return Undo("kubernetes.cordon", parameters.model_dump(mode="json"))

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_schedulable": False}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_schedulable": True}


PLUGIN = KubernetesUncordon
