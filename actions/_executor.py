"""The contract of an executor: the adapter that reads and changes targets of one system. One file in `executors/`.

It holds the credentials of its system and nothing of the decision. Everything is a value: what a target says
(`Reading`), what is to be written (`Effect`), how it ended (`Written`). A write is conditional on the exact reading
before it and leaves our mark, so that a later read can tell what happened. Methods block; the gateway runs them in
threads, and a call that does not come back in time counts as lost, never as failed.
Source of the four questions: docs/actions.md, "What the machine needs of a gateway".
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from actions._contract import Capacity
from actions._saga import Direction
from schemas import Json

MARK = "tidegate.io/mark"
"""Name, or beginning of a name, under which a target keeps the mark where it has names for such things."""


class Mark(NamedTuple):
    """What we leave on a target with an effect, and how the mark reads when it was taken back."""

    key: str
    step: int
    direction: Direction
    epoch: int

    def text(self) -> str:
        """One word, to be kept by the target.

        >>> read_mark(Mark("sha256:a", 0, "do", 3).text()) == Mark("sha256:a", 0, "do", 3)
        True
        """
        return f"{self.key}/{self.step}/{self.direction}/{self.epoch}"


def read_mark(text: str | None) -> Mark | None:
    """The mark in a text; None if it is none of ours."""
    parts = (text or "").rsplit("/", 3)
    if len(parts) != 4 or parts[2] not in ("do", "undo"):
        return None
    if not all(number.isascii() and number.isdecimal() for number in (parts[1], parts[3])):
        return None
    direction: Direction = "do" if parts[2] == "do" else "undo"
    return Mark(parts[0], int(parts[1]), direction, int(parts[3]))


class Effect(NamedTuple):
    """What is written: fields of the target and their absolute values. `expects` is what they must be before."""

    verb: str
    target: str
    parameters: Mapping[str, Json]
    expects: Mapping[str, Json]
    sets: Mapping[str, Json]


class Reading(NamedTuple):
    """What a target says now.

    uid: names this very target, not a later one of the same name. version: changes when somebody changes what the
    verb is about; people approve against it. token: what the conditional write is held against; it may change more
    often than the version. state: the fields that verbs expect and set, and what limits are held against.
    """

    uid: str
    version: str
    token: str
    state: Mapping[str, Json]
    mark: Mark | None = None
    capacity: Capacity | None = None


class Written(NamedTuple):
    """`refused` is certain: nothing was changed. `lost`: it may have been. reason: a stable code."""

    outcome: Literal["written", "refused", "lost"]
    reason: str = ""
    text: str = ""


class Capabilities(NamedTuple):
    """is_conditional: a write is refused if the target moved since the reading. keeps_mark: a read shows who wrote.

    fences: after `fence` no earlier write of ours can land, however late. has_server_dry_run: the target itself says
    whether it would take the write.
    """

    is_conditional: bool
    keeps_mark: bool
    fences: bool
    has_server_dry_run: bool


class ExecutorSettings(BaseModel):
    """Base of an executor's own settings: where its system is, and with which credentials."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    timeout_s: float = 10.0
    """How long one call may take; then its outcome is not known."""


class TargetAway(Exception):
    """A target or its system cannot be read. code: TARGET_AWAY, or TARGET_ABSENT where it says there is no such thing.

    Raised by `read`, `check` and `fence` only; `write` answers with a value.
    """

    def __init__(self, what: str, *, is_absent: bool = False) -> None:
        super().__init__(what)
        self.code = "TARGET_ABSENT" if is_absent else "TARGET_AWAY"


class Executor(Protocol):
    """A plug-in in `actions/executors/`; its module says `PLUGIN = TheClass`, which is called with its settings.

    kind: names it and its section of the gateway's settings. verbs: the names of the verbs that it performs.
    capabilities: by verb. permissions: by verb, the rules that the credentials must allow and nothing more, in the
    words of its system (for Kubernetes: RBAC rules). set_up: what must be prepared there once, in its own language.
    """

    kind: str
    settings: type[ExecutorSettings]
    verbs: tuple[str, ...]
    capabilities: Mapping[str, Capabilities]
    permissions: Mapping[str, tuple[Mapping[str, Json], ...]]
    set_up: str

    def read(self, effect: Effect) -> Reading:
        """The target of the effect as it is. Raises TargetAway."""
        ...

    def check(self, effect: Effect, reading: Reading) -> str | None:
        """What the target itself says against the write, changing nothing; None if it would take it."""
        ...

    def write(self, effect: Effect, mark: Mark, reading: Reading) -> Written:
        """Set the fields and leave the mark, if the target still is as it was read. Never raises for the world."""
        ...

    def fence(self, effect: Effect, epoch: int) -> None:
        """Make whatever we sent before unable to land, durably at the target. Raises TargetAway."""
        ...
