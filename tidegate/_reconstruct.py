"""What was decided about one action, on what grounds, by whom: put together again from the ledger, and held to the log.

The audit entries of the action bind what they are about by digest. So the plan must be the one that every entry names,
the record that asked (inputs, decision, hypothesis, evidence) the one that the first entry's body was made of, and each
approval one that an entry tells of. What does not fit is in `faults`; an empty list means that nothing was exchanged.
"""

from collections.abc import Iterator
from typing import Any

from actions import leaf_of, load_docket, snapshot_digest
from actions._docket import PREFIX
from actions._drive import open_action
from actions._ledger import Ledger
from actions._machine_types import load_action
from schemas import ActionEvent, AuditLeaf, Diagnosis, sha256
from schemas.core import NS
from tidegate._errors import NotFoundError

_PAGE = 1000


def reconstruct(ledger: Ledger, key: str, diagnosis: Diagnosis | None = None) -> dict[str, Any]:
    """diagnosis: the record that the action names, for the versions of models and calibration.

    Raises NotFoundError if the ledger has no such action.
    """
    row = ledger.action(key)
    if row is None:
        raise NotFoundError(f"the ledger has no action '{key[:80]}'", todo="Give its idempotency key")
    action = load_action(row.body)
    entries = [entry for entry in _entries(ledger) if entry.action_id == key]
    asked = ActionEvent.model_validate_json(action.origin.asked) if action.origin.asked else None
    said = _said(ledger, key)
    faults = []
    if not entries or entries[0].from_state:
        faults.append("its beginning is not in the audit log")
    elif not _begins(entries[0], row.body):
        faults.append("the record that asked for it is not the one that was written down")
    if any(entry.inputs_digest != action.plan.digest for entry in entries):
        faults.append("the plan is not the one that was written down")
    known = {entry.body_digest for entry in entries}
    faults += [
        f"an approval is not in the audit log: {one['reason']}" for body, one in said if sha256(body) not in known
    ]
    if entries and entries[-1].to_state != action.state:
        faults.append("its state is not the last one that was written down")
    if asked and asked.decision and snapshot_digest(asked.snapshot) != asked.decision.snapshot_digest:
        faults.append("the inputs are not those that the decision names")
    if diagnosis and (asked is None or diagnosis.id != asked.diagnosis_id):
        faults.append("it is another diagnosis")
    return {
        "action": key,
        "state": action.state,
        "reason": action.reason,
        "moves": [[entry.at_ns, entry.from_state, entry.to_state, entry.actor] for entry in entries],
        "entries": [entry.index for entry in entries],
        "plan": action.plan.document,
        "changes": [step.change.model_dump(mode="json") for step in action.plan.steps],
        "inputs": asked.snapshot if asked else None,
        "decision": asked.decision.model_dump(mode="json") if asked and asked.decision else None,
        "hypothesis": asked.hypothesis.model_dump(mode="json") if asked else None,
        "evidence": [pointer.model_dump(mode="json") for pointer in asked.evidence] if asked else [],
        "diagnosis": asked.diagnosis_id if asked else None,
        "versions": {"action": action.origin.version, **(diagnosis.versions if diagnosis else {})},
        "people": [one for _, one in said],
        "faults": faults,
    }


def _begins(entry: AuditLeaf, body: bytes) -> bool:
    """Is the first entry's body what this action, asked for like this, makes of its beginning?"""
    action = load_action(body)
    again = open_action(action.plan, action.generation, entry.at_ns, origin=action.origin)
    return sha256(again.transaction.leaves[0]) == entry.body_digest


def _said(ledger: Ledger, key: str) -> list[tuple[bytes, dict[str, Any]]]:
    import json

    found = [load_docket(body) for name, body in ledger.kept(PREFIX + key) if name == PREFIX + key]
    rows = []
    for body in found[0].said if found else ():
        told = json.loads(body)
        at_s = int(told["at_ns"]) // NS
        rows.append((body, {"at_s": at_s, "reason": told["reason"].removeprefix("APPROVAL:"), **told["approval"]}))
    return rows


def _entries(ledger: Ledger) -> Iterator[AuditLeaf]:
    start = 0
    while rows := ledger.leaves(start, _PAGE):
        yield from (leaf_of(row.leaf) for row in rows)
        start = rows[-1].number + 1
