"""Who calls whom by the metrics of a service mesh: an edge of the topology for each pair that a proxy counts calls of.

    Istio           istio_requests_total, istio_tcp_connections_opened_total: source_workload, destination_workload
                    (destination_service_name, or the first part of destination_service, where there is none)
    Linkerd         request_total, tcp_open_total with direction="outbound": the series' own service, dst_deployment
                    and the like
    service graphs  traces_service_graph_request_total of Tempo and the Collector: client, server
    Envoy           envoy_cluster_upstream_rq_total of a sidecar: its service, the host in "outbound|9080||host"

An edge is said when one of its series is first seen, and again every ten minutes of event time in which one has a
sample: so it stays fresh while a proxy tells of it, whether there were calls at that time or not. Edges have the source
`mesh` and stand beside those of spans and Kubernetes. Both numbers below are bounded; beyond, what is new is counted.
Sources: Istio, "Standard Metrics"; Linkerd, "Proxy Metrics"; OpenTelemetry Collector, servicegraphconnector; Envoy,
"Cluster manager statistics", and Istio's names of clusters.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import schemas as sc
from schemas.core import U64, Emit
from streams._decoded import rendered

REFRESH_NS = 600_000_000_000
MOST_EDGES, MOST_SERIES = 10_000, 100_000
_NAMES = (
    "istio_requests_total", "istio_tcp_connections_opened_total", "request_total", "tcp_open_total",
    "traces_service_graph_request_total", "envoy_cluster_upstream_rq_total",
)  # fmt: skip
_NAMED = re.compile(b'"name":"(?:%s)"' % "|".join(_NAMES).encode())
_CALLERS = ("source_workload", "source_canonical_service", "source_app")
_CALLEES = ("destination_workload", "destination_canonical_service", "destination_service_name", "destination_service")
_DST = ("dst_deployment", "dst_statefulset", "dst_daemonset", "dst_service")
_CLUSTER = re.compile(r"outbound\|\d+\|[^|]*\|([^|]+)")
_NOBODY = ("", "unknown", "PassthroughCluster", "BlackHoleCluster")
Ends = tuple[str, str, str]
"""Tenant, caller, callee."""


def ends_of(series: sc.SeriesDef) -> Ends | None:
    """The services whose calls a series counts, None where it does not say both.

    >>> labels = {"source_workload": "cart", "destination_workload": "unknown", "destination_service": "pay.shop.svc"}
    >>> ends_of(sc.SeriesDef(id="0" * 16, entity_id="d/service/x", service="x", name=_NAMES[0], labels=labels))
    ('default', 'cart', 'pay')
    """
    labels = series.labels
    if series.name.startswith("istio_"):
        caller, callee = _first(labels, _CALLERS), _first(labels, _CALLEES).partition(".")[0]
    elif series.name.startswith("traces_"):
        caller, callee = labels.get("client", ""), labels.get("server", "")
    elif series.name.startswith("envoy_"):
        found = _CLUSTER.fullmatch(labels.get("envoy_cluster_name", ""))
        caller, callee = series.service, found[1].partition(".")[0] if found else ""
    else:
        is_out = labels.get("direction") == "outbound"
        caller, callee = series.service, _first(labels, _DST) if is_out else ""
    return (series.tenant, caller, callee) if caller != callee and caller and callee else None


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if labels.get(name, "") not in _NOBODY), "")


@dataclass(slots=True)
class Mesh:
    """ends: by series. said: by edge, when it was said first and last, ns."""

    ends: dict[int, Ends] = field(default_factory=dict)
    said: dict[Ends, list[int]] = field(default_factory=dict)
    due_ns: int = 0
    """Before this event time nothing is to be said."""
    dropped: int = 0

    def learn(self, series: U64, definitions: Mapping[int, sc.SeriesDef]) -> None:
        """Look at series (n,) that are new."""
        ids = np.unique(series).tolist()
        for identity, entry in zip(ids, rendered(definitions, ids), strict=True):
            if not _NAMED.search(entry.text):
                continue
            ends = ends_of(sc.SeriesDef.from_bytes(entry.text))
            if ends is None or identity in self.ends:
                continue
            if len(self.ends) >= MOST_SERIES or (ends not in self.said and len(self.said) >= MOST_EDGES):
                self.dropped += 1
                continue
            self.ends[identity] = ends
            if ends not in self.said:
                self.said[ends] = [0, 0]
                self.due_ns = 0

    def say(self, series: U64, at_ns: int, stage: str) -> list[Emit]:
        """Edges of which these samples (n,) are and which were not said for a while; at_ns: the newest of them."""
        if at_ns < self.due_ns:
            return []
        self.due_ns = at_ns + REFRESH_NS // 10
        out = []
        mine = np.isin(series, np.fromiter(self.ends, np.uint64, len(self.ends)))
        for ends in sorted({self.ends[identity] for identity in series[mine].tolist()}):
            times = self.said[ends]
            if times[1] and at_ns - times[1] < REFRESH_NS:
                continue
            times[:] = [times[0] or at_ns, at_ns]
            tenant, *names = ends
            caller, callee = (sc.Entity(tenant=tenant, service=name, name=name).entity_id for name in names)
            identity = sc.record_id("edge", tenant, caller, callee, "mesh")
            edge = sc.TopologyEdge(
                id=identity, tenant=tenant, caller=caller, callee=callee, source="mesh", first_ns=times[0],
                last_ns=at_ns,
            )  # fmt: skip
            said = sc.record_id("edge", identity, at_ns)
            out.append(sc.emit(sc.TOPOLOGY, edge, id=said, key=identity, source=f"tidegate/{stage}", event_ns=at_ns))
        return out

    def dump(self) -> dict[str, Any]:
        return {
            "ends": sorted((f"{identity:016x}", ends) for identity, ends in self.ends.items()),
            "said": sorted((ends, times) for ends, times in self.said.items()), "due_ns": self.due_ns,
            "dropped": self.dropped,
        }  # fmt: skip

    @classmethod
    def load(cls, found: Mapping[str, Any] | None) -> "Mesh":
        """None: of a version that knew no mesh; its edges are learned from series that come new."""
        if found is None:
            return cls()
        return cls(
            {int(identity, 16): (ends[0], ends[1], ends[2]) for identity, ends in found["ends"]},
            {(ends[0], ends[1], ends[2]): list(times) for ends, times in found["said"]},
            found["due_ns"], found["dropped"],
        )  # fmt: skip
