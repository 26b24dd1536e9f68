"""`kubernetes.restart`: restart the pods of a Deployment one after the other, as `kubectl rollout restart` does.

The restart has a name, which is written into the pod template: the same name twice restarts once. A Deployment that is
rolling already is left alone. Pods that are gone cannot be brought back, so there is no undo, and what was in flight
is lost where the service does not drain.
"""

from collections.abc import Mapping

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk
from schemas import Json


class Restart(Parameters):
    namespace: str = Field(min_length=1)
    deployment: str = Field(min_length=1)
    restart_id: str = Field(pattern="^[A-Za-z0-9._:-]{1,100}$")
    """Names this restart; for example the id of the incident."""


class KubernetesRestart(Declared):
    name = "kubernetes.restart"
    parameters: type[Parameters] = Restart
    risk: Risk = "medium"
    is_reversible = False
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = ("kubernetes: get and patch deployments of the namespace",)
    owner = "platform"
    settle_s = 180
    capacity_floor = 0.5
    selectors = ("namespace", "deployment", "restart_id")

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Restart)
        return {"restart_id": parameters.restart_id}

    def taken(self, parameters: Parameters, state: Mapping[str, Json]) -> int:
        most = state.get("max_unavailable")
        return most if isinstance(most, int) else 1_000_000  # unknown is everything

    def limit(self, parameters: Parameters, state: Mapping[str, Json]) -> str | None:
        return "its pods are being replaced already" if state.get("is_rolling") is not False else None


PLUGIN = KubernetesRestart
