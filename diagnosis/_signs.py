"""Signs: what an entity shows in an incident, how strongly, and how ordinary that is for a bystander.

The p-value of a detector says how improbable a window is under its series' own past. In an incident hundreds of series
of bystanders are improbable too. So a sign counts by how seldom something as strong was shown by entities that were
*not* the cause in past incidents: by this very entity, else by any that has such a series. On public incidents this
one step moved accuracy at rank 1 by 10 to 25 points; a chronic alarm loses its voice, a rare one keeps it.
Slow calls are measured by how many times longer they took: a p-value saturates after three quiet windows, a factor
does not.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from diagnosis._kinds import disjoint, evidence_of, importance, kind_of_metric
from schemas import Anomaly, EvidenceHistory

CAP = 60.0  # orders of magnitude; more tells nothing
SHRUNK = 4.0  # incidents that the rate of all entities weighs against the entity's own; not tuned
RAREST = 4.0  # orders of magnitude: one in ten thousand is as rare as we can tell
FACTOR_CAP = 7.0  # natural logarithm: a thousandfold
USUAL = 0.9
LIKE = 3  # confirmed incidents that a pattern is compared with
_BREAK = "\x1f"


class Sign(NamedTuple):
    """place: last part of the endpoint. other: the other end of a call."""

    entity: str
    kind: str
    name: str
    direction: str
    place: str
    status: str
    template: str
    other: str

    @property
    def own_key(self) -> str:
        return _BREAK.join(self)

    @property
    def name_key(self) -> str:
        return _BREAK.join(self[1:4])

    @property
    def pattern_key(self) -> str:
        return _BREAK.join(self[1:6])


class Shown(NamedTuple):
    """One series that shows a sign: strength in the unit of its kind, and its anomalies, least probable first."""

    sign: Sign
    strength: float
    anomalies: list[Anomaly]


Signs = Mapping[tuple[str, str], list[Shown]]
"""By entity and kind of evidence."""


def signs_of(anomalies: Iterable[Anomaly]) -> dict[tuple[str, str], list[Shown]]:
    """Every sign of every entity; the order of the anomalies does not matter."""
    found: dict[tuple[Sign, str], list[Anomaly]] = defaultdict(list)
    for anomaly in anomalies:
        for entity, kind in evidence_of(anomaly):
            found[_sign(anomaly, entity, kind), anomaly.series].append(anomaly)
    out: dict[tuple[str, str], list[Shown]] = defaultdict(list)
    for (sign, _), windows in sorted(found.items()):
        windows.sort(key=lambda a: (a.p_value, a.id))
        out[sign.entity, sign.kind].append(Shown(sign, strength(windows), windows))
    return out


def strength(windows: list[Anomaly]) -> float:
    """Of one series: the largest natural log of observed over expected for what got slower, else the orders of
    magnitude of windows that do not overlap, by importance, at most `CAP`."""
    if is_factor(windows[0]):
        levels = [(a.observed, a.expected) for a in windows if a.observed is not None and a.expected is not None]
        factors = [math.log(seen / due) for seen, due in levels if seen > 0 and due > 0]
        if factors:
            return max(factors)
    return min(sum(importance(a) * -math.log10(a.p_value) for a in disjoint(windows)), CAP)


def signal_of_pattern(key: str) -> tuple[str, str]:
    """The kind of evidence of a sign without its entity, and the signal that it came from.

    >>> signal_of_pattern(_BREAK.join(["latency", "checkout_p99", "1", "", ""]))
    ('latency', 'metrics')
    """
    kind, name = key.split(_BREAK)[:2]
    if kind.startswith("template_"):
        return kind, "logs"
    return kind, "metrics" if name or kind.startswith("metric_") else "traces"


def missing_signals(past: EvidenceHistory, anomalies: Iterable[Anomaly]) -> tuple[str, ...]:
    """Signals that spoke in nine of ten past incidents of this system and are silent in this one.

    Silence of a signal is no health: its source may be what is broken.
    """
    spoke = {str(anomaly.signal) for anomaly in anomalies}
    return tuple(signal for signal, share in past.signals.items() if share >= USUAL and signal not in spoke)


def is_factor(anomaly: Anomaly) -> bool:
    """Whether its strength is a factor rather than orders of magnitude."""
    if anomaly.kind == "metric":
        return kind_of_metric(anomaly.name, anomaly.direction) == "metric_latency"
    return anomaly.kind in ("edge_gap", "latency")


def _sign(anomaly: Anomaly, entity: str, kind: str) -> Sign:
    labels = anomaly.labels
    ends = [labels.get(end, "") for end in ("caller", "callee")]
    return Sign(
        entity=entity,
        kind=kind,
        name=anomaly.name if anomaly.kind == "metric" else "",
        direction=str(anomaly.direction),
        place=labels.get("endpoint", "").rpartition("/")[2],
        status=labels.get("status", ""),
        template=labels.get("template", "") if anomaly.kind.startswith("template_") else "",
        other=next((end for end in ends if end and end != entity), ""),
    )


class History:
    """An `EvidenceHistory` ready to be asked."""

    def __init__(self, record: EvidenceHistory) -> None:
        self.record = record
        keys = sorted({key for pattern in record.patterns for key in pattern.signs})
        self._index = {key: j for j, key in enumerate(keys)}
        self._families = [pattern.family for pattern in record.patterns]
        self._patterns = np.zeros((len(record.patterns), len(keys)))
        for i, pattern in enumerate(record.patterns):
            size = _norm(pattern.signs) or 1.0
            for key, value in pattern.signs.items():
                self._patterns[i, self._index[key]] = value / size

    def rarity(self, shown: Shown) -> float:
        """How seldom a bystander shows as much: 0 (always) to 1 (one in ten thousand). Without a history by strength.

        The rate is of this entity in past incidents, shrunk to that of all entities for such a series, and that to
        the rate for the kind.
        """
        past, value = self.record, shown.strength
        if not past.incidents:
            if is_factor(shown.anomalies[0]) and value <= FACTOR_CAP:
                return max(value, 0.0) / FACTOR_CAP
            return math.log1p(value) / math.log1p(CAP)
        of_kind = (_reached(past.kinds.get(shown.sign.kind), value) + 0.5) / (past.entities + 10)
        of_name = (min(_reached(past.names.get(shown.sign.name_key), value), past.entities) + 5 * of_kind) / (
            past.entities + 5
        )
        rate = (_reached(past.own.get(shown.sign.own_key), value) + SHRUNK * of_name) / (past.incidents + SHRUNK)
        return min(max(-math.log10(rate), 0.0), RAREST) / RAREST

    def pattern_of(self, signs: Signs, entity: str) -> dict[str, float]:
        """The signs of one entity without its name, each with its rarity: what incidents are compared by."""
        found: dict[str, float] = {}
        for (owner, _), shown in signs.items():
            if owner == entity:
                for one in shown:
                    key = one.sign.pattern_key
                    found[key] = max(found.get(key, 0.0), self.rarity(one))
        return found

    def likeness(self, pattern: Mapping[str, float]) -> tuple[float, str]:
        """Mean cosine to the three most similar confirmed causes, 0 to 1, and the family of the most similar."""
        size = _norm(pattern)
        known = [(self._index[key], value) for key, value in sorted(pattern.items()) if key in self._index]
        if not size or not known:
            return 0.0, ""
        columns = [j for j, _ in known]
        alike = np.round((self._patterns[:, columns] * np.array([value for _, value in known])).sum(axis=1) / size, 9)
        order = np.argsort(-alike, kind="stable")[:LIKE]
        mean = math.fsum(alike[order].tolist()) / LIKE
        return min(mean, 1.0), self._families[int(order[0])] if mean > 0 else ""


def _norm(pattern: Mapping[str, float]) -> float:
    return math.sqrt(math.fsum(value * value for value in pattern.values()))


def _reached(values: list[float] | None, value: float) -> int:
    """How many of the ascending values are as large."""
    return len(values) - bisect_left(values, value - 1e-9) if values else 0
