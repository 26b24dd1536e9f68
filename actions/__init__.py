"""The actions room: hypotheses to decisions to proposed changes. Verbs are plug-ins in `actions/verbs/`."""

from actions._contract import EffectClass, Parameters, Risk, Undo, Verb
from actions._decide import Decide, DecideSettings
from actions._decide_state import DecideState
from actions._errors import (
    ActionsError,
    ParametersInvalid,
    PolicyError,
    ReferenceUnresolved,
    RunbookError,
    SelectorInvalid,
    StateInvalid,
    UnknownVerb,
)
from actions._policies import NEUTRAL, Policies, Rule, load_policies
from actions._policies import run_cases as run_policy_cases
from actions._runbooks import REFERENCES, Runbook, Runbooks, load_runbooks
from actions._runbooks import run_cases as run_runbook_cases
from actions._verbs import Verbs, checked_target, digest_of, service_of

__all__ = [
    "NEUTRAL",
    "REFERENCES",
    "ActionsError",
    "Decide",
    "DecideSettings",
    "DecideState",
    "EffectClass",
    "Parameters",
    "ParametersInvalid",
    "Policies",
    "PolicyError",
    "ReferenceUnresolved",
    "Risk",
    "Rule",
    "Runbook",
    "RunbookError",
    "Runbooks",
    "SelectorInvalid",
    "StateInvalid",
    "Undo",
    "UnknownVerb",
    "Verb",
    "Verbs",
    "checked_target",
    "digest_of",
    "load_policies",
    "load_runbooks",
    "run_policy_cases",
    "run_runbook_cases",
    "service_of",
]
