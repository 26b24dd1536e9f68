"""`kubernetes.scale`: set how many replicas a Deployment wants, from one absolute number to another.

Both numbers are said, so a repeat does nothing and the undo is exact. At most twice as many (or two more) at once and
never below half of what was wanted: a wrong number must not cost the service or the cluster.
"""

from collections.abc import Mapping

from pydantic import Field, model_validator

from actions._contract import Declared, EffectClass, Parameters, Risk, Undo
from schemas import Json


class Scale(Parameters):
    namespace: str = Field(min_length=1)
    deployment: str = Field(min_length=1)
    from_replicas: int = Field(ge=0)
    to_replicas: int = Field(ge=0)

    @model_validator(mode="after")
    def _moves(self) -> "Scale":
        if self.from_replicas == self.to_replicas:
            raise ValueError(f"from_replicas and to_replicas are both {self.to_replicas}")
        return self


class KubernetesScale(Declared):
    name = "kubernetes.scale"
    parameters: type[Parameters] = Scale
    risk: Risk = "low"
    is_reversible = True
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = ("kubernetes: get and patch deployments of the namespace",)
    owner = "platform"
    settle_s = 120
    capacity_floor = 0.5
    selectors = ("namespace", "deployment")

    def undo(self, parameters: Parameters) -> Undo | None:
        assert isinstance(parameters, Scale)
        back = {"from_replicas": parameters.to_replicas, "to_replicas": parameters.from_replicas}
        return Undo(self.name, parameters.model_dump(mode="json") | back)

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Scale)
        return {"replicas": parameters.from_replicas}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Scale)
        return {"replicas": parameters.to_replicas}

    def taken(self, parameters: Parameters, state: Mapping[str, Json]) -> int:
        assert isinstance(parameters, Scale)
        ready = state.get("ready")  # pods that are not ready go first
        return max(0, (ready if isinstance(ready, int) else parameters.from_replicas) - parameters.to_replicas)

    def limit(self, parameters: Parameters, state: Mapping[str, Json]) -> str | None:
        assert isinstance(parameters, Scale)
        most = max(2 * parameters.from_replicas, parameters.from_replicas + 2)
        if parameters.to_replicas > most:
            return f"from {parameters.from_replicas} replicas to {most} at most in one action"
        return None


PLUGIN = KubernetesScale
