"""`notify.owner`: tell the people who own a service what was found and why nothing else is proposed.

It changes no system, so there is nothing to undo, although a message cannot be unsaid. The key of the action makes
a repeat harmless at receivers that dedupe.
"""

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk
from schemas import Json


class Notice(Parameters):
    service: str = Field(min_length=1)
    incident: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    """Why people are asked: a stable code, for example ABSTAINED or NO_RUNBOOK."""


class NotifyOwner(Declared):
    name = "notify.owner"
    parameters: type[Parameters] = Notice
    risk: Risk = "none"
    is_reversible = False
    effect_class: EffectClass = "keyed"
    permissions: tuple[str, ...] = ()
    owner = "platform"

    evidence_limit_s = 3600
    settle_s = 0
    target_kinds = ("service", "instance", "deployment", "host", "node")
    selectors = ("service",)

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_told": True}


PLUGIN = NotifyOwner
