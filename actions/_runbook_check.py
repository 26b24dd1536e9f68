"""Runbooks that fit the same cause with equal priority: the first by id is taken, which nobody wrote down."""

from itertools import combinations
from typing import Any

from actions._runbooks import Runbook, Runbooks, When


def overlaps(runbooks: Runbooks) -> list[dict[str, Any]]:
    """Pairs of equal priority with different steps that fit one cause, with that cause and which one is taken."""
    found = []
    for a, b in combinations(runbooks.runbooks, 2):
        example = _both(a.when, b.when) if a.priority == b.priority and a.steps != b.steps else None
        if example is not None:
            found.append({"runbooks": [a.id, b.id], "priority": a.priority, "example": example, "taken": _first(a, b)})
    return found


def _first(a: Runbook, b: Runbook) -> str:
    return min(a.id, b.id)


def _both(a: When, b: When) -> dict[str, Any] | None:
    """A cause that both fit, None if there is none."""
    if a.otherwise or b.otherwise:
        return None
    families, kinds = _meet(a.families, b.families), _meet(a.change_kinds, b.change_kinds)
    said = {w for w in (a.has_change, b.has_change) if w is not None} | ({True} if kinds else set())
    if families is None or kinds is None or len(said) > 1 or _apart(a, b) or _apart(b, a):
        return None
    example: dict[str, Any] = {"family": families[0] if families else "any", "has_change": True in said}
    return example | ({"change_kind": kinds[0]} if kinds else {})


def _apart(a: When, b: When) -> bool:
    """One fits only during what keeps the other from fitting."""
    return bool(a.during) and set(a.during) <= set(b.not_during)


def _meet(a: list[Any], b: list[Any]) -> list[Any] | None:
    """What both allow; an empty list is anything, None is nothing."""
    if not a or not b:
        return a or b
    return [value for value in a if value in b] or None
