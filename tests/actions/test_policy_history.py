"""Decisions taken apart and judged again: by the snapshot that was judged, and what nearly changes them."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actions import INVARIANTS, NEUTRAL, Policies, Rule, explain_decision, flips, judged, names_read, simulate
from schemas import ActionEvent, Cause, Hypothesis, Json, ProposedChange

ABLE: dict[str, Json] = NEUTRAL | {"has_executor": True}
SURE: dict[str, Json] = ABLE | {"confidence_low": 0.76, "is_calibrated": True, "confidence_state": "OWN"}


def event(policies: Policies, snapshot: dict[str, Json], n: int = 0) -> ActionEvent:
    change = ProposedChange(verb="v", target="t/service/s", parameters={}, is_reversible=True, runbook="r", digest="d")
    cause = Cause(entity="s", entity_id="t/service/s", family="change")
    return ActionEvent(
        id=f"e{n}", action_id=f"a{n}", incident_id="i", diagnosis_id="d", sequence=n, state="gated", at_ns=n,
        change=change, hypothesis=Hypothesis(cause=cause, score=1.0, reason="r"),
        decision=judged(policies, snapshot), snapshot=snapshot,
    )  # fmt: skip


def simple(*facts: tuple[str, Any, int]) -> Policies:
    return Policies(
        Rule(id=f"r{n}", when=when, effect=effect, priority=p, reason=f"R{n}", text="t")
        for n, (when, effect, p) in enumerate(facts)
    )


THRESHOLDS = simple(
    ("is_critical", "require_approval", 5), ("confidence_low > 0.7", "permit", 0),
    ("confidence_low >= 0.5 && confidence_low <= 0.7", "advise", 0), ("confidence_low < 0.5", "deny", 0),
)  # fmt: skip


def test_an_explanation_says_what_each_rule_said_and_on_what() -> None:
    found = explain_decision(THRESHOLDS, event(THRESHOLDS, SURE))
    assert (found["decision"]["effect"], found["is_same_policy"], found["snapshot_state"]) == (
        "permit",
        True,
        "as judged",
    )
    assert {row["id"]: row["holds"] for row in found["rules"]} == {"r0": False, "r1": True, "r2": False, "r3": False}
    assert next(row for row in found["rules"] if row["id"] == "r1")["reads"] == {"confidence_low": 0.76}


def test_a_flip_names_the_bound_and_what_must_change_along() -> None:
    found = {(f.effect, next(iter(f.changed))): f for f in flips(THRESHOLDS, SURE)}
    assert found["advise", "confidence_low"].changed == {"confidence_low": 0.7}
    assert found["deny", "confidence_low"].bound == "below 0.5"
    assert found["require_approval", "is_critical"].changed == {"is_critical": True, "tier": "critical"}
    up = {f.effect: f for f in flips(THRESHOLDS, SURE | {"confidence_low": 0.6})}
    assert (up["permit"].bound, up["permit"].reason) == ("above 0.7", "R1")


def test_what_would_be_permitted_if_something_could_perform_it_is_said_too() -> None:
    unable = SURE | {"has_executor": False}
    found = [(f.effect, f.changed) for f in flips(THRESHOLDS, unable)]
    assert ("permit", {"has_executor": True}) in found
    low = flips(THRESHOLDS, unable | {"confidence_low": 0.6})
    assert ("permit", "above 0.7", {"confidence_low", "has_executor"}) in [
        (f.effect, f.bound, {*f.changed}) for f in low
    ]


def test_other_rules_and_altered_snapshots_are_said() -> None:
    other = simple(("true", "deny", 0))
    assert explain_decision(other, event(THRESHOLDS, SURE))["now"]["effect"] == "deny"
    altered = event(THRESHOLDS, SURE).model_copy(update={"snapshot": SURE | {"confidence_low": 0.9}})
    found = explain_decision(THRESHOLDS, altered)
    assert (found["snapshot_state"], found["flips"]) == ("altered", [])
    absent = event(THRESHOLDS, SURE).model_copy(update={"snapshot": {}})
    assert explain_decision(THRESHOLDS, absent)["snapshot_state"] == "absent"


def test_history_under_other_rules_is_a_table_of_differences() -> None:
    events = [event(THRESHOLDS, SURE | {"confidence_low": low}, n) for n, low in enumerate((0.3, 0.6, 0.72, 0.9))]
    stricter = simple(("confidence_low > 0.8", "permit", 0), ("confidence_low <= 0.8", "advise", 0))
    found = simulate(stricter, events, names_read(stricter)).document()
    assert (found["decisions"], found["changed"]) == (4, 2)
    assert found["transitions"] == {"deny -> advise": 1, "permit -> advise": 1}
    assert simulate(THRESHOLDS, events, names_read(THRESHOLDS)).document()["changed"] == 0


def test_a_verb_that_nothing_performs_is_advised_in_history_too() -> None:
    unable = event(THRESHOLDS, SURE | {"has_executor": False})
    assert unable.decision and unable.decision.reason == "NO_EXECUTOR"
    assert simulate(THRESHOLDS, [unable]).document()["changed"] == 0


def test_a_snapshot_without_a_name_that_the_rules_read_is_not_judged() -> None:
    old = event(THRESHOLDS, {k: v for k, v in SURE.items() if k != "blast_radius"})
    newer = simple(("blast_radius > 3", "deny", 1), ("true", "permit", 0))
    found = simulate(newer, [old, old.model_copy(update={"snapshot": {}})], names_read(newer)).document()
    assert (found["decisions"], found["not_judged"]) == (0, 2)
    assert found["rows"][0]["missing"] == ["blast_radius"]


@settings(max_examples=60, deadline=None)
@given(low=st.floats(0.01, 1), critical=st.booleans(), peak=st.booleans())
def test_every_flip_flips_and_is_a_snapshot_that_can_be(low: float, critical: bool, peak: bool) -> None:
    snapshot = SURE | {"confidence_low": low, "in_peak": peak, "is_critical": critical}
    snapshot["tier"] = "critical" if critical else "low"
    given_ = simple(*((text, "permit", 0) for text in INVARIANTS))
    now = judged(THRESHOLDS, snapshot).effect
    found = flips(THRESHOLDS, snapshot)
    assert found
    for flip in found:
        after = {**snapshot, **flip.changed}
        assert judged(THRESHOLDS, after).effect == flip.effect != now
        assert all(answer for _, answer in given_.answers(after))
