"""The decisions about one diagnosis of a bad deploy, as the messages that a run keeps."""

import schemas as sc
from schemas.core import NS, Emit, Message
from tidegate._pipeline import build
from tidegate._settings import Settings

AT = 1_767_268_800 * NS
_SERVICE = "default/service/checkout"


def decided() -> list[Message]:
    """What decide read and said."""
    deploy = sc.Change(
        id="c1", entity_id=_SERVICE, service="checkout", kind="deploy", at_ns=AT - NS, title="deploy",
        version_from="v1", version_to="v2",
    )  # fmt: skip
    cause = sc.Cause(entity="checkout", entity_id=_SERVICE, family="change", change="c1")
    diagnosis = sc.Diagnosis(
        id="d1", incident_id="i1", as_of_ns=AT, opened_ns=AT, entities=[_SERVICE], severity=5.0,
        hypotheses=[sc.Hypothesis(cause=cause, score=1.0, reason="after deploy")],
    )  # fmt: skip
    (stage,) = build(Settings(), first="decide").stages
    state, kept = stage.initial(), list[Message]()
    for topic, record in ((sc.CHANGES, deploy), (sc.DIAGNOSES, diagnosis)):
        kept.append(_placed(sc.emit(topic, record, id="m", key="k", source="test", event_ns=AT), len(kept)))
        state, outputs = stage.step(state, kept[-1])
        kept += [_placed(out, len(kept) + n) for n, out in enumerate(outputs) if isinstance(out, Emit)]
    return kept


def _placed(out: Emit, offset: int) -> Message:
    return Message(out.topic, 0, offset, out.key, out.value, out.headers, out.event_ns, out.event_ns)
