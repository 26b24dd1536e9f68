"""Log templates: lines of free text become few, stable keys, in one pass and bounded memory.

The fast path is a cache keyed by the line's shape (digits removed), so a repeated shape costs one look-up; a new shape
goes through a small fixed-depth tree (Drain, He et al. 2017: same token count, same first token, at least half of the
tokens alike). A template's key is fixed when it is born. Lines must come in a deterministic order; the caller sorts.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

OTHER = "<other>"
_DIGITS = str.maketrans("", "", "0123456789")
_VARIABLE = re.compile(r"\d|^[0-9a-fA-F]{8,}$|^/")
_WILD = "<*>"
_CACHE_LIMIT = 50_000


@dataclass(slots=True)
class Template:
    key: str
    tokens: list[str]


@dataclass(slots=True)
class Miner:
    """Templates of one service; `overflow` counts lines that found no room and went to `<other>`."""

    limit: int = 1000
    templates: dict[str, list[Template]] = field(default_factory=dict)
    """By "token count, first token"."""
    size: int = 0
    overflow: int = 0
    _cache: dict[str, str] = field(default_factory=dict)

    def key(self, line: str) -> str:
        """The key of the template that the line belongs to; a new one is made if none fits and there is room.

        >>> miner = Miner()
        >>> miner.key("user 17 logged in") == miner.key("user 23 logged in")
        True
        """
        shape = line.translate(_DIGITS)
        found = self._cache.get(shape)
        if found is None:
            found = self._match(line)
            if len(self._cache) < _CACHE_LIMIT:
                self._cache[shape] = found
        if found == OTHER:
            self.overflow += 1
        return found

    def _match(self, line: str) -> str:
        tokens = [_WILD if _VARIABLE.search(token) else token for token in line.split()[:64]] or [""]
        leaf = f"{len(tokens)} {tokens[0]}"
        best, score = None, 0.5
        for template in self.templates.get(leaf, []):
            alike = sum(a == b for a, b in zip(template.tokens, tokens, strict=True)) / len(tokens)
            if alike > score or (alike == score and best is None):
                best, score = template, alike
        if best is not None:
            best.tokens = [a if a == b else _WILD for a, b in zip(best.tokens, tokens, strict=True)]
            return best.key
        if self.size >= self.limit:
            return OTHER
        text = " ".join(tokens)
        key = f"{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()} {text[:60]}"
        self.templates.setdefault(leaf, []).append(Template(key, tokens))
        self.size += 1
        return key

    def dump(self) -> dict[str, Any]:
        """The cache goes along: what a shape was first matched to stays so after a restart."""
        templates = {leaf: [[t.key, t.tokens] for t in found] for leaf, found in self.templates.items()}
        return {"limit": self.limit, "templates": templates, "overflow": self.overflow, "cache": self._cache}

    @classmethod
    def load(cls, data: dict[str, Any]) -> "Miner":
        templates = {
            leaf: [Template(key, tokens) for key, tokens in found] for leaf, found in data["templates"].items()
        }
        size = sum(len(found) for found in templates.values())
        return cls(data["limit"], templates, size, data["overflow"], dict(data["cache"]))
