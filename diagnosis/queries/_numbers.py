"""What queries have in common: reading foreign JSON without believing it, and comparing before with after."""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from diagnosis._contract import Finding, QueryFailed
from schemas.core import NS

BEFORE_S = 900.0
LEAST = 3
"""Samples before the onset; fewer are no comparison."""


def at(document: Any, *path: str | int) -> Any:
    """What lies there, None if nothing does.

    >>> at({"a": [{"b": 1}]}, "a", 0, "b"), at({"a": 1}, "a", 0, "b")
    (1, None)
    """
    for part in path:
        if isinstance(part, str):
            document = document.get(part) if isinstance(document, dict) else None
        else:
            document = document[part] if isinstance(document, list) and -len(document) <= part < len(document) else None
    return document


def items(document: Any, *path: str | int, most: int = 2000) -> list[Any]:
    """The list there, cut; empty if there is none."""
    found = at(document, *path)
    return found[:most] if isinstance(found, list) else []


def number(value: Any) -> float | None:
    """A finite number, also as text; None otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def time_ns(value: Any) -> int | None:
    """An RFC 3339 time; None if it is none."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) and len(value) < 40 else None
        return None if found is None or found.tzinfo is None else round(found.timestamp() * 1000) * (NS // 1000)
    except (ValueError, OverflowError):
        return None


def needed(document: Any, code: str, *path: str | int) -> list[Any]:
    """The list there. Raises QueryFailed with the code if the answer has another form."""
    found = at(document, *path)
    if not isinstance(found, list):
        raise QueryFailed(code, f"the answer has no list at {'.'.join(str(part) for part in path)}")
    return found[:2000]


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found) if found else 0.0


def compared(
    kind: str, service: str, before: float, now: float, samples: int, onset_ns: int, end_ns: int, *, rises: bool = True
) -> Finding:
    """As strong as the relative rise (or any difference), |now - before| / (now + before); 0 where it fell."""
    whole = abs(before) + abs(now)
    strength = abs(now - before) / whole if whole else 0.0
    if rises and now <= before:
        strength = 0.0
    return Finding(
        kind=kind, service=service, strength=digits(strength), now=digits(now), before=digits(before), samples=samples,
        start_ns=onset_ns - int(BEFORE_S * NS), end_ns=max(end_ns, onset_ns),
    )  # fmt: skip


def shown(
    kind: str, service: str, strength: float, now: float | None, samples: int, onset_ns: int, end_ns: int,
    before: float | None = None,
) -> Finding:  # fmt: skip
    """A finding that is no comparison of two times."""
    return Finding(
        kind=kind, service=service, strength=digits(min(max(strength, 0.0), 1.0)), now=now, before=before,
        samples=samples, start_ns=onset_ns - int(BEFORE_S * NS), end_ns=max(end_ns, onset_ns),
    )  # fmt: skip


def digits(value: float) -> float:
    return float(f"{value:.12g}")
