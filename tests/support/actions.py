"""Small plans and ledgers for the tests of the actions room."""

import hashlib

from actions._contract import EffectClass
from actions._saga import Plan, Step, Times
from schemas import ProposedChange, canonical, sha256
from schemas.core import NS

SECOND = NS


def seal(index: int, before: bytes, body: bytes) -> tuple[bytes, bytes]:
    """A chain for tests: index and previous hash in front of the body; the hash is that of an RFC 6962 leaf."""
    leaf = index.to_bytes(8, "big") + before + body
    return leaf, hashlib.sha256(b"\x00" + leaf).digest()


def change_of(target: str, value: str = "v1", *, is_reversible: bool = True) -> ProposedChange:
    body = {
        "verb": "flag.set", "target": target, "parameters": {"value": value}, "is_reversible": is_reversible,
        "undo_verb": "flag.set" if is_reversible else None, "undo_parameters": {"value": "v0"} if is_reversible else {},
        "runbook": "test",
    }  # fmt: skip
    return ProposedChange.model_validate(body | {"digest": sha256(canonical(body))})


def step_of(
    target: str = "t/flag/a", value: str = "v1", *, effect_class: EffectClass = "keyed", is_reversible: bool = True,
    point_of_no_return: bool = False, undo_on_no_effect: bool = False, undo_valid_for_ns: int = 3600 * NS,
) -> Step:  # fmt: skip
    change = change_of(target, value, is_reversible=is_reversible)
    return Step(change, effect_class, undo_valid_for_ns, point_of_no_return, undo_on_no_effect)


def plan_of(*steps: Step, **rest: object) -> Plan:
    return Plan(steps or (step_of(),), **rest)  # type: ignore[arg-type]


__all__ = ["NS", "SECOND", "Plan", "Step", "Times", "change_of", "plan_of", "seal", "step_of"]
