"""The state of the decide stage: what may be forgotten is forgotten by event time, and lookups never depend on it.

Every lookup filters by time itself, so when `forget` runs (once a tick) changes memory only, never an answer.
"""

import json
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import ValidationError

from actions._errors import StateInvalid
from schemas import ActionState, CalendarEntry, Change

FORMAT = 2
_READABLE = (1, FORMAT)
"""Format 1 knew neither callers nor how often an incident was acted upon."""


class Owner(NamedTuple):
    """The action that owns one physical change, when it was last asked for, and how far it came."""

    action_id: str
    asked_ns: int
    state: ActionState


class Seen(NamedTuple):
    """The newest diagnosis of an incident that was decided upon, and its actions, approved or put to people."""

    revision: int
    as_of_ns: int
    acted: int = 0


class Calls(NamedTuple):
    """When a caller was seen calling, first and last."""

    first_ns: int
    last_ns: int


@dataclass(slots=True)
class DecideState:
    """sequences: next sequence number of each target. owners: by key of the physical change. seen: by incident id.

    callers: who calls an entity, by entity id of the callee, then of the caller.
    """

    sequences: dict[str, int] = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    calendar: dict[str, CalendarEntry] = field(default_factory=dict)
    callers: dict[str, dict[str, Calls]] = field(default_factory=dict)

    def called(self, caller: str, callee: str, first_ns: int, last_ns: int) -> None:
        """Remember a call; in whatever order and however often it is said, the same is known."""
        known = self.callers.setdefault(callee, {})
        before = known.get(caller, Calls(first_ns, last_ns))
        known[caller] = Calls(min(before.first_ns, first_ns), max(before.last_ns, last_ns))

    def reach(self, entity_id: str, at_ns: int, since_ns: int) -> frozenset[str]:
        """The entity and all that call it, directly or through others, by calls known at `at_ns` and not older than
        `since_ns`.
        """
        found, open_ = {entity_id}, [entity_id]
        while open_:
            for caller, calls in self.callers.get(open_.pop(), {}).items():
                if caller not in found and calls.first_ns <= at_ns and calls.last_ns >= since_ns:
                    found.add(caller)
                    open_.append(caller)
        return frozenset(found)

    def forget(self, before_ns: int) -> None:
        """Drop what no lookup at or after `before_ns` plus the retention can return."""
        self.owners = {key: owner for key, owner in self.owners.items() if owner.asked_ns >= before_ns}
        self.seen = {incident: seen for incident, seen in self.seen.items() if seen.as_of_ns >= before_ns}
        self.changes = {id: change for id, change in self.changes.items() if change.at_ns >= before_ns}
        self.calendar = {id: entry for id, entry in self.calendar.items() if entry.end_ns >= before_ns}
        kept = {
            callee: {caller: calls for caller, calls in known.items() if calls.last_ns >= before_ns}
            for callee, known in self.callers.items()
        }
        self.callers = {callee: known for callee, known in kept.items() if known}


def dump(state: DecideState) -> bytes:
    """JSON, sorted, so equal states are equal bytes."""
    body = {
        "format": FORMAT,
        "sequences": state.sequences,
        "owners": {key: list(owner) for key, owner in state.owners.items()},
        "seen": {incident: list(seen) for incident, seen in state.seen.items()},
        "changes": [state.changes[id].model_dump(mode="json") for id in sorted(state.changes)],
        "calendar": [state.calendar[id].model_dump(mode="json") for id in sorted(state.calendar)],
        "callers": {callee: {caller: list(calls) for caller, calls in known.items()}
                    for callee, known in state.callers.items()},
    }  # fmt: skip
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def load(data: bytes) -> DecideState:
    """Raises StateInvalid if the bytes are cut short, foreign or of another format."""
    try:
        body = json.loads(data)
        if body["format"] not in _READABLE:
            raise StateInvalid(f"the state of decide has format {body['format']}, this version reads {FORMAT}")
        return DecideState(
            sequences=dict(body["sequences"]),
            owners={key: Owner(*owner) for key, owner in body["owners"].items()},
            seen={incident: Seen(*seen) for incident, seen in body["seen"].items()},
            changes={c["id"]: Change.model_validate(c) for c in body["changes"]},
            calendar={c["id"]: CalendarEntry.model_validate(c) for c in body["calendar"]},
            callers={
                callee: {caller: Calls(*calls) for caller, calls in known.items()}
                for callee, known in body.get("callers", {}).items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise StateInvalid(f"not a state of decide: {str(error)[:200]}", todo="Rebuild it from the topics") from error
