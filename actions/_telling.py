"""What is told of an action's moves: a record for Kafka, and a notice for people where they are needed.

Both lie in the outbox from the transaction of the move on and are told at least once under the same id. People have a
topic of their own there, so they hear of it while Kafka is down. The record is an `ActionEvent` of source
`tidegate/act`; its sequence counts per target and source (ADR 11).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic_core import from_json

from actions._ledger import Outbox, OutboxRow
from actions._machine_types import Action, ActionCommand, Apply, Record
from actions._ports import Notice
from actions._verbs import service_of
from schemas import ACTIONS, CHANGES, ActionEvent, Change, ChangeKind, FollowUp, Json, canonical, emit, record_id
from schemas.core import Emit

SOURCE = "tidegate/act"
PEOPLE = "people"
"""The outbox topic of notices; no topic of Kafka."""

FOLLOW_UP = "follow_up"
_KINDS: dict[str, ChangeKind] = {
    "revert": "rollback", "rollback": "rollback", "scale": "scale", "off": "flag", "on": "flag",
}  # fmt: skip
"""What kind of change a verb makes, by the last part of its name."""
_EFFECTS = {"executing", "unknown", "executed", "verifying", "compensating", "rolled_back"}
_PAGES = {"escalated"}
_NEWS = {"awaiting_approval", "advised", "expired", "succeeded", "rolled_back", "failed_safe", "failed_not_applied"}


def event_of(row: OutboxRow, action: Action) -> Emit | None:
    """The record of one move, None where nobody asked by a record (then there is nothing to continue)."""
    if not action.origin.asked:
        return None
    told = from_json(row.record.value)
    asked = ActionEvent.model_validate_json(action.origin.asked)
    record: ActionEvent | FollowUp
    if told["to"] == FOLLOW_UP:
        record = FollowUp(
            id=row.record.id, action_id=asked.action_id, incident_id=asked.incident_id, tenant=asked.tenant,
            sequence=row.sequence, target=row.record.key, indicators=told["indicators"], at_ns=int(told["at_ns"]),
        )  # fmt: skip
        return emit(ACTIONS, record, id=record.id, key=record.target, source=SOURCE, event_ns=record.at_ns)
    change, at_ns = action.plan.steps[told["step"]].change, int(told["at_ns"])
    settles = at_ns + action.plan.times.settle_ns if told["to"] in _EFFECTS else None
    record = asked.model_copy(
        update={
            "id": row.record.id, "sequence": row.sequence, "state": told["to"], "at_ns": at_ns,
            "snapshot": {}, "change": change, "reason": told["reason"], "idempotency_key": action.key,
            "settles_ns": settles,
        }
    )  # fmt: skip
    return emit(
        ACTIONS, record, id=record.id, key=row.record.key, source=SOURCE, event_ns=record.at_ns,
        type_suffix=f".{record.state}",
    )  # fmt: skip


def blocked(action: Action, target: str, reason: str, now_ns: int) -> Notice:
    text = f"{target} is blocked ({reason}): nothing is done there until a person frees it"
    id = record_id("notice", action.key, target, reason)
    return Notice(id, "page", f"blocked:{target}", text, action.key, now_ns)


def kept_on(action: Action, now_ns: int) -> Notice:
    """A temporary change that could not be taken back, because the target has not been well long enough."""
    change = action.plan.steps[0].change
    text = f"{change.verb} on {change.target} was meant for a while and is still there: it cannot be taken back yet"
    id = record_id("notice", action.key, "kept_on", now_ns)
    return Notice(id, "page", f"kept_on:{change.target}", text, action.key, now_ns)


def follow_up(action: Action, indicators: tuple[str, ...], at_ns: int) -> Outbox:
    """What is still, or newly, wrong after the action."""
    body: dict[str, Json] = {
        "action": action.key, "to": FOLLOW_UP, "indicators": list(indicators), "at_ns": at_ns,
    }  # fmt: skip
    target = action.plan.targets[0]
    return Outbox(ACTIONS, target, record_id("follow-up", action.key, action.version), canonical(body))


def own_changes(action: Action, commands: Iterable[ActionCommand]) -> tuple[Outbox, ...]:
    """What we are about to change ourselves, and until when its symptoms may be our doing: the last moment at which
    the effect can be written, and what the target then needs to settle. A verb that disturbs nothing needs no time.
    """
    settle_ns, found = action.plan.times.settle_ns, list[Outbox]()
    for one in commands:
        if not isinstance(one, Apply) or not settle_ns:
            continue
        change = action.plan.steps[one.step].change
        is_do = one.direction == "do"
        verb = change.verb if is_do else change.undo_verb or ""
        told = change.parameters if is_do else change.undo_parameters
        version_from, version_to = (_text_of(told.get(name)) for name in ("from_version", "to_version"))
        kind = _KINDS.get(verb.rpartition(".")[2], "other")
        record = Change(
            id=record_id("own-change", action.key, one.step, one.direction), tenant=change.target.split("/")[0],
            entity_id=change.target, service=service_of(change.target), kind=kind, at_ns=action.at_ns,
            title=f"{verb} by Tidegate", version_from=version_from, version_to=version_to,
            reference=action.key, author="tidegate", settles_ns=one.until_ns + settle_ns,
        )  # fmt: skip
        found.append(Outbox(CHANGES, change.target, record.id, record.to_bytes()))
    return tuple(found)


def change_in(row: OutboxRow) -> Emit:
    """The record of a change of our own."""
    record = Change.from_bytes(row.record.value)
    return emit(CHANGES, record, id=record.id, key=record.entity_id, source=SOURCE, event_ns=record.at_ns)


def _text_of(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def key_in(row: OutboxRow) -> str:
    """The action that a row of the outbox is about."""
    return str(from_json(row.record.value)["action"])


def notices_of(action: Action, records: tuple[Record, ...]) -> tuple[Outbox, ...]:
    """What people must hear of these moves."""
    found = list[Outbox]()
    for place, (before, state, reason) in enumerate(records):
        if before == state or not (state in _PAGES or state in _NEWS):
            continue
        is_old = reason == "OLD_NEWS"
        urgency: Literal["page", "notify"] = "page" if state in _PAGES or is_old else "notify"
        group = "OLD_NEWS" if is_old else f"{state}:{reason}"
        id = record_id("notice", action.key, action.version, place)
        found.append(notice_row(Notice(id, urgency, group, _text(action, state, reason), action.key, action.at_ns)))
    return tuple(found)


def notice_row(said: Notice) -> Outbox:
    return Outbox(PEOPLE, said.action_key or said.group, said.id, canonical(said._asdict()))


def read_notice(row: OutboxRow) -> Notice:
    return notice_of(from_json(row.record.value))


def notice_of(fields: Mapping[str, Any]) -> Notice:
    """From its canonical form, in which large numbers are texts."""
    return Notice(**{**fields} | {"at_ns": int(fields["at_ns"])})


def _text(action: Action, state: str, reason: str) -> str:
    steps = ", ".join(f"{step.change.verb} on {step.change.target}" for step in action.plan.steps)
    left = "; ".join(f"{action.plan.steps[one.step].change.target}: {one.left}" for one in action.residue)
    return f"{steps}: {state} ({reason})" + (f"; left: {left}" if left else "")
