"""What happens to causes, confidences and the gate when telemetry is lost: a signal, some spans, one service's metrics.

Models and calibrations are those of the cross-validation and know nothing of the loss. What is lost is lost behind
detection: anomalies of a signal, one in twenty of those that come from spans (picked by a hash), the metrics of the
service at fault, and of the service that was named. A loss may change who is named; a confidence that is higher than
before in a cause that is wrong is counted as risen wrongly.

What live telemetry tells of a loss is told here as well: that the metrics of this service are silent (`Gap`), and that
one span in twenty is lost (`span.orphans`). Sets of events know neither: in them a service that is calm looks like one
that is lost. Nothing is told of a signal that is lost everywhere; that it always spoke is in the history.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.diagnosis._model import Ranked, apply, calibrated, crossed
from bench.diagnosis._score import GATE, group_of
from bench.diagnosis._sets import Incident
from diagnosis import confidence_of
from schemas import Anomaly, CalibrationMap

RISE = 0.02
"""A confidence that rises by less has not moved."""
Keep = Callable[[Anomaly, Ranked], bool]


def _spared(anomaly: Anomaly) -> bool:
    return anomaly.signal != "traces" or hashlib.sha256(anomaly.id.encode()).digest()[0] % 20 != 0


SPANS_LOST = 1 - (1 - 1 / 20) ** 2
"""Of one span in twenty: share of calls of which a span is lost."""


LOSSES: Mapping[str, Keep] = {
    "metrics": lambda a, _: a.signal != "metrics",
    "logs": lambda a, _: a.signal != "logs",
    "traces": lambda a, _: a.signal != "traces",
    "one_span_anomaly_in_twenty": lambda a, _: _spared(a),
    "metrics_of_the_cause": lambda a, ranked: a.signal != "metrics" or a.service != ranked.incident.cause,
    "metrics_of_the_named": lambda a, ranked: a.signal != "metrics" or a.service != _named(ranked),
}


def _told(loss: str, ranked: Ranked) -> dict[str, Any]:
    """What detection would have said of the loss."""
    if loss == "one_span_anomaly_in_twenty":
        return {"lost": SPANS_LOST}
    silent = {"metrics_of_the_cause": ranked.incident.cause, "metrics_of_the_named": _named(ranked)}.get(loss)
    return {"unheard": frozenset({silent})} if silent else {}


def weak(name: str, incidents: Sequence[Incident]) -> dict[str, Any]:
    """By loss: how many incidents lost something, and before and after how right and how sure they are."""
    group = group_of(name)
    known, models = crossed(incidents, group, data=name)
    novel: list[Ranked] = []
    if len({one.family for one in incidents}) > 1:
        novel, _ = crossed(incidents, lambda one: one.family, data=name)
    curves = {}
    for part in models:
        others = ([r.outcome for r in found if group(r.incident) != part] for found in (known, novel))
        curves[part] = calibrated(next(others), next(others), name)
    document: dict[str, Any] = {}
    for loss, keep in LOSSES.items():
        rows = []
        for before in known:
            one = before.incident
            left = [a for a in one.anomalies if keep(a, before)]
            if len(left) < len(one.anomalies):
                after = apply(models[group(one)], one._replace(anomalies=left), **_told(loss, before))
                rows.append((*_said(curves[group(one)], before), *_said(curves[group(one)], after)))
        document[loss] = _row(rows)
    return document


def _row(rows: Sequence[tuple[float, float, bool, float, float, bool]]) -> dict[str, Any]:
    if not rows:
        return {"n": 0}
    table = np.array(rows, np.float64)
    passed = table[:, 4] >= GATE
    rose = (table[:, 3] > table[:, 0] + RISE) & (table[:, 5] == 0)
    return {
        "n": len(rows), "ac1": [_r(table[:, 2].mean()), _r(table[:, 5].mean())],
        "confidence": [_r(table[:, 0].mean()), _r(table[:, 3].mean())], "risen_wrongly": int(rose.sum()),
        "gate_coverage": [_r((table[:, 1] >= GATE).mean()), _r(passed.mean())],
        "gate_right": _r(table[passed, 5].mean()) if passed.any() else None,
    }  # fmt: skip


def _said(curve: CalibrationMap, ranked: Ranked) -> tuple[float, float, bool]:
    if not ranked.ranking.hypotheses or ranked.ranking.abstained in ("INCOMPLETE", "NO_EVIDENCE"):
        return 0.0, 0.0, ranked.rank == 1
    confidence, interval = confidence_of(curve, ranked.outcome.standing)
    return confidence, interval[0], ranked.rank == 1


def _named(ranked: Ranked) -> str:
    return ranked.ranking.hypotheses[0].cause.entity if ranked.ranking.hypotheses else ""


def _r(value: float) -> float:
    return round(float(value), 4)
