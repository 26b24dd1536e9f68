"""A small shop for the diagnose stage: its calls, anomalies and changes as records, and what becomes of them."""

from diagnosis import Diagnose, equal_weights
from schemas import ANOMALIES, CHANGES, TOPOLOGY, Anomaly, Change, EvidencePointer, Incident, TopologyEdge, read
from schemas import record_id as identity
from schemas.core import NS, Message, Tick

T = 1_700_000_000 * NS


def anomaly(service, at_s, p=1e-9, **more):
    end = T + int(at_s * NS)
    pointer = EvidencePointer(signal="traces", subject=service, t_min_ns=end - 10 * NS, t_max_ns=end, sha256="sha256:0")
    fields = {"kind": "error_ratio", "name": "span.errors", "series": f"{sum(map(ord, service)):016x}"} | more
    return Anomaly(
        id=identity("anomaly", service, at_s, fields["name"]), entity_id=f"default/service/{service}", service=service,
        signal="traces", detector="test@1", start_ns=end - 10 * NS, end_ns=end, unit="1", p_value=p, pointer=pointer,
        direction=1, observed=9.0, expected=1.0, residual=8.0, **fields,
    )  # fmt: skip


def edge(caller, callee, at_s=-600):
    at = T + int(at_s * NS)
    ends = {"caller": f"default/service/{caller}", "callee": f"default/service/{callee}"}
    return TopologyEdge(id=f"{caller}>{callee}", first_ns=at, last_ns=at, **ends)


def changed(service, at_s, settles_s=None):
    at = T + int(at_s * NS)
    return Change(id=f"{service}{at_s}", entity_id=f"default/service/{service}", service=service, kind="deploy",
                  at_ns=at, title="deploy", settles_ns=None if settles_s is None else T + settles_s * NS)  # fmt: skip


def message(record, at_s=None):
    topic, at = {
        Anomaly: lambda r: (ANOMALIES, r.end_ns), TopologyEdge: lambda r: (TOPOLOGY, r.first_ns),
        Change: lambda r: (CHANGES, r.at_ns),
    }[type(record)](record)  # fmt: skip
    at = at if at_s is None else T + int(at_s * NS)
    return Message(topic, 0, 0, b"", record.to_bytes(), (("ce_type", f"io.tidegate.{record.TYPE}".encode()),), at, at)


def stepped(messages, until_s=60, stage=None, state=None):
    stage = stage or Diagnose(equal_weights())
    state, out = state or stage.initial(), []
    for event in [*sorted(messages, key=lambda m: m.event_ns), Tick(T + until_s * NS, final=True)]:
        state, more = stage.step(state, event)
        out += more
    return state, out


def incidents(messages, until_s=60):
    """The last word on each incident, by its disturbed services."""
    said = [
        read(Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, 0)) for e in stepped(messages, until_s)[1]
    ]
    last = {record.id: record for record in said if isinstance(record, Incident)}
    return {"+".join(sorted(one.services)) or "-": one for one in last.values()}


SHOP = [message(edge(*pair)) for pair in (("front", "cart"), ("front", "mail"), ("cart", "redis"), ("mail", "smtp"))]
