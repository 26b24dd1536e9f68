"""What rules have in common: finding anomalies of a service by their metric, template or kind."""

import math
from collections.abc import Iterable

from diagnosis._contract_rules import Scene
from diagnosis._kinds import LOST_CALLS
from schemas import Anomaly
from schemas.core import NS

STRONG_P = 1e-5
"""Below, a single window is hardly chance among the series of one service."""


def metrics(scene: Scene, service: str, words: Iterable[str], direction: int = 1) -> list[Anomaly]:
    """Metrics of the service whose name holds one of the words and that moved that way, least probable first.

    Words are written as Prometheus writes names; the dots of OpenTelemetry's names count as underscores.
    """
    found = scene.anomalies.get(service, ())
    wanted = tuple(words)
    return [
        a for a in found
        if a.kind == "metric" and a.service == service and a.direction == direction
        and any(word in a.name.lower().replace(".", "_") for word in wanted)
    ]  # fmt: skip


def lines(scene: Scene, service: str, words: Iterable[str]) -> list[Anomaly]:
    """New or much more frequent log lines of the service whose template, or whose text beside the code location that is
    their template, holds one of the words."""
    wanted = tuple(words)
    return [
        a for a in scene.anomalies.get(service, ())
        if a.kind in ("template_new", "template_burst") and a.service == service
        and any(word in f"{a.labels.get('template', '')} {a.labels.get('text', '')}".lower() for word in wanted)
    ]  # fmt: skip


def of_kind(scene: Scene, service: str, *kinds: str) -> list[Anomaly]:
    """Anomalies of these kinds that are the service's own, least probable first."""
    return [a for a in scene.anomalies.get(service, ()) if a.kind in kinds and a.service == service]


def calls_that_lost_time(scene: Scene, service: str) -> set[str]:
    """The other ends of the calls of this service that lost time on the way."""
    ends = set()
    for a in scene.anomalies.get(service, ()):
        if a.kind == "edge_gap":
            ends |= {a.labels.get("caller", ""), a.labels.get("callee", "") or a.service}
    return ends - {service, ""}


def lost_calls(scene: Scene, service: str) -> list[Anomaly]:
    """Calls to the service that failed and of which nothing arrived, least probable first."""
    return [a for a in of_kind(scene, service, "error_ratio") if a.name == LOST_CALLS]


def certainty(found: Iterable[Anomaly]) -> float:
    """0 to 1: how improbable the least probable is, full at twelve orders of magnitude."""
    return min(max((-math.log10(a.p_value) for a in found), default=0.0) / 12.0, 1.0)


def seconds_before(scene: Scene, service: str) -> float | None:
    """How long before the onset the service was changed, or None."""
    change = scene.changes.get(service)
    return None if change is None else (scene.onset_ns - change.at_ns) / NS
