"""The same change with other parameters, as a person wants it: another plan, another digest, another action.

Nothing that was signed before fits it. Who chose the parameters has proposed them, so that person, and everybody who
did so before on the way here, cannot approve them; and it is never done without people, whatever the policies permit.
A person without a login signs twice: the rejection of what waits, and `sign_override` over that envelope and the
parameters, so that a service in the middle can neither change them nor reject in somebody's name.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions._dsse import is_sealed_by
from actions._errors import ActionsError
from actions._keyring import EnrolledKey
from actions._ledger import Keep
from actions._machine_types import Action
from actions._plans import asked_of
from actions._verbs import Verbs
from actions._worker import Asked
from schemas import ActionEvent, Json, ProposedChange, canonical, sha256
from schemas.signatures import pae

OVERRIDE = "override/"
"""Facts of the ledger: what is to take the place of an action, by its key, until it has."""
_KIND = "application/vnd.tidegate.override+json"


class OverrideInvalid(ActionsError):
    """Parameters that cannot take the place of those it has."""

    code = "OVERRIDE_INVALID"


def override_of(action: Action, parameters: Mapping[str, Json], person: str, verbs: Verbs, policy_digest: str) -> Asked:
    """The action that takes the place of this one. parameters: those that differ, as NAME, or STEP.NAME where the plan
    has more than one step (from 1); the others stay as they are. The new digest is over the whole plan.

    Raises OverrideInvalid where it has no record, where it is not said which step, there is no such step or nothing
    would differ; UnknownVerb, ParametersInvalid, SelectorInvalid as for any change.
    """
    if not action.origin.asked:
        what = "only what a record asked for can have other parameters"
        raise OverrideInvalid(what, where=action.key, todo="Reject it, and propose another")
    before = [step.change for step in action.plan.steps]
    told = _by_step(action.key, parameters, len(before))
    changes = [_changed(was, told.get(n, {}), verbs, action.key) for n, was in enumerate(before)]
    if all(change.digest == was.digest for change, was in zip(changes, before, strict=True)):
        raise OverrideInvalid("these are the parameters it has already", where=action.key)
    event = ActionEvent.model_validate_json(action.origin.asked)
    later = zip(event.then, changes[1:], strict=True)
    then = [step.model_copy(update={"change": change}) for step, change in later]
    event = event.model_copy(update={"change": changes[0], "then": then})
    asked = asked_of(event, verbs, policy_digest, None)
    if asked is None:
        raise OverrideInvalid("what asked for it was only advice", where=action.key)
    barred = tuple(sorted({*action.origin.barred, person}))
    return asked._replace(origin=replace(asked.origin, barred=barred, overrides=action.key))


def _by_step(key: str, parameters: Mapping[str, Json], steps: int) -> dict[int, dict[str, Json]]:
    """What is wanted of each step, from 0."""
    found = dict[int, dict[str, Json]]()
    for told, value in parameters.items():
        number, dot, name = told.partition(".")
        if not dot:
            number, name = "1", told
        if not dot and steps > 1:
            todo = f"Say which of its {steps} steps: 1.{told}"
            raise OverrideInvalid(f"it has {steps} steps, and '{told}' may be of any", where=key, todo=todo)
        if number not in map(str, range(1, steps + 1)):
            raise OverrideInvalid(f"'{told}' is of no step; it has {steps}, from 1", where=key)
        found.setdefault(int(number) - 1, {})[name] = value
    return found


def _changed(was: ProposedChange, parameters: Mapping[str, Json], verbs: Verbs, where: str) -> ProposedChange:
    """The change itself where nothing is told of it, so that what nobody chose keeps its digest."""
    if not parameters:
        return was
    is_final = verbs.get(was.verb, where).is_reversible and not was.is_reversible
    told = {**was.parameters, **parameters}
    return verbs.change(
        was.verb, was.target, told, was.runbook, irreversible=is_final, revert_after_s=was.revert_after_s
    )  # fmt: skip


def override_kept(key: str, parameters: Mapping[str, Json], person: str) -> Keep:
    """Kept with the rejection of what it replaces, so that a crash in between loses nothing."""
    return Keep(OVERRIDE + key, canonical({"parameters": dict(parameters), "person": person}))


def sign_override(envelope: bytes, parameters: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """64 bytes over the envelope of a rejection and the parameters that are wanted instead."""
    return key.sign(pae(_KIND, _bytes(envelope, parameters)))


def is_override_by(envelope: bytes, parameters: Mapping[str, Any], signature: bytes, key: EnrolledKey) -> bool:
    """A passkey signs nothing but approvals, so none is it."""
    return key.passkey is None and is_sealed_by(_KIND, _bytes(envelope, parameters), signature, key.public)


def _bytes(envelope: bytes, parameters: Mapping[str, Any]) -> bytes:
    return canonical({"approval": sha256(envelope), "parameters": dict(parameters)})
