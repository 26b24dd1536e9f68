"""Runbooks of equal priority that fit one cause are shown with that cause."""

from typing import Any

import pytest

from actions import Runbook, Runbooks, runbook_overlaps


def book(id: str, when: dict[str, Any], priority: int = 0, verb: str = "") -> Runbook:
    return Runbook.model_validate({
        "id": id, "title": id, "priority": priority, "when": when, "safety": ["s"],
        "steps": [{"id": "s", "verb": verb or id, "target": "t"}],
        "cases": [{"name": "n", "given": {}, "expect": []}],
    })  # fmt: skip


OTHERWISE = book("z", {"otherwise": True})


@pytest.mark.parametrize(
    ("a", "b", "example"),
    [
        ({}, {}, {"family": "any", "has_change": False}),
        ({"families": ["cpu", "memory"]}, {"families": ["memory"]}, {"family": "memory", "has_change": False}),
        ({"change_kinds": ["deploy"]}, {}, {"family": "any", "has_change": True, "change_kind": "deploy"}),
        ({"families": ["cpu"]}, {"families": ["memory"]}, None),
        ({"has_change": True}, {"has_change": False}, None),
        ({"has_change": False}, {"change_kinds": ["deploy"]}, None),
        ({"change_kinds": ["scale"]}, {"change_kinds": ["deploy"]}, None),
        ({"during": ["peak"]}, {"not_during": ["peak", "freeze"]}, None),
        ({"during": ["peak"]}, {"not_during": ["freeze"]}, {"family": "any", "has_change": False}),
    ],
)
def test_two_that_fit_one_cause_are_shown_with_it(a: Any, b: Any, example: Any) -> None:
    found = runbook_overlaps(Runbooks([book("a", a), book("b", b), OTHERWISE]))
    assert [row["example"] for row in found] == ([example] if example else [])


def test_another_priority_or_the_same_steps_leave_nothing_open() -> None:
    assert runbook_overlaps(Runbooks([book("a", {}), book("b", {}, priority=1), OTHERWISE])) == []
    assert runbook_overlaps(Runbooks([book("a", {}), book("b", {}, verb="a"), OTHERWISE])) == []
