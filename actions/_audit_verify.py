"""Is the log what was written? Every entry, hash, root, signature and the legality of every action's life.

It trusts nothing but the key: entries are hashed again one by one, and each root is compared with every checkpoint that
was signed at that size, so an entry that was replaced together with its hash is found too. Legality: an action begins
once, goes on from where it is by the drawn moves only, and never after its end. What cannot be found from the log
alone: that its end was cut off together with the checkpoints over it, and a history written anew by whoever holds the
signing key. For both, give checkpoints that lay elsewhere (`anchors`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from actions._audit import MAX_BYTES, NOTHING, Entry, parse_entry
from actions._checkpoint import LogKey, TreeHead, read_note
from actions._errors import AuditInvalid, NoteInvalid
from actions._machine_types import MOVES, TERMINAL
from actions._merkle import EMPTY, Frontier

Verdict = Literal["ok", "tampered", "incomplete", "unanchored"]
_ENDS = frozenset(state.encode() for state in TERMINAL)
_MOVES = {state.encode(): frozenset(to.encode() for to in reached) for state, reached in MOVES.items()}
_MOVES[b""] = frozenset({b"proposed"})


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `ok` only if every entry is vouched for by a signed checkpoint.

    first_bad: index of the first entry shown to be wrong, missing or not vouched for; where only a root differs, the
    first one after the last checkpoint that agrees; None if the fault is in no entry. reason: a stable code, None if
    ok. entries: lines that are there; verified: those before the fault. anchored: entries under the newest checkpoint
    that agrees. open_actions: begun and not ended; no fault.
    """

    entries: int
    verified: int
    verdict: Verdict
    first_bad: int | None
    reason: str | None
    text: str
    root: bytes
    anchored: int
    open_actions: int

    @property
    def ok(self) -> bool:
        return self.verdict == "ok"


class _Found(Exception):
    """A fault, on its way out of the loop."""

    def __init__(self, reason: str, index: int | None, text: str, verdict: Verdict = "tampered") -> None:
        super().__init__(text)
        self.reason, self.index, self.text, self.verdict = reason, index, text, verdict


def verify_log(lines: Iterable[bytes], notes: Sequence[str], key: LogKey, anchors: Sequence[str] = ()) -> Report:
    """lines: the entries in order, each with its newline. notes: the log's own checkpoints, oldest first.

    anchors: checkpoints of this log that lay elsewhere, in any order. Raises nothing about the log; every fault is in
    the report.
    """
    check, rest = _Check(), iter(lines)
    try:
        check.expect(notes, key, is_own=True)
        check.expect(anchors, key, is_own=False)
        check.run(rest)
    except _Found as found:
        check.seen += sum(1 for _ in rest)
        return check.report(found)
    return check.report(None)


class _Check:
    def __init__(self) -> None:
        self.tree, self.agreed, self.seen = Frontier(), 0, 0
        self.signed: set[int] = set()
        self.anchored: set[int] = set()
        self.wanted: dict[int, dict[bytes, str]] = {}
        self.state: dict[bytes, bytes] = {}
        self.ended: set[bytes] = set()

    def expect(self, notes: Sequence[str], key: LogKey, *, is_own: bool) -> None:
        source, before = ("the log", 0) if is_own else ("an anchor", 0)
        for place, note in enumerate(notes):
            try:
                head: TreeHead = read_note(note, key)
            except NoteInvalid as error:
                raise _Found("CHECKPOINT_INVALID", None, f"checkpoint {place} of {source}: {error}") from error
            if is_own and head.size < before:
                raise _Found("CHECKPOINT_ORDER", None, f"checkpoint {place} is smaller than the one before")
            before = head.size
            (self.signed if is_own else self.anchored).add(head.size)
            self.wanted.setdefault(head.size, {})[head.root] = source

    def run(self, lines: Iterator[bytes]) -> None:
        wanted, tree = self.wanted, self.tree
        prev, at_ns = NOTHING.encode(), 0
        self._compare(EMPTY, None, lines)
        for index, line in enumerate(lines):
            self.seen = index + 1
            if line[-1:] != b"\n":
                self._torn(line, index)
            entry = self._parsed(line, index)
            if entry.number != index:
                raise _Found("INDEX", index, f"entry {entry.number} stands where entry {index} should")
            if entry.prev != prev:
                raise self._broken(entry, index, lines)
            if entry.at_ns < at_ns:
                raise _Found("TIME_WENT_BACK", index, f"entry {index} is earlier than the one before")
            self._follow(entry)
            tree.add(entry.leaf)
            prev, at_ns = _chained(entry), entry.at_ns
            if index + 1 in wanted:
                self._compare(tree.root, entry, lines)
        last = max(wanted, default=0)
        if last > tree.size:
            raise _Found("CUT_OFF", tree.size, f"a checkpoint vouches for {last} entries, {tree.size} are there")
        if lost := min(self.anchored - self.signed, default=0):
            raise _Found("CHECKPOINT_GONE", None, f"the checkpoint over {lost} entries, which was seen, is gone")
        if not wanted and not tree.size:
            raise _Found("EMPTY", None, "there is neither an entry nor a checkpoint", "incomplete")
        if last < tree.size:
            raise _Found("UNANCHORED_TAIL", last, f"no checkpoint vouches for entries from {last} on", "unanchored")

    def report(self, found: _Found | None) -> Report:
        return Report(
            self.seen, self.tree.size, found.verdict if found else "ok", found.index if found else None,
            found.reason if found else None, found.text if found else "", self.tree.root, self.agreed, len(self.state),
        )  # fmt: skip

    def _parsed(self, line: bytes, index: int) -> Entry:
        try:
            return parse_entry(line[:-1], index)
        except AuditInvalid as error:
            raise _Found("MALFORMED", index, str(error)) from error

    def _compare(self, root: bytes, entry: Entry | None, lines: Iterator[bytes]) -> None:
        size = self.tree.size
        for expected, source in self.wanted.get(size, {}).items():
            if expected != root:
                follows = entry is None or self._after(lines, size) in (None, _chained(entry))
                bad = self.agreed if follows else size - 1
                raise _Found("ROOT_DIFFERS", bad, f"{source} has another root for the first {size} entries")
        if size in self.wanted:
            self.agreed = size

    def _torn(self, line: bytes, index: int) -> None:
        if len(line) > MAX_BYTES:
            raise _Found("MALFORMED", index, f"entry {index} has no end")
        if max(self.wanted, default=0) > index:
            raise _Found("CUT_OFF", index, f"entry {index} is not whole and a checkpoint vouches for it")
        raise _Found("TORN", index, f"entry {index} is not whole: the writer was stopped", "incomplete")

    def _broken(self, entry: Entry, index: int, lines: Iterator[bytes]) -> _Found:
        """Which of two neighbours was changed? The later one, unless the entry after it still knows it."""
        is_earlier = self._after(lines, index + 1) == _chained(entry)
        bad = index - 1 if is_earlier and index else index
        return _Found("CHAIN", bad, f"the hash of entry {index - 1} is not the one that entry {index} has of it")

    def _after(self, lines: Iterator[bytes], index: int) -> bytes | None:
        """What the next entry has as the hash of the one before it; None if there is none that can be read."""
        line = next(lines, b"")
        self.seen += bool(line)
        try:
            return parse_entry(line[:-1], index).prev
        except AuditInvalid:
            return None

    def _follow(self, entry: Entry) -> None:
        action, now, index = entry.action_id, self.state.get(entry.action_id, b""), entry.number
        if not action:
            if entry.from_state:
                raise _Found("ILLEGAL", index, "an entry about no action comes from a state")
            return
        if action in self.ended:
            raise _Found("ILLEGAL", index, f"entry {index} goes on with an action that has ended")
        if entry.from_state != now:
            raise _Found("ILLEGAL", index, f"entry {index} does not go on from where its action is")
        if entry.to_state != now and entry.to_state not in _MOVES[now]:
            raise _Found("ILLEGAL", index, f"entry {index}: {entry.to_state.decode()} after '{now.decode()}'")
        if entry.to_state in _ENDS:
            self.ended.add(action)
            self.state.pop(action, None)
        else:
            self.state[action] = entry.to_state


def _chained(entry: Entry) -> bytes:
    return b"sha256:" + entry.leaf.hex().encode()
