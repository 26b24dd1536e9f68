"""From what people and outcomes say to outcomes that calibration learns from."""

import pytest

from learning import coverage, curves, is_right, judged, labels_of_actions, settled, share_of
from schemas import ActionEvent, Cause, Diagnosis, Hypothesis, Label, ProposedChange, Standing


def diagnosis(name="i", entity="cart", family="cpu", confidence=0.8, **more):
    first = Hypothesis(cause=Cause(entity=entity, entity_id=f"t/service/{entity}", family=family), score=1.0, reason="",
                       confidence=confidence, confidence_state="TRANSFERRED")  # fmt: skip
    return Diagnosis(id=f"d-{name}", incident_id=name, as_of_ns=2, opened_ns=1, entities=[], severity=1.0,
                     hypotheses=[first], standing=Standing(odds=2.0), versions={"ranker": "r"}, **more)  # fmt: skip


def label(verdict="cause", entity="cart", basis="person", said_ns=1, name="i"):
    return Label(id=f"{name}{basis}{said_ns}", incident_id=name, verdict=verdict, entity=entity, basis=basis,
                 said_by="ada", said_ns=said_ns)  # fmt: skip


def acted(reason, verb="workload.restart", sequence=3):
    change = ProposedChange(verb=verb, target="t/service/cart", parameters={}, is_reversible=False, runbook="r",
                            digest="d")  # fmt: skip
    return ActionEvent(id=f"e{sequence}", action_id="a", incident_id="i", diagnosis_id="d", sequence=sequence,
                       state="succeeded", at_ns=sequence, change=change, hypothesis=diagnosis().hypotheses[0],
                       reason=reason)  # fmt: skip


@pytest.mark.parametrize(
    ("said", "right"),
    [
        (label(), True),
        (label(entity="front"), False),
        (label("no_fault", ""), False),
        (label("not_cause"), False),
        (label("not_cause", "front"), None),
        (label("unknown", ""), None),
    ],
)
def test_a_label_judges_the_first_candidate_or_says_nothing_of_it(said, right):
    assert is_right(diagnosis(), said) is right


def test_what_a_person_says_counts_before_a_ticket_and_that_before_an_outcome():
    said = [label(basis="action", said_ns=9), label("no_fault", "", "ticket", 5), label("unknown", "", "person", 1)]
    assert [settled(said[:n])["i"].basis for n in (1, 2, 3)] == ["action", "ticket", "person"]


def test_of_two_statements_of_one_kind_the_later_counts():
    assert settled([label(said_ns=2, entity="b"), label(said_ns=1, entity="a")])["i"].entity == "b"


def test_only_measured_outcomes_of_real_changes_say_something_of_a_cause():
    assert [one.verdict for one in labels_of_actions([acted("RECOVERED")])] == ["cause"]
    assert [one.verdict for one in labels_of_actions([acted("NOT_RECOVERED")])] == ["not_cause"]
    assert labels_of_actions([acted("INCONCLUSIVE")]) == labels_of_actions([acted("RECOVERED", "notify.owner")]) == []


def test_the_last_outcome_of_an_action_counts():
    events = [acted("RECOVERED", sequence=4), acted("REGRESSED", sequence=5)]
    assert [one.verdict for one in labels_of_actions(reversed(events))] == ["not_cause"]


def test_coverage_counts_the_incidents_of_which_nothing_is_known():
    known = {name: diagnosis(name) for name in "abcd"}
    found = coverage(known, [label(name="a"), label("unknown", "", name="b"), label(name="gone")])
    assert (found.incidents, found.labelled, found.judging, found.share) == (4, 2, 1, 0.25)


def test_an_outcome_carries_what_the_confidence_was_made_of():
    (one,) = judged({"i": diagnosis()}, [label()])
    assert (one.outcome.is_right, one.outcome.standing.odds, one.confidence, one.ranker) == (True, 2.0, 0.8, "r")


def test_a_share_of_few_has_a_wide_interval():
    assert share_of(3, 3).low < 0.3 and share_of(300, 300).low > 0.98 and share_of(0, 5).high > 0.5


def test_curves_say_how_much_is_wrong_as_more_is_named():
    found = curves([0.9] * 50 + [0.5] * 50, [True] * 49 + [False] + [True, False] * 25)
    assert [round(risk.wrong.value, 2) for risk in found.risks] == [0.02, 0.26] and found.gate.n == 50
    assert found.brier_interval[0] < found.reliability.brier < found.brier_interval[1]
