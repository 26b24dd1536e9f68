"""`gitops.revert`: put the declared state of a service back to the version before one change.

The desired state lives in git, so the undo is the revert of the revert, and a conditional write (the branch must
still be where it was read) makes a repeat harmless. Absolute versions on both sides: it never says "one back".
"""

from pydantic import Field, model_validator

from actions._contract import Declared, EffectClass, Parameters, Risk, Undo
from schemas import Json


class Revert(Parameters):
    service: str = Field(min_length=1)
    change: str = Field(min_length=1)
    """Id of the change record that is reverted."""
    from_version: str = Field(min_length=1)
    """What runs now, and must still run when it is done."""
    to_version: str = Field(min_length=1)

    @model_validator(mode="after")
    def _moves(self) -> "Revert":
        if self.from_version == self.to_version:
            raise ValueError(f"from_version and to_version are both '{self.to_version}'")
        return self


class GitopsRevert(Declared):
    name = "gitops.revert"
    parameters: type[Parameters] = Revert
    risk: Risk = "medium"
    is_reversible = True
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = ("git: push to the deployment repository",)
    owner = "platform"
    settle_s = 300  # the source: error rates are watched for five minutes after a rollback
    selectors = ("service",)

    def undo(self, parameters: Parameters) -> Undo | None:
        assert isinstance(parameters, Revert)
        back = {"from_version": parameters.to_version, "to_version": parameters.from_version}
        return Undo(self.name, parameters.model_dump(mode="json") | back)

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Revert)
        return {"version": parameters.from_version}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Revert)
        return {"version": parameters.to_version}


PLUGIN = GitopsRevert
