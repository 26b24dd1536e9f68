"""`kubernetes.uncordon`: open a node for new pods again; the undo of `kubernetes.cordon`."""

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk, Undo
from schemas import Json


class Node(Parameters):
    node: str = Field(min_length=1)


class KubernetesUncordon(Declared):
    name = "kubernetes.uncordon"
    parameters: type[Parameters] = Node
    risk: Risk = "low"
    is_reversible = True
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = ("kubernetes: get, list and patch nodes",)
    owner = "platform"
    settle_s = 60
    target_kinds = ("host", "node")
    selectors = ("node",)

    def undo(self, parameters: Parameters) -> Undo | None:
        return Undo("kubernetes.cordon", parameters.model_dump(mode="json"))

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_schedulable": False}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_schedulable": True}


PLUGIN = KubernetesUncordon
