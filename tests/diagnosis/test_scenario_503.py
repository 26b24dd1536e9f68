"""503s at the front: its last deploy looks guilty, until what is asked contradicts it.

The services, the deploy history, the orchestrator and the traces are asked by the shipped queries; their answers are in
the forms of those systems.
"""

import asyncio

from support.query_answers import ONSET, Says, T, argocd, jaeger, kubernetes

import schemas as sc
from diagnosis import Context, Diagnose, equal_weights
from diagnosis.queries.argocd import ArgoCd
from diagnosis.queries.jaeger import Jaeger
from diagnosis.queries.kubernetes import Kubernetes
from schemas.core import NS, Message, Tick

QUERIES = {query.kind: query for query in (ArgoCd(), Jaeger(), Kubernetes())}


class Apps(Says):
    """The front was synced forty minutes before the onset; redis lost its pods to the memory killer."""

    async def get(self, path, query):
        if path.startswith("/api/v1/applications"):
            return argocd(2400, "a1", "b2") if path.endswith("front") else argocd(10**6, "a1", "a1")
        if "deployments" in path:
            self.answer = path.rsplit("/", 1)[1]
        return kubernetes(path, ready=0, killed=True) if self.answer == "redis" else kubernetes(path)


CONTEXT = Context(argocd=Apps(""), kubernetes=Apps(""), jaeger=Says(jaeger(failed=("front", "cart", "redis"))))


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


def answered(inquiry):
    query = QUERIES[inquiry.query]
    found = asyncio.run(query.run(query.parameters.model_validate(inquiry.parameters), "default", CONTEXT))
    return sc.Observation(
        id=sc.record_id("observation", inquiry.id), inquiry_id=inquiry.id, incident_id=inquiry.incident_id,
        status="answered", request_sha256=inquiry.request_sha256, observed_ns=1, age_s=0.5,
        answer=found.model_dump(mode="json"),
    )  # fmt: skip


def test_the_first_suspicion_gives_way_to_what_the_servers_say():
    stage = Diagnose(equal_weights(), queries=QUERIES, mode="ask")
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
    for at_s in (5, 35, 70):
        state, more = stage.step(state, Tick(T + at_s * NS))
        out += more
        for inquiry in records(more, sc.Inquiry):
            state, _ = stage.step(state, message(answered(inquiry), sc.OBSERVATIONS, T + at_s * NS))
    said = records(out, sc.Diagnosis)
    first, last = said[0].hypotheses[0].cause, said[-1].hypotheses[0].cause
    assert first.entity == "front" and last.entity == "redis"
    kinds = {evidence.kind for evidence in said[-1].hypotheses[0].evidence}
    assert {"asked_killed", "asked_replicas"} <= kinds
    assert {i.query for i in records(out, sc.Inquiry)} == {"argocd_history", "kubernetes_workload"}  # decided by then
