"""The snapshot: a closed set of names, as of event time, the same bytes for the same facts."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actions import INVARIANTS, NAMES, Hours, Policies, PolicyError, Rule, ServiceProfile, Verbs
from actions._decide_state import DecideState
from actions._services import mode_of, weekday_of
from actions._snapshot import Surroundings, corroboration, snapshot_of
from schemas import (
    Cause,
    Change,
    Diagnosis,
    Evidence,
    EvidencePointer,
    Hypothesis,
    Json,
    ProposedChange,
)
from schemas.core import NS

SERVICE = "default/service/checkout"
SATURDAY_22 = (2 * 24 + 22) * 3600 * NS  # 1970-01-03
CHANGE = ProposedChange(
    verb="gitops.revert", target=SERVICE, parameters={}, is_reversible=True, runbook="r", digest="sha256:0"
)


def hypothesis(signal: str = "metrics", **cause: Any) -> Hypothesis:
    pointer = EvidencePointer.model_validate(
        {"signal": signal, "subject": "s", "t_min_ns": 0, "t_max_ns": 1, "sha256": "sha256:1"}
    )
    seen = Evidence.model_validate({"kind": "k", "for": True, "weight": 1.0, "text": "t", "pointer": pointer})
    body = {"entity": "checkout", "entity_id": SERVICE, "family": "change"} | cause
    return Hypothesis(cause=Cause.model_validate(body), score=1.0, reason="r", evidence=[seen])


def seen(verbs: Verbs, found: Hypothesis | None = None, at_ns: int = SATURDAY_22, **around: Any) -> dict[str, Json]:
    top = found or hypothesis()
    diagnosis = Diagnosis(
        id="d", incident_id="i", as_of_ns=at_ns, opened_ns=0, entities=[SERVICE], severity=1.0, hypotheses=[top]
    )
    return snapshot_of(diagnosis, top, CHANGE, verbs.get("gitops.revert"), Surroundings(**around))


def test_each_name_has_its_type_and_lies_in_its_domain(verbs: Verbs) -> None:
    snapshot, kinds = seen(verbs), {"bool": bool, "int": int, "double": float, "string": str, "list": list}
    assert snapshot.keys() == NAMES.keys()
    for name, spec in NAMES.items():
        for value in (snapshot[name], spec.neutral):
            assert type(value) is kinds[spec.kind], name
            assert not spec.values or spec.kind == "list" or value in spec.values, name


def test_time_of_day_is_that_of_the_event(verbs: Verbs) -> None:
    snapshot = seen(verbs)
    assert (snapshot["weekday"], snapshot["hour_utc"], weekday_of(0)) == (6, 22, 4)


def test_the_services_of_target_and_cause_count_both(verbs: Verbs) -> None:
    services = {
        "checkout": ServiceProfile(labels=frozenset({"pci"})),
        "ledger": ServiceProfile("critical", frozenset({"sox"}), frozenset({"billing"})),
    }
    snapshot = seen(verbs, hypothesis(entity="ledger"), services=services)
    assert (snapshot["tier"], snapshot["is_critical"]) == ("critical", True)
    assert (snapshot["labels"], snapshot["human_classes"]) == (["pci", "sox"], ["billing"])


def test_a_schema_change_is_for_people(verbs: Verbs) -> None:
    change = Change(id="c", entity_id=SERVICE, service="checkout", kind="schema", at_ns=0, title="t")
    snapshot = seen(verbs, hypothesis(change="c"), change=change)
    assert (snapshot["change_kind"], snapshot["human_classes"]) == ("schema", ["schema"])
    assert seen(verbs, hypothesis(change="c"))["change_kind"] == "unknown"


def test_business_figures_among_the_evidence_are_business_impact(verbs: Verbs) -> None:
    assert seen(verbs, hypothesis("business"))["has_business_impact"] is True
    assert seen(verbs)["has_business_impact"] is False


def test_nobody_is_there_outside_the_hours_said(verbs: Verbs) -> None:
    weekdays = {"checkout": ServiceProfile(on_call=(Hours.parse("mon-fri 08:00-18:00"),))}
    assert seen(verbs, services=weekdays)["is_staffed"] is False
    assert seen(verbs, at_ns=SATURDAY_22 + 36 * 3600 * NS, services=weekdays)["is_staffed"] is True
    assert seen(verbs)["is_staffed"] is True


def test_confidence_is_the_lower_end_of_an_own_interval_and_zero_otherwise(verbs: Verbs) -> None:
    own = {"confidence": 0.83, "interval": (0.76, 0.89), "confidence_state": "OWN"}
    lows = [
        seen(verbs, hypothesis().model_copy(update=own | more))["confidence_low"]
        for more in ({}, {"confidence_state": "TRANSFERRED"}, {"interval": None}, {"interval": (0.86, 0.89)})
    ]
    assert lows == [0.76, 0.0, 0.0, 0.83]
    assert seen(verbs)["attempt"] == seen(verbs)["blast_radius"] == 1


@pytest.mark.parametrize(
    ("minute", "is_there"), [(9 * 60 - 1, False), (9 * 60, True), (17 * 60 + 29, True), (17 * 60 + 30, False)]
)
def test_hours_hold_to_the_minute(minute: int, is_there: bool) -> None:
    assert Hours.parse("thu 09:00-17:30").holds(minute * 60 * NS) is is_there  # 1970-01-01 was a Thursday


@pytest.mark.parametrize("text", ["", "mon-fri", "mon 18:00-08:00", "xyz 08:00-09:00", "mon 08:00-25:00"])
def test_hours_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        Hours.parse(text)


def test_the_most_specific_mode_counts() -> None:
    modes: dict[str, Any] = {"*": "shadow", "@low": "approve", "restart": "advise", "restart@low": "act"}
    assert mode_of(modes, "restart", "low") == "act" and mode_of(modes, "restart", "critical") == "advise"
    assert mode_of(modes, "scale", "low") == "approve" and mode_of(modes, "scale", "critical") == "shadow"
    assert mode_of({}, "scale", "critical") == "act"


def test_the_blast_radius_counts_all_that_call_directly_or_through_others() -> None:
    state = DecideState()
    for caller, callee in (("web", "checkout"), ("app", "web"), ("checkout", "db"), ("db", "checkout")):
        state.called(caller, callee, 10, 20)
    assert state.reach("checkout", 30, 0) == {"checkout", "web", "app", "db"}
    assert state.reach("web", 30, 0) == {"web", "app"}
    assert state.reach("checkout", 30, 21) == state.reach("checkout", 9, 0) == {"checkout"}


@settings(max_examples=100, deadline=None)
@given(
    change=st.sampled_from([None, "c"]),
    kind=st.sampled_from(["deploy", "schema", "config"]),
    state=st.sampled_from(["UNCALIBRATED", "TRANSFERRED", "OWN"]),
    confidence=st.one_of(st.none(), st.floats(0, 1)),
    tier=st.sampled_from(["low", "standard", "critical"]),
)
def test_what_the_checks_take_for_granted_holds_in_every_snapshot(
    verbs: Verbs, change: str | None, kind: Any, state: Any, confidence: float | None, tier: Any
) -> None:
    record = Change(id="c", entity_id=SERVICE, service="checkout", kind=kind, at_ns=0, title="t")
    interval = None if confidence is None else (confidence / 2, confidence)
    found = hypothesis(change=change).model_copy(
        update={"confidence_state": state, "confidence": confidence, "interval": interval}
    )
    snapshot = seen(verbs, found, change=record, services={"checkout": ServiceProfile(tier)})
    rules = [Rule(id=f"i{n}", when=w, effect="permit", reason="R", text="t") for n, w in enumerate(INVARIANTS)]
    assert all(answer for _, answer in Policies(rules).answers(snapshot))


@pytest.mark.parametrize(
    ("senders", "left"),
    [
        (["prometheus", "collector"], 0.5),
        (["prometheus", "prometheus", "prometheus", "collector"], 0.25),
        (["prometheus", "prometheus"], 0.0),
        (["prometheus", "collector,prometheus"], 0.0),  # both write to the second series
        (["prometheus", "collector,?"], 0.0),
        (["", ""], 0.0),
        (["prometheus", "collector", ""], 1 / 3),
        (["prometheus", "asked:kubernetes"], 0.5),
    ],
)
def test_evidence_weighs_what_is_left_without_any_one_of_its_senders(senders: list[str], left: float) -> None:
    pointer = EvidencePointer(signal="metrics", subject="s", t_min_ns=0, t_max_ns=1, sha256="sha256:1")
    body = {"kind": "k", "for": True, "weight": 2.0, "text": "t"}
    said = [Evidence.model_validate(body | {"pointer": pointer.model_copy(update={"sender": s})}) for s in senders]
    change = Evidence.model_validate(body | {"kind": "change", "weight": 9.0})
    doubt = said[0].model_copy(update={"supports": False, "weight": -1.0})
    assert corroboration([*said, change, doubt]) == pytest.approx(left, abs=1e-6)
