"""503s at the front, which calls cart, which calls redis; the front was deployed forty minutes before.

What is asked about it is answered by whatever the context leads to, and counts as soon as it is there.
"""

import asyncio

from support.query_answers import ONSET, T

import schemas as sc
from diagnosis import Diagnose, equal_weights
from schemas.core import NS, Message, Tick


def message(record, topic, at):
    emit = sc.emit(topic, record, id=record.id, key="k", source="t", event_ns=at)
    return Message(topic, 0, 0, emit.key, emit.value, emit.headers, at, at)


def anomaly(service, p):
    pointer = sc.EvidencePointer(signal="traces", subject=service, t_min_ns=ONSET, t_max_ns=T, sha256="s")
    return sc.Anomaly(
        id=service, entity_id=f"default/service/{service}", service=service, series=f"{sum(map(ord, service)):016x}",
        name="span.errors", signal="traces", kind="error_ratio", detector="t@1", start_ns=ONSET, end_ns=T, p_value=p,
        observed=0.5, expected=0.0, residual=0.5, unit="1", direction=1, pointer=pointer,
    )  # fmt: skip


def records(out, kind):
    read = (sc.read(Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, 0)) for e in out)
    return [record for record in read if isinstance(record, kind)]


def answered(inquiry, queries, context):
    query = queries[inquiry.query]
    found = asyncio.run(query.run(query.parameters.model_validate(inquiry.parameters), "default", context))
    return sc.Observation(
        id=sc.record_id("observation", inquiry.id), inquiry_id=inquiry.id, incident_id=inquiry.incident_id,
        status="answered", request_sha256=inquiry.request_sha256, observed_ns=1, age_s=0.5,
        answer=found.model_dump(mode="json"),
    )  # fmt: skip


def played(queries, context):
    """Diagnoses in their order, and what was asked."""
    stage = Diagnose(equal_weights(), queries=queries, mode="ask")
    state, out = stage.initial(), []
    edges = [("front", "cart"), ("cart", "redis")]
    for caller, callee in edges:
        edge = sc.TopologyEdge(id=caller, caller=f"default/service/{caller}", callee=f"default/service/{callee}",
                               first_ns=T - 900 * NS, last_ns=T)  # fmt: skip
        state, _ = stage.step(state, message(edge, sc.TOPOLOGY, edge.first_ns))
    deploy = sc.Change(id="c", entity_id="default/service/front", service="front", kind="deploy",
                       at_ns=ONSET - 2400 * NS, title="deploy #9")  # fmt: skip
    state, _ = stage.step(state, message(deploy, sc.CHANGES, deploy.at_ns))
    for service, p in (("front", 1e-9), ("redis", 1e-8)):
        state, _ = stage.step(state, message(anomaly(service, p), sc.ANOMALIES, T))
    for at_s in (5, 10, 20, 70):
        state, more = stage.step(state, Tick(T + at_s * NS))
        out += more
        for inquiry in records(more, sc.Inquiry):
            state, _ = stage.step(state, message(answered(inquiry, queries, context), sc.OBSERVATIONS, T + at_s * NS))
    return records(out, sc.Diagnosis), records(out, sc.Inquiry)
