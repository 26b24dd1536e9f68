"""The kinds of evidence, which anomaly counts for which, and which fault family each speaks for."""

import math

from schemas import Anomaly

KINDS = (
    "metric_cpu", "metric_memory", "metric_network", "metric_other", "latency", "error_ratio", "traffic",
    "edge_gap", "edge_error", "template_new", "template_burst", "template_vanished", "change", "origin", "pattern",
)  # fmt: skip
"""Kinds of evidence, at most fifteen: each has one weight."""

FAMILIES = {
    "metric_cpu": "cpu", "metric_memory": "memory", "metric_network": "network", "edge_gap": "network",
    "latency": "latency", "error_ratio": "error", "edge_error": "error",
    "template_new": "code", "template_burst": "code", "template_vanished": "code", "change": "change",
}  # fmt: skip
"""Origin, pattern, traffic and other metrics say where, not what."""

FELT = ("latency", "error_ratio", "traffic", "edge_gap", "edge_error", "template_new", "template_vanished")
"""Evidence that spreads along calls; where it ends is the origin."""
NOTICED = (*FELT, "template_burst")
"""What a service shows whose own work suffers."""
RESOURCES = ("metric_cpu", "metric_memory", "metric_network")
"""What runs short before anybody suffers from it."""

SYMPTOMS = frozenset(
    ("metric_latency", "metric_success", "error_ratio", "latency", "edge_gap", "template_new", "template_vanished")
)
"""What users or neighbours feel; enough of it opens an incident."""
GAUGED = frozenset(("metric_latency", "metric_success"))
"""Symptoms by way of a gauge: heavy tails, so they must last."""

_WORDS: tuple[tuple[str, str, int], ...] = (
    ("node_", "metric_other", 0),  # shared by all that run on the node: says little about one of them
    ("client", "metric_other", 0),  # what a service suffers from its callees
    ("go_gc_", "metric_other", 0),  # pauses of the collector of Go are called durations
    ("seconds_mean", "metric_latency", 1),
    ("latency", "metric_latency", 1),
    ("duration", "metric_latency", 1),
    ("response_time", "metric_latency", 1),
    ("_p50", "metric_latency", 1),
    ("_p90", "metric_latency", 1),
    ("_p95", "metric_latency", 1),
    ("_p99", "metric_latency", 1),
    ("success", "metric_success", -1),
    ("availability", "metric_success", -1),
    ("error", "metric_success", 1),
    ("failure", "metric_success", 1),
    ("qps", "traffic", -1),
    ("requests", "traffic", -1),
    ("cpu", "metric_cpu", 1),
    ("thread", "metric_cpu", 1),
    ("memory", "metric_memory", 1),
    ("mem_", "metric_memory", 1),
    ("heap", "metric_memory", 1),
    ("fs_usage", "metric_memory", 1),
    ("network", "metric_network", 0),
    ("net_", "metric_network", 0),
    ("disk", "metric_network", 0),
    ("bytes", "metric_network", 0),
)
"""First word of a metric's name that fits: kind and the harmful direction, 0 for both."""

_COUNTED = ("_count", ".count", "_bucket", "_sum", ".sum")
"""How many there were, and what a sum of them grows with: of a metric that is called latency, that is traffic."""

LOST_CALLS = "edge.errors"
"""Failed calls of which nothing arrived, by whom they named."""
_SEVERITY = {"ERROR": 1.0, "FATAL": 1.0, "WARN": 0.5}
_QUIET = 0.05


def kind_of(anomaly: Anomaly) -> str | None:
    """The evidence kind of an anomaly, or None if it is in the harmless direction or of no use here.

    >>> [kind_of_metric("pod_success_rate", d) for d in (-1, 1)]
    ['metric_success', None]
    """
    if anomaly.kind == "metric":
        return kind_of_metric(anomaly.name, anomaly.direction)
    return anomaly.kind if anomaly.kind in KINDS else None


def kind_of_metric(name: str, direction: int) -> str | None:
    """The same for a metric by its name; unknown names are `metric_other`."""
    lowered = name.lower()
    for word, kind, harmful in _WORDS:
        if word in lowered:
            if kind == "metric_latency" and lowered.endswith(_COUNTED):
                kind, harmful = "traffic", -1
            return kind if harmful in (0, direction) else None
    return "metric_other"


def evidence_of(anomaly: Anomaly) -> list[tuple[str, str]]:
    """What an anomaly is evidence of: pairs of a service and a kind.

    A call that lost time counts for both of its ends. A call that failed is an error of the callee, and a failed call
    for its caller; one that never arrived (`edge.errors`) is no fault of its caller. A metric in its harmless direction
    is `metric_other`: it moved, and nobody knows what it means.
    """
    caller, callee = anomaly.labels.get("caller", ""), anomaly.labels.get("callee", "")
    if anomaly.kind == "metric":
        kind = kind_of_metric(anomaly.name, anomaly.direction) or "metric_other"
        return [(anomaly.service, _EVIDENCE.get(kind, kind))]
    if anomaly.kind == "edge_gap":
        return [(end, "edge_gap") for end in ends_of(anomaly)]
    if anomaly.name == LOST_CALLS:
        return [(callee or anomaly.service, "error_ratio")]
    if anomaly.kind == "error_ratio" and caller and callee and caller != callee:
        return [(caller, "edge_error"), (callee, "error_ratio")]
    return [(anomaly.service, anomaly.kind)] if anomaly.kind in KINDS else []


_EVIDENCE = {"metric_latency": "latency", "metric_success": "error_ratio"}


def importance(anomaly: Anomaly) -> float:
    """New lines count by their severity, because a shift in load writes new harmless ones; all else counts whole."""
    return _SEVERITY.get(anomaly.labels.get("severity", ""), _QUIET) if anomaly.kind == "template_new" else 1.0


REPORTED = {"edge_gap": 2.3, "template_new": 1.7, "template_burst": 1.7, "template_vanished": 1.7}
"""-log10 of the p at which faint kinds are reported."""


def beyond(anomaly: Anomaly) -> float:
    """Orders of magnitude below the p at which such anomalies are reported; never negative."""
    return max(-math.log10(anomaly.p_value) - REPORTED.get(anomaly.kind, 3.0), 0.0)


def disjoint(windows: list[Anomaly]) -> list[Anomaly]:
    """Windows of one series that do not overlap, least probable first."""
    kept: list[Anomaly] = []
    for anomaly in sorted(windows, key=lambda a: (a.p_value, a.id)):
        if all(anomaly.end_ns <= other.start_ns or anomaly.start_ns >= other.end_ns for other in kept):
            kept.append(anomaly)
    return kept


def ends_of(anomaly: Anomaly) -> tuple[str, ...]:
    """The services that an anomaly is about: both ends of an edge, else its own."""
    if anomaly.kind != "edge_gap":
        return (anomaly.service,)
    ends = (anomaly.labels.get("caller", ""), anomaly.labels.get("callee", "") or anomaly.service)
    return tuple(dict.fromkeys(end for end in ends if end))
