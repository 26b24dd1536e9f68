"""`kubernetes.rollback`: give a Deployment the pod template of an earlier revision that it still has.

Revisions are named by the hash of their pod template and not by their number, because a rollback gives the old
template a new number; so the undo, and the undo of the undo, stay exact. Where GitOps owns the Deployment use
`gitops.revert`: the cluster would be set back to what git says.
"""

from collections.abc import Mapping

from pydantic import Field, model_validator

from actions._contract import Declared, EffectClass, Parameters, Risk, Undo
from schemas import Json


class Rollback(Parameters):
    namespace: str = Field(min_length=1)
    deployment: str = Field(min_length=1)
    from_hash: str = Field(pattern="^[a-z0-9]{1,20}$")
    """Label `pod-template-hash` of what runs now."""
    to_hash: str = Field(pattern="^[a-z0-9]{1,20}$")

    @model_validator(mode="after")
    def _moves(self) -> "Rollback":
        if self.from_hash == self.to_hash:
            raise ValueError(f"from_hash and to_hash are both '{self.to_hash}'")
        return self


class KubernetesRollback(Declared):
    name = "kubernetes.rollback"
    parameters: type[Parameters] = Rollback
    risk: Risk = "medium"
    is_reversible = True
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = (
        "kubernetes: get and patch deployments of the namespace",
        "kubernetes: list replicasets of the namespace",
    )
    owner = "platform"
    settle_s = 300
    capacity_floor = 0.5
    selectors = ("namespace", "deployment", "from_hash", "to_hash")

    def undo(self, parameters: Parameters) -> Undo | None:
        assert isinstance(parameters, Rollback)
        back = {"from_hash": parameters.to_hash, "to_hash": parameters.from_hash}
        return Undo(self.name, parameters.model_dump(mode="json") | back)

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Rollback)
        return {"template": parameters.from_hash}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Rollback)
        return {"template": parameters.to_hash}

    def taken(self, parameters: Parameters, state: Mapping[str, Json]) -> int:
        most = state.get("max_unavailable")
        return most if isinstance(most, int) else 1_000_000  # unknown is everything


PLUGIN = KubernetesRollback
