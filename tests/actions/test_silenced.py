"""Nobody is paged and nothing is done for what is silenced, and both begin when it no longer is."""

from actions import Decide
from schemas import DIAGNOSES, Cause, Diagnosis, Hypothesis, emit
from schemas.core import NS, Message

SERVICE = "default/service/checkout"
T0 = 1_700_000_000 * NS


def diagnosis(revision, *suppressed_by):
    cause = Cause(entity="checkout", entity_id=SERVICE, family="cpu")
    return Diagnosis(
        id=f"d{revision}", incident_id="i", revision=revision, as_of_ns=T0 + revision * 60 * NS, opened_ns=T0,
        entities=[SERVICE], severity=5.0, hypotheses=[Hypothesis(cause=cause, score=1.0, reason="busy")],
        suppressed_by=list(suppressed_by),
    )  # fmt: skip


def proposed(stage, *diagnoses):
    state, found = stage.initial(), []
    for one in diagnoses:
        e = emit(DIAGNOSES, one, id=one.id, key="i", source="test", event_ns=one.as_of_ns)
        state, out = stage.step(state, Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, 0))
        found.append(len(out))
    return found


def test_for_what_is_silenced_nothing_is_proposed(verbs, shipped_runbooks, shipped_policies):
    stage = Decide(verbs, shipped_runbooks, shipped_policies)
    assert proposed(stage, diagnosis(1, "silence:s"), diagnosis(2, "silence:s")) == [0, 0]


def test_when_the_silence_is_over_it_is_decided_as_if_it_were_new(verbs, shipped_runbooks, shipped_policies):
    stage = Decide(verbs, shipped_runbooks, shipped_policies)
    silenced, heard = proposed(stage, diagnosis(1, "silence:s"), diagnosis(2))
    assert silenced == 0 and [heard] == proposed(stage, diagnosis(2)) != [0]
