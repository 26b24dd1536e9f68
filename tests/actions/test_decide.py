"""Decide: one physical change is one action, in order, by the policies, whatever happens on the way."""

from collections.abc import Callable
from typing import Any

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from actions import (
    NEUTRAL,
    Decide,
    DecideSettings,
    Policies,
    Rule,
    Runbooks,
    ServiceProfile,
    StateInvalid,
    Verbs,
    digest_of,
    snapshot_digest,
)
from actions._decide import judged_again
from actions._plans import asked_of, plan_of
from actions._snapshot import Surroundings, snapshot_of
from schemas import (
    CALENDAR,
    CHANGES,
    CONTROL,
    DIAGNOSES,
    TOPOLOGY,
    ActionEvent,
    CalendarEntry,
    Cause,
    Change,
    Control,
    Diagnosis,
    Evidence,
    EvidencePointer,
    Hypothesis,
    Record,
    TopologyEdge,
    emit,
)
from schemas.core import NS, Emit, Event, Message, Tick

T0 = 1_674_987_600 * NS
MINUTE = 60 * NS
SERVICE = "default/service/checkout"
DEPLOY = Change(
    id="chg-4521", entity_id=SERVICE, service="checkout", kind="deploy", at_ns=T0 - 4 * MINUTE, title="deploy #4521",
    version_from="v41", version_to="v42",
)  # fmt: skip
POINTER = EvidencePointer(signal="metrics", subject="00ff", t_min_ns=T0, t_max_ns=T0 + 1, sha256="sha256:00")
SAID = {"kind": "onset", "for": True, "weight": 1.0, "text": "t"}
EVIDENCE = [
    Evidence.model_validate(SAID | {"pointer": POINTER.model_copy(update={"sender": sender})})
    for sender in ("collector", "prometheus", "prometheus")
]
TOPICS = {"diagnosis": DIAGNOSES, "change": CHANGES, "calendar": CALENDAR, "control": CONTROL, "edge": TOPOLOGY}


def hypothesis(change: str | None = "chg-4521", **more: Any) -> Hypothesis:
    cause = {"entity": "checkout", "entity_id": SERVICE, "family": "change", "change": change}
    cause |= more.pop("cause", {})
    return Hypothesis(
        cause=Cause.model_validate(cause), score=1.0, reason="onset after deploy", evidence=EVIDENCE, **more
    )


SURE = hypothesis(confidence=0.83, confidence_state="OWN", interval=(0.76, 0.89))


def diagnosis(
    *hypotheses: Hypothesis, incident: str = "inc-1", revision: int = 0, at_ns: int = T0, **more: Any
) -> Diagnosis:
    body: dict[str, Any] = {"id": f"{incident}-{revision}", "opened_ns": T0, "entities": [SERVICE], "severity": 5.7}
    body |= {"incident_id": incident, "revision": revision, "as_of_ns": at_ns, "hypotheses": list(hypotheses)}
    return Diagnosis.model_validate(body | more)


def message(record: Record, event_ns: int = T0) -> Message:
    sent = emit(TOPICS[record.TYPE], record, id="m", key="k", source="test", event_ns=event_ns)
    return Message(sent.topic, 0, 0, sent.key, sent.value, sent.headers, event_ns, 0)


@pytest.fixture(scope="session")
def stage(verbs: Verbs, shipped_runbooks: Runbooks, shipped_policies: Policies) -> Decide:
    return Decide(verbs, shipped_runbooks, shipped_policies)


@pytest.fixture(scope="session")
def able(make_verbs: Callable[..., Verbs], shipped_runbooks: Runbooks, shipped_policies: Policies) -> Decide:
    """As if something could perform both verbs."""
    return Decide(make_verbs("gitops.revert", "notify.owner"), shipped_runbooks, shipped_policies)


@pytest.fixture(scope="session")
def forgetful(stage: Decide) -> Decide:
    hour = DecideSettings(ownership_ns=60 * MINUTE, retention_ns=60 * MINUTE)
    return Decide(stage.verbs, stage.runbooks, stage.policies, hour)


def event_ns(record: Record | Tick) -> int:
    names = ("as_of_ns", "at_ns", "start_ns", "through_ns")
    return next(int(getattr(record, name)) for name in names if hasattr(record, name))


def sent(stage: Decide, *inputs: Record | Tick) -> list[Emit]:
    state, found = stage.initial(), []
    for item in inputs:
        event: Event = item if isinstance(item, Tick) else message(item)
        state, outputs = stage.step(state, event)
        found += [output for output in outputs if isinstance(output, Emit)]
    return found


def run(stage: Decide, *inputs: Record | Tick) -> list[ActionEvent]:
    return [ActionEvent.from_bytes(output.value, strict=True) for output in sent(stage, *inputs)]


def reasons(events: list[ActionEvent]) -> list[tuple[str, str | None]]:
    return [(e.state, e.decision.reason if e.decision else None) for e in events]


def test_a_bad_deploy_becomes_the_exact_revert_as_advice(stage: Decide) -> None:
    events = run(stage, DEPLOY, diagnosis(hypothesis()))
    assert reasons(events) == [("proposed", None), ("gated", "UNCALIBRATED"), ("advised", "UNCALIBRATED")]
    change = events[0].change
    assert (change.verb, change.target, change.runbook) == ("gitops.revert", SERVICE, "error_spike_after_deploy")
    assert change.parameters == {
        "service": "checkout",
        "change": "chg-4521",
        "from_version": "v42",
        "to_version": "v41",
    }
    assert (change.undo_verb, change.is_reversible) == ("gitops.revert", True)
    assert change.digest == digest_of(change)


def test_an_event_carries_hypothesis_evidence_and_digests(stage: Decide) -> None:
    last = run(stage, DEPLOY, diagnosis(hypothesis()))[-1]
    assert (last.incident_id, last.diagnosis_id, last.at_ns) == ("inc-1", "inc-1-0", T0)
    assert last.hypothesis == hypothesis() and last.evidence == [found.pointer for found in EVIDENCE[:2]]
    assert last.decision and last.decision.policy_digest == stage.policies.digest
    assert last.decision.snapshot_digest.startswith("sha256:") and last.decision.policies[0] == "uncalibrated"


def test_the_cloud_events_sdk_reads_every_step(stage: Decide) -> None:
    outputs = sent(stage, DEPLOY, diagnosis(hypothesis()))
    events = [
        kafka.from_kafka(kafka.KafkaMessage(dict(o.headers), o.key, o.value), JSONFormat(), None) for o in outputs
    ]
    assert [e.get_type() for e in events] == [f"io.tidegate.action.{s}" for s in ("proposed", "gated", "advised")]
    assert {e.get_source() for e in events} == {"tidegate/decide"} and len({e.get_id() for e in events}) == 3
    assert all(o.key == SERVICE.encode() and o.event_ns == T0 for o in outputs)
    assert [ActionEvent.model_validate(e.get_data()).sequence for e in events] == [0, 1, 2]


def test_without_an_executor_a_permit_is_only_advice(stage: Decide) -> None:
    assert reasons(run(stage, DEPLOY, diagnosis(SURE)))[1:] == [("gated", "NO_EXECUTOR"), ("advised", "NO_EXECUTOR")]


def test_with_an_executor_a_sure_reversible_change_is_approved(able: Decide) -> None:
    assert reasons(run(able, DEPLOY, diagnosis(SURE)))[-1] == ("approved", "HIGH_CONFIDENCE")


def test_a_critical_service_waits_for_approval(able: Decide) -> None:
    careful = Decide(
        able.verbs, able.runbooks, able.policies, DecideSettings(critical_services=frozenset({"checkout"}))
    )
    last = run(careful, DEPLOY, diagnosis(SURE))[-1]
    assert (last.state, last.decision and last.decision.obligations) == ("awaiting_approval", ["quorum:1"])


@pytest.mark.parametrize(
    "unsure",
    [
        hypothesis(confidence=0.99),
        hypothesis(confidence=0.99, interval=(0.98, 1.0)),
        hypothesis(confidence=0.99, interval=(0.98, 1.0), confidence_state="TRANSFERRED"),
        hypothesis(confidence=0.99, confidence_state="OWN"),
        hypothesis(interval=(0.98, 1.0), confidence_state="OWN"),
    ],
)
def test_a_confidence_that_is_not_fully_calibrated_never_acts(able: Decide, unsure: Hypothesis) -> None:
    assert run(able, DEPLOY, diagnosis(unsure))[-1].state == "advised"


@pytest.mark.parametrize(
    ("entry", "last"),
    [
        ({"kind": "freeze"}, ("denied", "CHANGE_FREEZE")),
        ({"kind": "maintenance"}, ("advised", "MAINTENANCE")),
        ({"kind": "freeze", "services": ["checkout"]}, ("denied", "CHANGE_FREEZE")),
        ({"kind": "freeze", "services": ["cart"]}, ("approved", "HIGH_CONFIDENCE")),
        ({"kind": "freeze", "end_ns": T0}, ("approved", "HIGH_CONFIDENCE")),
        ({"kind": "freeze", "start_ns": T0}, ("denied", "CHANGE_FREEZE")),
        ({"kind": "freeze", "start_ns": T0 + 1}, ("approved", "HIGH_CONFIDENCE")),
        ({"kind": "freeze", "tenant": "other"}, ("approved", "HIGH_CONFIDENCE")),
        ({"kind": "peak"}, ("awaiting_approval", "PEAK")),
    ],
)
def test_the_calendar_counts_as_of_event_time(able: Decide, entry: dict[str, Any], last: tuple[str, str]) -> None:
    body = {"id": "c", "title": "t", "start_ns": T0 - MINUTE, "end_ns": T0 + MINUTE} | entry
    assert reasons(run(able, CalendarEntry.model_validate(body), DEPLOY, diagnosis(SURE)))[-1] == last


@pytest.mark.parametrize(
    ("found", "reason", "state"),
    [
        (diagnosis(hypothesis(), abstained="NOVEL"), "ABSTAINED", ("advised", "ABSTAINED")),
        (diagnosis(abstained="NOVEL"), "ABSTAINED", ("advised", "ABSTAINED")),
        (diagnosis(), "ABSTAINED", ("advised", "ABSTAINED")),
        (diagnosis(hypothesis(None, cause={"family": "cpu"})), "NO_RUNBOOK", ("advised", "UNCALIBRATED")),
        (diagnosis(hypothesis("chg-9")), "CHANGE_UNKNOWN", ("advised", "UNCALIBRATED")),
    ],
)
def test_what_cannot_be_acted_on_goes_to_the_owner_with_the_reason(
    stage: Decide, found: Diagnosis, reason: str, state: tuple[str, str]
) -> None:
    events = run(stage, DEPLOY, found)
    assert events[0].change.verb == "notify.owner" and events[0].change.target == SERVICE
    assert events[0].change.parameters == {"service": "checkout", "incident": "inc-1", "reason": reason}
    assert reasons(events)[-1] == state


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version_from": None}, "REFERENCE_UNRESOLVED"),
        ({"version_from": "v42"}, "PARAMETERS_INVALID"),
        ({"entity_id": "default/service/*"}, "SELECTOR_INVALID"),
        ({"entity_id": ""}, "SELECTOR_INVALID"),
        ({"tenant": "other"}, "CHANGE_UNKNOWN"),
        ({"at_ns": T0 + 1}, "CHANGE_UNKNOWN"),
        ({"at_ns": T0 - 8 * 24 * 60 * MINUTE}, "CHANGE_UNKNOWN"),
        ({"kind": "scale"}, "NO_RUNBOOK"),
    ],
)
def test_a_change_that_cannot_be_built_exactly_is_not_guessed(
    stage: Decide, change: dict[str, Any], reason: str
) -> None:
    events = run(stage, DEPLOY.model_copy(update=change), diagnosis(hypothesis()))
    assert (events[0].change.verb, events[0].change.parameters["reason"]) == ("notify.owner", reason)


@pytest.mark.parametrize("service", ["", "*", "all"])
def test_where_not_even_the_service_has_a_name_the_incident_is_the_address(stage: Decide, service: str) -> None:
    events = run(stage, diagnosis(hypothesis(None, cause={"entity": service})))
    assert events[0].change.target == "default/incident/inc-1"
    assert events[0].change.parameters["reason"] in ("SELECTOR_INVALID", "PARAMETERS_INVALID")


def test_no_fault_is_no_action(stage: Decide) -> None:
    assert run(stage, diagnosis(hypothesis(None, cause={"family": "no_fault"}))) == []


def test_the_same_diagnosis_twice_is_one_action(stage: Decide) -> None:
    once = diagnosis(hypothesis())
    assert len(run(stage, DEPLOY, once, once)) == 3


def test_an_older_revision_is_old_news(stage: Decide) -> None:
    newer, older = diagnosis(hypothesis(), revision=1), diagnosis(hypothesis(None, cause={"family": "cpu"}))
    assert {e.diagnosis_id for e in run(stage, DEPLOY, newer, older)} == {"inc-1-1"}


def test_the_same_change_asked_for_by_a_later_revision_or_another_incident_is_one_action(stage: Decide) -> None:
    asked = [diagnosis(hypothesis(), revision=r, at_ns=T0 + r * MINUTE) for r in range(3)]
    other = diagnosis(hypothesis(), incident="inc-2", at_ns=T0 + 5 * MINUTE)
    assert {e.action_id for e in run(stage, DEPLOY, *asked, other)} == {run(stage, DEPLOY, asked[0])[0].action_id}
    assert len(run(stage, DEPLOY, *asked, other)) == 3


def test_a_change_stays_owned_as_long_as_somebody_asks_and_an_hour_longer(stage: Decide) -> None:
    def asked(*minutes: int) -> int:
        return len(
            run(stage, DEPLOY, *(diagnosis(hypothesis(), incident=f"i{m}", at_ns=T0 + m * MINUTE) for m in minutes))
        )

    assert asked(0, 60) == 3
    assert asked(0, 60, 120) == 3
    assert asked(0, 61) == 6


def test_another_cause_is_another_action_and_sequences_have_no_holes(stage: Decide) -> None:
    second = diagnosis(hypothesis(None, cause={"family": "cpu"}), revision=1)
    events = run(stage, DEPLOY, diagnosis(hypothesis()), second)
    assert [e.sequence for e in events] == [0, 1, 2, 3, 4, 5] and len({e.action_id for e in events}) == 2


@given(order=st.permutations(range(4)), ticks=st.sets(st.integers(0, 4)))
@settings(max_examples=40, deadline=None)
def test_the_order_and_repetition_of_reference_records_does_not_matter(
    stage: Decide, order: list[int], ticks: set[int]
) -> None:
    entries = [
        CalendarEntry(id=k, kind=k, title=k, start_ns=T0 - MINUTE, end_ns=T0 + MINUTE) for k in ("peak", "business")
    ]
    records: list[Record] = [DEPLOY, *entries, DEPLOY]
    inputs: list[Record | Tick] = []
    for index, position in enumerate(order):
        inputs += [Tick(T0 - 1)] * (index in ticks) + [records[position]]
    assert sent(stage, *inputs, diagnosis(SURE)) == sent(stage, *records, diagnosis(SURE))


def test_two_incidents_that_ask_at_the_same_time_get_one_action_in_either_order(stage: Decide) -> None:
    a, b = diagnosis(hypothesis(), incident="a"), diagnosis(hypothesis(), incident="b")
    left, right = run(stage, DEPLOY, a, b), run(stage, DEPLOY, b, a)
    assert len(left) == len(right) == 3 and left[0].action_id == right[0].action_id


def two_steps(stage: Decide, reason: str = "AFTER_REVERT") -> Decide:
    """Goes back to the version before, then tells the owner."""
    revert, tell = stage.runbooks.choose(SURE.cause, DEPLOY), stage.runbooks.otherwise
    known = tell.steps[0].parameters | {"reason": reason}
    steps = [*revert.steps, tell.steps[0].model_copy(update={"parameters": known})]
    books = Runbooks([revert.model_copy(update={"steps": steps}), tell])
    return Decide(stage.verbs, books, stage.policies, stage.settings)


def test_all_steps_of_a_runbook_are_one_action_and_one_plan(able: Decide) -> None:
    proposed, gated, last = run(two_steps(able), DEPLOY, diagnosis(SURE))
    assert last.state == "approved" and {event.action_id for event in (proposed, gated)} == {last.action_id}
    assert [step.change.verb for step in proposed.then] == ["notify.owner"] and not proposed.then[0].snapshot
    assert [step.change.verb for step in plan_of(gated, able.verbs).steps] == ["gitops.revert", "notify.owner"]
    (asked,) = [asked_of(event, able.verbs, "p", None) for event in (proposed, gated) if event.state == "gated"]
    assert asked is not None and asked.plan.digest == plan_of(gated, able.verbs).digest


def test_the_strictest_decision_on_any_step_holds_for_all(able: Decide, make_verbs: Callable[..., Verbs]) -> None:
    half = Decide(make_verbs("gitops.revert"), able.runbooks, able.policies)
    gated = run(two_steps(half), DEPLOY, diagnosis(SURE))[1]
    assert gated.then[0].decision and gated.then[0].decision.reason == "NO_EXECUTOR"
    assert gated.decision and (gated.decision.effect, gated.decision.reason) == ("advise", "NO_EXECUTOR")
    assert gated.decision.snapshot_digest == snapshot_digest(gated.snapshot)
    assert judged_again(half.policies, gated).effect == "advise"
    assert asked_of(gated, half.verbs, "p", None) is None


def test_steps_that_differ_are_another_action(able: Decide) -> None:
    one, other = (run(two_steps(able, reason), DEPLOY, diagnosis(SURE))[0] for reason in ("A", "B"))
    assert one.action_id != other.action_id


@pytest.mark.parametrize(
    ("during", "verb", "revert_after_s"), [("peak", "kubernetes.scale", 7200), ("freeze", "kubernetes.restart", None)]
)
def test_a_service_that_is_used_up_is_restarted_but_scaled_out_at_the_peak(
    make_verbs: Callable[..., Verbs], shipped_runbooks: Runbooks, shipped_policies: Policies, during: Any, verb: str,
    revert_after_s: int | None,
) -> None:  # fmt: skip
    facts = {"namespace": "shop", "deployment": "checkout", "replicas": 4, "replicas_raised": 6}
    settings = DecideSettings(services={"checkout": ServiceProfile(facts=facts)})
    entry = CalendarEntry(id="c", kind=during, title="Black Friday", start_ns=T0 - MINUTE, end_ns=T0 + MINUTE)
    stage = Decide(make_verbs(), shipped_runbooks, shipped_policies, settings)
    change = run(stage, entry, diagnosis(hypothesis(None, cause={"family": "cpu"})))[0].change
    assert (change.verb, change.revert_after_s) == (verb, revert_after_s)
    assert change.digest == digest_of(change)


def test_what_is_asked_for_a_while_is_a_plan_that_is_taken_back(able: Decide, verbs: Verbs) -> None:
    event = run(able, DEPLOY, diagnosis(SURE))[1]
    change = verbs.change(event.change.verb, SERVICE, event.change.parameters, "r", revert_after_s=1800)
    plan = plan_of(event.model_copy(update={"change": change}), verbs)
    assert plan.revert_after_ns == 1800 * NS and plan_of(event, verbs).revert_after_ns is None
    assert change.digest != event.change.digest


def test_the_event_gated_carries_the_snapshot_that_was_judged(stage: Decide) -> None:
    proposed, gated, advised = run(stage, DEPLOY, diagnosis(hypothesis()))
    assert gated.decision and snapshot_digest(gated.snapshot) == gated.decision.snapshot_digest
    assert (proposed.snapshot, advised.snapshot) == ({}, {})


def test_callers_known_at_that_time_are_the_blast_radius(stage: Decide) -> None:
    def edge(caller: str, callee: str, at_ns: int) -> TopologyEdge:
        ends = {"caller": f"default/service/{caller}", "callee": f"default/service/{callee}"}
        return TopologyEdge(id=f"{caller}-{callee}", first_ns=at_ns, last_ns=at_ns, **ends)

    edges = [edge("web", "checkout", T0 - 1), edge("app", "web", T0 - 1), edge("late", "checkout", T0 + 1)]
    assert run(stage, *edges, DEPLOY, diagnosis(hypothesis()))[1].snapshot["blast_radius"] == 3


def test_the_fourth_action_of_an_incident_is_left_to_people(able: Decide) -> None:
    hour = DecideSettings(ownership_ns=MINUTE)
    stage = Decide(able.verbs, able.runbooks, able.policies, hour)
    asked = [diagnosis(SURE, revision=n, at_ns=T0 + 2 * n * MINUTE) for n in range(5)]
    events = [e for e in run(stage, DEPLOY, *asked) if e.state == "gated"]
    assert [e.snapshot["attempt"] for e in events] == [1, 2, 3, 4, 4]
    assert [e.decision.reason for e in events if e.decision][2:] == ["HIGH_CONFIDENCE", "STEP_BUDGET", "STEP_BUDGET"]


@pytest.mark.parametrize(
    ("mode", "state"),
    [("shadow", "shadowed"), ("advise", "advised"), ("approve", "awaiting_approval"), ("act", "approved")],
)
def test_the_mode_of_a_verb_caps_what_the_policies_allow(able: Decide, mode: Any, state: str) -> None:
    settings = DecideSettings(modes={"gitops.revert@standard": mode, "*": "act"})
    last = run(Decide(able.verbs, able.runbooks, able.policies, settings), DEPLOY, diagnosis(SURE))[-1]
    assert (last.state, last.decision and last.decision.reason) == (state, "HIGH_CONFIDENCE")


def test_a_state_of_the_format_before_is_read(stage: Decide) -> None:
    old = b'{"format":1,"sequences":{"t":2},"owners":{},"seen":{"i":[3,9]},"changes":[],"calendar":[]}'
    state = stage.load(old)
    assert state.seen["i"] == (3, 9, 0) and state.callers == {}


def test_a_broken_policy_denies(able: Decide) -> None:
    rule = Rule(id="r", when="has_executor ? 1 / 0 == 1 : true", effect="permit", priority=0, reason="R", text="t")
    broken = Decide(able.verbs, able.runbooks, Policies([rule]))
    assert reasons(run(broken, DEPLOY, diagnosis(SURE)))[-1] == ("denied", "POLICY_ERROR")


def test_control_records_are_not_obeyed_because_no_signature_can_be_checked(able: Decide) -> None:
    order = Control(id="c", kind="autonomy", scope="all", level="act", issued_ns=T0, issuer="x", signature="forged")
    assert CONTROL not in able.inputs
    assert sent(able, order, DEPLOY, diagnosis(hypothesis())) == sent(able, DEPLOY, diagnosis(hypothesis()))


def test_the_snapshot_has_exactly_the_names_that_policies_may_use(stage: Decide) -> None:
    change = run(stage, DEPLOY, diagnosis(hypothesis()))[0].change
    verb = stage.verbs.get(change.verb)
    snapshot = snapshot_of(diagnosis(hypothesis()), hypothesis(), change, verb, Surroundings())
    assert {k: type(v) for k, v in snapshot.items()} == {k: type(v) for k, v in NEUTRAL.items()}


INPUT = st.one_of(
    st.builds(
        lambda incident, revision, minute, change: diagnosis(
            hypothesis(change), incident=incident, revision=revision, at_ns=T0 + minute * MINUTE
        ),
        st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 200), st.sampled_from(["chg-4521", "chg-9", None]),
    ),
    st.builds(lambda id, kind: DEPLOY.model_copy(update={"id": id, "kind": kind}),
              st.sampled_from(["chg-4521", "chg-9"]), st.sampled_from(["deploy", "scale"])),
    st.builds(lambda kind: CalendarEntry(id=kind, kind=kind, title="t", start_ns=T0, end_ns=T0 + 90 * MINUTE),
              st.sampled_from(["freeze", "peak"])),
    st.integers(-10, 300).map(lambda minute: Tick(T0 + minute * MINUTE)),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(inputs=st.lists(INPUT, max_size=8))
def test_a_crash_and_resume_after_any_event_changes_nothing(stage: Decide, inputs: list[Record | Tick]) -> None:
    state, outputs = stage.initial(), []
    for item in inputs:
        state, more = stage.step(stage.load(stage.dump(state)), item if isinstance(item, Tick) else message(item))
        outputs += more
        assert stage.load(stage.dump(state)) == state
        assert stage.dump(stage.load(stage.dump(state))) == stage.dump(state)
    assert outputs == sent(stage, *inputs)


@settings(max_examples=60, deadline=None)
@given(inputs=st.lists(INPUT, max_size=12))
def test_each_event_is_said_once_and_each_target_counts_without_holes(
    stage: Decide, inputs: list[Record | Tick]
) -> None:
    events = run(stage, *inputs)
    assert len({e.id for e in events}) == len(events)
    for target in {e.change.target for e in events}:
        sequences = [e.sequence for e in events if e.change.target == target]
        assert sequences == list(range(len(sequences)))
    assert {e.state for e in events} <= {"proposed", "gated", "advised", "denied"}


@settings(max_examples=40, deadline=None)
@given(inputs=st.lists(INPUT, max_size=8), at=st.integers(0, 8))
def test_forgetting_never_changes_an_answer(forgetful: Decide, inputs: list[Record | Tick], at: int) -> None:
    records = sorted((i for i in inputs if not isinstance(i, Tick)), key=event_ns)
    cut = records[:at]
    tick = Tick(max((event_ns(r) for r in cut), default=0))
    assert run(forgetful, *cut, tick, *records[at:]) == run(forgetful, *records)


def test_what_is_remembered_is_remembered_to_the_last_nanosecond(forgetful: Decide) -> None:
    found, hour = hypothesis(None, cause={"family": "cpu"}), T0 + 60 * MINUTE
    first = diagnosis(found, revision=1)
    assert len(run(forgetful, first, Tick(hour), diagnosis(found, revision=2, at_ns=hour))) == 3
    assert len(run(forgetful, first, Tick(hour), diagnosis(found, revision=0, at_ns=hour, abstained="NOVEL"))) == 3
    assert len(run(forgetful, first, Tick(hour), diagnosis(found, revision=2, at_ns=hour + 1))) == 6


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"format":99}', b'{"format":1,"owners":3}'])
def test_a_foreign_state_is_refused(stage: Decide, data: bytes) -> None:
    with pytest.raises(StateInvalid):
        stage.load(data)


def test_settings_that_would_forget_owners_are_refused() -> None:
    with pytest.raises(ValueError, match="ownership_ns"):
        DecideSettings(ownership_ns=2, retention_ns=1)
