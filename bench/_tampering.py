"""Ways to falsify an audit log, by chance and by craft. The falsifier holds every byte, but not the signing key.

`tampered(log, rng)` gives the name of the way and the log as the falsifier leaves it; the log differs always from the
one given. Anchored ways are those that nobody can find without a checkpoint that lay elsewhere.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions import Frontier, Happening, Head, TreeHead, append_entry, leaf_hash, leaf_of, sign_head

ORIGIN = "tidegate/test"
_LIFE = ("", "proposed", "gated", "approved", "reserved", "executing", "executed", "verifying", "succeeded")


class Log(NamedTuple):
    """The bytes of the entries file, and the notes of the checkpoints."""

    entries: bytes
    notes: tuple[str, ...]

    @property
    def lines(self) -> list[bytes]:
        return self.entries.splitlines(keepends=True)


def honest(size: int, key: Ed25519PrivateKey, *, every: int = 10, origin: str = ORIGIN) -> Log:
    """Lives of actions side by side, a checkpoint after each `every` entries and at the end."""
    happenings = []
    for n in range(size):
        block, place = divmod(n, 24)
        life, step = block * 3 + place % 3, place // 3
        happenings.append(Happening(f"action-{life}", _LIFE[step], _LIFE[step + 1], "worker-1", n * 10**9 + 10**18))
    return written(happenings, key, every=every, origin=origin)


def written(what: list[Happening], key: Ed25519PrivateKey, *, every: int = 10, origin: str = ORIGIN) -> Log:
    """A log as an honest writer would write it."""
    head, tree, lines, notes = Head(), Frontier(), [], []
    for place, happening in enumerate(what, 1):
        head, entry = append_entry(head, happening)
        tree.add(leaf_hash(entry))
        lines.append(entry + b"\n")
        if place % every == 0 or place == len(what):
            notes.append(sign_head(TreeHead(origin, place, tree.root), key).note)
    return Log(b"".join(lines), tuple(notes))


def tampered(log: Log, rng: random.Random, way: str = "") -> tuple[str, Log]:
    """The way that was taken (by chance if none is said) and what is left."""
    name = way or rng.choice(list(WAYS))
    while True:
        found = WAYS[name](log, rng)
        if found != log:
            return name, found


def _again(log: Log, first: int, edited: list[Happening], rng: random.Random) -> bytes:
    """The entries with everything from `first` on written anew, with right hashes: what a falsifier can do at best."""
    lines = log.lines[:first]
    head = Head()
    for line in lines:
        leaf = leaf_of(line[:-1])
        head = Head(leaf.index + 1, "sha256:" + leaf_hash(line[:-1]).hex(), leaf.at_ns)
    for happening in edited:
        head, entry = append_entry(head, happening)
        lines.append(entry + b"\n")
    return b"".join(lines)


def _happenings(log: Log) -> list[Happening]:
    leaves = [leaf_of(line[:-1]) for line in log.lines]
    return [Happening(*(getattr(leaf, name) for name in Happening._fields)) for leaf in leaves]


def _flip(log: Log, rng: random.Random) -> Log:
    data = bytearray(log.entries)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return log._replace(entries=bytes(data))


def _byte(log: Log, rng: random.Random) -> Log:
    data = bytearray(log.entries)
    data[rng.randrange(len(data))] = rng.randrange(256)
    return log._replace(entries=bytes(data))


def _note(log: Log, rng: random.Random) -> Log:
    place = rng.randrange(len(log.notes))
    note = list(log.notes[place])
    note[rng.randrange(len(note))] = chr(rng.randrange(32, 127))
    return log._replace(notes=(*log.notes[:place], "".join(note), *log.notes[place + 1 :]))


def _reorder(log: Log, rng: random.Random) -> Log:
    lines = log.lines
    a, b = rng.sample(range(len(lines)), 2)
    lines[a], lines[b] = lines[b], lines[a]
    return log._replace(entries=b"".join(lines))


def _drop(log: Log, rng: random.Random) -> Log:
    lines = log.lines
    del lines[rng.randrange(len(lines))]
    return log._replace(entries=b"".join(lines))


def _drop_and_rewrite(log: Log, rng: random.Random) -> Log:
    what = _happenings(log)
    gone = rng.choice(what).action_id
    return log._replace(entries=_again(log, 0, [h for h in what if h.action_id != gone], rng))


def _insert_copy(log: Log, rng: random.Random) -> Log:
    lines = log.lines
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return log._replace(entries=b"".join(lines))


def _insert_forged(log: Log, rng: random.Random) -> Log:
    what, place = _happenings(log), rng.randrange(len(log.lines))
    forged = Happening("", "", "autonomy_raised", "nobody", what[place].at_ns)
    return log._replace(entries=_again(log, place, [forged, *what[place:]], rng))


def _cut_bytes(log: Log, rng: random.Random) -> Log:
    return log._replace(entries=log.entries[: rng.randrange(len(log.entries))])


def _cut_lines(log: Log, rng: random.Random) -> Log:
    return log._replace(entries=b"".join(log.lines[: rng.randrange(len(log.lines))]))


def _cut_with_checkpoints(log: Log, rng: random.Random) -> Log:
    keep = rng.randrange(len(log.notes))
    size = int(log.notes[keep].splitlines()[1]) if keep < len(log.notes) - 1 else 0
    return Log(b"".join(log.lines[:size]), log.notes[: keep + 1] if size else ())


def _replace_tail(log: Log, rng: random.Random) -> Log:
    what = _happenings(log)
    place = rng.randrange(len(what))
    other = [h._replace(actor="worker-9", at_ns=h.at_ns + 1) for h in what[place:]]
    return log._replace(entries=_again(log, place, other, rng))


def _edit_and_rewrite(log: Log, rng: random.Random) -> Log:
    what = _happenings(log)
    place = rng.randrange(len(what))
    what[place] = what[place]._replace(**{rng.choice(["actor", "body_digest"]): "sha256:" + rng.randbytes(32).hex()})
    return log._replace(entries=_again(log, place, what[place:], rng))


def _fork(log: Log, rng: random.Random) -> Log:
    lines, what = log.lines, _happenings(log)
    place = rng.randrange(len(lines))
    other = _again(log, place, [what[place]._replace(actor="worker-9")], rng).splitlines(keepends=True)[-1]
    lines.insert(place + rng.randrange(2), other)
    return log._replace(entries=b"".join(lines))


def _sign_again(log: Log, rng: random.Random) -> Log:
    """The whole history anew, signed with a key of the falsifier under the name of the log."""
    what = [h._replace(actor="worker-9") for h in _happenings(log)]
    return written(what, Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)))


def _checkpoint_of_another_log(log: Log, rng: random.Random) -> Log:
    place = rng.randrange(len(log.notes))
    other = log.notes[place].replace(ORIGIN, "tidegate/prod")
    return log._replace(notes=(*log.notes[:place], other, *log.notes[place + 1 :]))


def _grown(log: Log, rng: random.Random) -> Log:
    """Entries that nobody signed, well made, at the end."""
    more = [Happening("", "", "autonomy_raised", "nobody", 2 * 10**18)] * rng.randrange(1, 5)
    return log._replace(entries=_again(log, len(log.lines), more, rng))


def _no_checkpoints(log: Log, rng: random.Random) -> Log:
    return log._replace(notes=())


def _line_ends(log: Log, rng: random.Random) -> Log:
    lines = log.lines
    place = rng.randrange(len(lines))
    lines[place] = lines[place].rstrip(b"\n") + rng.choice([b"\r\n", b" \n", b"\n\n", b"", b"\x00\n"])
    return log._replace(entries=b"".join(lines))


def _spelling(log: Log, rng: random.Random) -> Log:
    """Other bytes of the same JSON value."""
    lines = log.lines
    place = rng.randrange(len(lines))
    old, new = rng.choice(
        [(b'":', b'": '), (b'","', b'", "'), (b"worker", b"\\u0077orker"), (b'"at_ns":"', b'"at_ns":"0')]
    )
    lines[place] = lines[place].replace(old, new, 1)
    return log._replace(entries=b"".join(lines))


WAYS: dict[str, Callable[[Log, random.Random], Log]] = {
    "a bit is flipped": _flip,
    "a byte is replaced": _byte,
    "a checkpoint is changed": _note,
    "two entries change places": _reorder,
    "an entry is dropped": _drop,
    "an action is dropped and the chain made anew": _drop_and_rewrite,
    "an entry is repeated": _insert_copy,
    "an entry is forged and the chain made anew": _insert_forged,
    "the end is cut off within an entry": _cut_bytes,
    "the end is cut off": _cut_lines,
    "the end is cut off with its checkpoints": _cut_with_checkpoints,
    "the tail is replaced": _replace_tail,
    "a field is changed and the chain made anew": _edit_and_rewrite,
    "the chain is forked": _fork,
    "everything is signed anew with another key": _sign_again,
    "a checkpoint is renamed": _checkpoint_of_another_log,
    "unsigned entries are added": _grown,
    "the checkpoints are taken away": _no_checkpoints,
    "line ends are changed": _line_ends,
    "an entry is spelled otherwise": _spelling,
}
NEEDS_ANCHOR = frozenset({"the end is cut off with its checkpoints"})
