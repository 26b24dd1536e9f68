"""`kubernetes.cordon`: no new pods on one node; what runs there goes on.

A third of the nodes may be closed at most: where more look ill, the telemetry is the likelier fault.
"""

from collections.abc import Mapping

from actions._contract import Parameters, Undo
from actions.verbs._node import NodeVerb
from schemas import Json


class KubernetesCordon(NodeVerb):
    name = "kubernetes.cordon"
    capacity_floor = 0.66

    def undo(self, parameters: Parameters) -> Undo | None:
        return Undo("kubernetes.uncordon", parameters.model_dump(mode="json"))

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_schedulable": True}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_schedulable": False}

    def taken(self, parameters: Parameters, state: Mapping[str, Json]) -> int:
        return 1


PLUGIN = KubernetesCordon
