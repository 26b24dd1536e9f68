"""The state of the decide stage: what may be forgotten is forgotten by event time, and lookups never depend on it.

Every lookup filters by time itself, so when `forget` runs (once a tick) changes memory only, never an answer.
"""

import json
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import ValidationError

from actions._errors import StateInvalid
from schemas import ActionState, CalendarEntry, Change

FORMAT = 1


class Owner(NamedTuple):
    """The action that owns one physical change, when it was last asked for, and how far it came."""

    action_id: str
    asked_ns: int
    state: ActionState


class Seen(NamedTuple):
    """The newest diagnosis of an incident that was decided upon."""

    revision: int
    as_of_ns: int


@dataclass(slots=True)
class DecideState:
    """sequences: next sequence number of each target. owners: by key of the physical change. seen: by incident id."""

    sequences: dict[str, int] = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    calendar: dict[str, CalendarEntry] = field(default_factory=dict)

    def forget(self, before_ns: int) -> None:
        """Drop what no lookup at or after `before_ns` plus the retention can return."""
        self.owners = {key: owner for key, owner in self.owners.items() if owner.asked_ns >= before_ns}
        self.seen = {incident: seen for incident, seen in self.seen.items() if seen.as_of_ns >= before_ns}
        self.changes = {id: change for id, change in self.changes.items() if change.at_ns >= before_ns}
        self.calendar = {id: entry for id, entry in self.calendar.items() if entry.end_ns >= before_ns}


def dump(state: DecideState) -> bytes:
    """JSON, sorted, so equal states are equal bytes."""
    body = {
        "format": FORMAT,
        "sequences": state.sequences,
        "owners": {key: list(owner) for key, owner in state.owners.items()},
        "seen": {incident: list(seen) for incident, seen in state.seen.items()},
        "changes": [state.changes[id].model_dump(mode="json") for id in sorted(state.changes)],
        "calendar": [state.calendar[id].model_dump(mode="json") for id in sorted(state.calendar)],
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def load(data: bytes) -> DecideState:
    """Raises StateInvalid if the bytes are cut short, foreign or of another format."""
    try:
        body = json.loads(data)
        if body["format"] != FORMAT:
            raise StateInvalid(f"the state of decide has format {body['format']}, this version reads {FORMAT}")
        return DecideState(
            sequences=dict(body["sequences"]),
            owners={key: Owner(*owner) for key, owner in body["owners"].items()},
            seen={incident: Seen(*seen) for incident, seen in body["seen"].items()},
            changes={c["id"]: Change.model_validate(c) for c in body["changes"]},
            calendar={c["id"]: CalendarEntry.model_validate(c) for c in body["calendar"]},
        )
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise StateInvalid(f"not a state of decide: {str(error)[:200]}", todo="Rebuild it from the topics") from error
