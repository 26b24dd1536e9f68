"""What everybody compares with, in the same run and with the same ties against us.

n-sigma: the largest deviation of a service's gauges in standard deviations of before. BARO's robust scorer (Pham et
al., FSE 2024): the same with median and interquartile range, a range of zero taken as one, as its code does. Ranked
correlation: Spearman's, of each gauge with the alerting one. Latest change: who was changed last. Sets without gauges
are given the number of metric events (`n_sigma`) and of all events (`baro`), which is what those scores become there.

What is normal: for Nezha all minutes of the set without a fault, later ones included, as in the studies that publish
these scores. The half hour before one incident is not enough there: quantiles of a latency histogram jump to an hour
once in some hundred minutes, and such a jump after half an hour without one outweighs any processor.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.diagnosis._metrics import Table
from bench.diagnosis._sets import Incident
from schemas.core import NS

F64 = NDArray[np.float64]
NAMES = ("n_sigma", "baro", "ranked_correlation", "latest_change")
_AFTER_S = {"nezha_tt": 180, "nezha_ob": 180, "petshop": 1500, "changerca": 180}
_MARGIN_NS = 60 * NS
Normal = dict[tuple[str, str], F64]


def ranks(incidents: Sequence[Incident]) -> dict[str, list[int]]:
    """Rank of the cause by each baseline, from 1."""
    found: dict[str, list[int]] = {name: [] for name in NAMES}
    normal = _fault_free([one for one in incidents if one.set.startswith("nezha")])
    for one in incidents:
        scores = _of_gauges(one, normal) if one.metrics is not None else _of_events(one)
        scores["latest_change"] = {c.service: float(c.at_ns) for c in sorted(one.changes, key=lambda c: c.at_ns)}
        for name in NAMES:
            found[name].append(_rank(scores.get(name, {}), one))
    return found


def _fault_free(incidents: Sequence[Incident]) -> Normal:
    """By service and gauge: the values of all minutes of the set that lie in no fault; each minute once."""
    faults = [(one.at_ns - _MARGIN_NS, one.at_ns + _AFTER_S[one.set] * NS) for one in incidents]
    found: dict[tuple[str, str], dict[int, float]] = {}
    for one in incidents:
        for key, (t, v) in one.metrics.columns.items() if one.metrics is not None else ():
            found.setdefault(key, {}).update(zip(t.tolist(), v.tolist(), strict=True))
    out: Normal = {}
    for key, points in found.items():
        times = np.array(sorted(points), np.int64)
        is_quiet = np.ones(len(times), bool)
        for begin, end in faults:
            is_quiet &= (times < begin) | (times > end)
        out[key] = np.array([points[int(t)] for t in times[is_quiet]])
    return out


def _rank(scores: dict[str, float], one: Incident) -> int:
    if one.cause not in scores or scores[one.cause] <= 0:
        return max(one.services, len(scores))
    return sum(score >= scores[one.cause] - 1e-12 for score in scores.values())


def _of_events(one: Incident) -> dict[str, dict[str, float]]:
    metrics: dict[str, float] = {}
    every: dict[str, float] = {}
    for anomaly in one.anomalies:
        every[anomaly.service] = every.get(anomaly.service, 0.0) + 1
        if anomaly.kind == "metric":
            metrics[anomaly.service] = metrics.get(anomaly.service, 0.0) + 1
    return {"n_sigma": metrics, "baro": every}


def _of_gauges(one: Incident, normal: Normal) -> dict[str, dict[str, float]]:
    assert one.metrics is not None
    begin, end = one.at_ns, one.at_ns + _AFTER_S[one.set] * NS
    sigma: dict[str, float] = {}
    robust: dict[str, float] = {}
    correlated: dict[str, float] = {}
    alert = _alert(one.metrics, one.target)
    for (service, name), (t, v) in one.metrics.columns.items():
        if name.startswith("node_"):
            continue  # the same value for all services of a machine: a tie that would only harm the baseline
        after = v[(t >= begin - _MARGIN_NS) & (t <= end)]
        before = normal.get((service, name), v[t < begin - _MARGIN_NS])
        if len(before) < 3 or not len(after):
            continue
        scale = _scale(float(before.std()))
        sigma[service] = max(sigma.get(service, 0.0), float(np.max((after - before.mean()) / scale)))
        low, middle, high = np.quantile(before, [0.25, 0.5, 0.75])
        robust[service] = max(robust.get(service, 0.0), float(np.max((after - middle) / _scale(high - low))))
        if alert is not None:
            correlated[service] = max(correlated.get(service, 0.0), _spearman(alert, (t, v), end))
    return {"n_sigma": sigma, "baro": robust, "ranked_correlation": correlated}


def _scale(spread: float) -> float:
    """A spread of nothing but rounding is none, and is taken as one, as the scalers do that those studies use."""
    return spread if spread >= 10 * np.finfo(np.float64).eps else 1.0


def _alert(metrics: Table, target: tuple[str, str] | None) -> tuple[NDArray[np.int64], F64] | None:
    """The alerting gauge, or the mean absolute deviation of all where the set names none."""
    if target is not None:
        names = [key for key in metrics.columns if key[0] == target[0] and key[1] == f"{target[1]} Average"]
        return metrics.columns[names[0]] if names else None
    sums: dict[int, list[float]] = {}
    for t, v in metrics.columns.values():
        scale = _scale(float(v.std()))
        for at, z in zip((t // (60 * NS)).tolist(), np.abs(v - v.mean()) / scale, strict=True):
            sums.setdefault(at, []).append(float(z))
    times = sorted(sums)
    return np.array([at * 60 * NS for at in times]), np.array([float(np.mean(sums[at])) for at in times])


def _spearman(alert: tuple[NDArray[np.int64], F64], gauge: tuple[NDArray[np.int64], F64], end_ns: int) -> float:
    """Absolute rank correlation over the last two hours of common times, by the minute."""
    first = {int(t // (60 * NS)): v for t, v in zip(*alert, strict=True) if end_ns - 7200 * NS <= t <= end_ns}
    second = {int(t // (60 * NS)): v for t, v in zip(*gauge, strict=True)}
    common = sorted(set(first) & set(second))
    if len(common) < 4:
        return 0.0
    a, b = (np.argsort(np.argsort([part[t] for t in common])).astype(float) for part in (first, second))
    values = [second[t] for t in common]
    return abs(float(np.corrcoef(a, b)[0, 1])) if a.std() and len(set(values)) > 1 else 0.0
