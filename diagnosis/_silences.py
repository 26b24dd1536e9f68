"""Which silences an incident has to thank for that nobody is paged: all that is odd without it would be none.

An incident is suppressed if its anomalies that no silence holds of would not be an incident by themselves. So a silence
on one service does not hide that its callers suffer, and one that ends, or a symptom beside it, lets the incident be
heard again. It is built, ranked and recorded all the same.
"""

from collections.abc import Iterable, Mapping

from schemas import Anomaly, Silence

NAME = "silence"


def silenced(
    incident_id: str, members: Iterable[Anomaly], silences: Iterable[Silence], at_ns: int
) -> tuple[list[Anomaly], list[str]]:
    """The anomalies of which no silence holds, and `silence:ID` of each one that holds of the others."""
    active = [one for one in silences if one.is_active(at_ns)]
    if not active:
        return list(members), []
    used: set[str] = set()
    heard: list[Anomaly] = []
    for anomaly in members:
        labels = labels_of(anomaly, incident_id)
        by = next((one.id for one in active if one.tenant == anomaly.tenant and one.holds(labels)), None)
        if by is None:
            heard.append(anomaly)
        else:
            used.add(by)
    return heard, sorted(f"{NAME}:{identity}" for identity in used)


def labels_of(anomaly: Anomaly, incident_id: str) -> Mapping[str, str]:
    """What matchers see: the labels of the series, and what Tidegate itself says of it, which no label overrides."""
    return anomaly.labels | {
        "incident_id": incident_id, "service": anomaly.service, "entity_id": anomaly.entity_id,
        "tenant": anomaly.tenant, "domain": anomaly.domain, "name": anomaly.name, "__name__": anomaly.name,
        "signal": anomaly.signal, "kind": anomaly.kind, "series": anomaly.series,
    }  # fmt: skip


def edge_after(silences: Iterable[Silence], tenant: str, after_ns: int) -> int | None:
    """When the next silence of a tenant begins or ends, or None."""
    edges = [edge for one in silences if one.tenant == tenant for edge in (one.start_ns, one.end_ns)]
    return min((edge for edge in edges if edge > after_ns), default=None)
