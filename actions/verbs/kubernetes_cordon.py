"""`kubernetes.cordon`: no new pods on one node; what runs there goes on.

A third of the nodes may be closed at most: where more look ill, the telemetry is the likelier fault.
"""

from collections.abc import Mapping

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk, Undo
from schemas import Json


class Node(Parameters):
    node: str = Field(min_length=1)


class KubernetesCordon(Declared):
    name = "kubernetes.cordon"
    parameters: type[Parameters] = Node
    risk: Risk = "low"
    is_reversible = True
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = ("kubernetes: get, list and patch nodes",)
    owner = "platform"
    settle_s = 60
    capacity_floor = 0.66
    target_kinds = ("host", "node")
    selectors = ("node",)

    def undo(self, parameters: Parameters) -> Undo | None:
        return Undo("kubernetes.uncordon", parameters.model_dump(mode="json"))

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_schedulable": True}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_schedulable": False}

    def taken(self, parameters: Parameters, state: Mapping[str, Json]) -> int:
        return 1


PLUGIN = KubernetesCordon
