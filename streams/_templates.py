"""Log templates: lines of free text become few, stable keys, in one pass and bounded memory.

Four steps, each rarer and dearer than the one before. A cache keyed by the line's shape (the line without its digits)
answers most lines with one look-up; lines with identifiers of letters and digits go to a second one, where words are
the same from their first digit on. What neither knows is reduced to its skeleton, which depends on the line alone; a
skeleton is a template. Only a new skeleton is compared with others: where many differ in one and the same word, that
word is a value, and further ones share a template. A key never changes once given.

Lines of one shape share the key of the first of them, so `worker 7 failed` and `worker failed` are not told apart.

What an attacker can do with lines is bounded: 1,000 templates a service, then `<other>`; caches bounded in entries and
bytes; only the first 2,048 characters of a line are read. Lines must come in a deterministic order; the caller sorts.
Measured by `bench.templates`.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams._errors import SnapshotError
from streams._templates_recent import Recent
from streams._templates_skeleton import LINE_CHARS, WILD, skeleton

OTHER = "<other>"
_DIGITS = b"0123456789"
_NUMBERED = re.compile(rb"(?:\b[A-Fa-f]{1,8})?(?<!IP[vV])[0-9][0-9A-Za-z_$-]*")
"""From the first digit of a word on, and before it letters that could be digits of a hexadecimal number."""
_ALIKE = 16
"""So many templates that differ in one word make that word a value. Chosen above what enumerations of states have."""
_PLACES = 24
_SPACES = re.compile(r" (?=[:,;.)\]}])|(?<=[(\[{]) ")


@dataclass(slots=True)
class Miner:
    """Templates of one service; `overflow` counts lines that found no room and went to `<other>`."""

    limit: int = 1000
    templates: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Key by skeleton, in order of birth."""
    overflow: int = 0
    _alike: dict[bytes, int] = field(default_factory=dict)
    """How many templates there are but for one word; follows from `templates`."""
    _shapes: Recent = field(default_factory=Recent)
    _words: Recent = field(default_factory=Recent)

    def key(self, line: str) -> str:
        """The key of the template that the line belongs to; a new one is made if none fits and there is room.

        >>> miner = Miner()
        >>> miner.key("user 17 logged in") == miner.key("user 23 logged in")
        True
        """
        return self.keys([line])[0]

    def keys(self, lines: Sequence[str]) -> list[str]:
        """The key of each line, in order; the same as `key` line by line, at a quarter of the cost."""
        shapes = _shapes(lines)
        young = self._shapes.young
        met = list(map(young.get, shapes))
        if None in met:
            for at, key in enumerate(met):
                if key is None or self._shapes.young is not young:
                    met[at] = self._shapes.get(shapes[at]) or self._unmet(shapes[at], lines[at])
        found = [key for key in met if key is not None]
        if len(self.templates) >= self.limit:
            self.overflow += found.count(OTHER)
        return found

    def _unmet(self, shape: bytes, line: str) -> str:
        words = _NUMBERED.sub(b"0", line[:LINE_CHARS].encode("utf-8", "replace"))
        key = self._words.get(words)
        if key is None:
            key = self._find(skeleton(line))
            self._words.put(words, key)
        self._shapes.put(shape, key)
        return key

    def _find(self, tokens: tuple[str, ...]) -> str:
        found = self.templates.get(tokens)
        if found is not None:
            return found
        general = None
        for place, mark in _but_one(tokens):
            if self._alike.get(mark, 0) >= _ALIKE:
                general = (*tokens[:place], WILD, *tokens[place + 1 :])
                found = self.templates.get(general)
                break
        if found is not None:
            return found
        if len(self.templates) >= self.limit:
            return OTHER
        return self._add(general or tokens)

    def _add(self, tokens: tuple[str, ...]) -> str:
        text = " ".join(tokens)
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).hexdigest()
        key = f"{digest} {_SPACES.sub('', text)[:60]}"
        self.templates[tokens] = key
        for _, mark in _but_one(tokens):
            self._alike[mark] = self._alike.get(mark, 0) + 1
        return key

    def dump(self) -> dict[str, Any]:
        """The cache goes along: what a shape was first matched to stays so after a restart."""
        numbers = {key: at for at, key in enumerate(self.templates.values())}
        return {
            "limit": self.limit, "overflow": self.overflow, "templates": [list(tokens) for tokens in self.templates],
            "shapes": self._shapes.dump(numbers), "words": self._words.dump(numbers),
        }  # fmt: skip

    @classmethod
    def load(cls, data: dict[str, Any]) -> "Miner":
        """Raises SnapshotError."""
        if "shapes" not in data:
            what = "a snapshot of an earlier version: its log templates are kept in another form"
            raise SnapshotError(what, todo="Delete the snapshot; it is rebuilt from the log")
        miner = cls(data["limit"], overflow=data["overflow"])
        keys = [*(miner._add(tuple(tokens)) for tokens in data["templates"]), OTHER]
        miner._shapes, miner._words = Recent.load(data["shapes"], keys), Recent.load(data["words"], keys)
        return miner


def _shapes(lines: Sequence[str]) -> list[bytes]:
    """Each line without its digits; all at once, if no line holds what they are joined by."""
    shapes = "\x00".join(lines).encode("utf-8", "replace").translate(None, _DIGITS).split(b"\x00")
    if len(shapes) != len(lines):
        return [line.encode("utf-8", "replace").translate(None, _DIGITS) for line in lines]
    return shapes


def _but_one(tokens: tuple[str, ...]) -> Iterator[tuple[int, bytes]]:
    """Each place of a plain word among the first 24 that has two others beside it, and a mark of all tokens but it."""
    words = [place for place, token in enumerate(tokens) if token[0].isalpha()]
    if len(words) < 3:
        return
    for place in words[:_PLACES]:
        rest = "\x1f".join((*tokens[:place], "", *tokens[place + 1 :]))
        yield place, hashlib.blake2b(rest.encode("utf-8", "replace"), digest_size=12).digest()
