"""Services of which a signal fell silent: what they may show, nobody hears, so whoever else is named is believed less.

Evidence only ever speaks for a service. One that is not heard is therefore taken, where the confidence in another is
worked out and nowhere else, to show as much in its silent signals as any confirmed cause did; who is named stays who
is. So losing the metrics of the service at fault does not make a bystander more certain. `Gap` records say whose
metrics fell silent: series that should have spoken. One that is calm speaks, and one that never had metrics has no gap.
Lines and spans are counted and their silence is a zero; that it is one telemetry lacks, anomalies of their totals say,
each minute for as long as it lasts (detector `signal_silent`).
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeGuard

import numpy as np

from diagnosis._evidence import BEST_SHARE, EDGES_FULL, TOP_SERIES, service_of
from diagnosis._related import Topology
from diagnosis._signs import signal_of_pattern
from schemas import SIGNAL_TOTALS, Anomaly, EvidenceHistory, Gap, RankerWeights, Unknown
from schemas.core import NS

FORGOTTEN_NS = 86_400 * NS
"""Who has been silent for a day is not coming back; nobody waits for it any more."""
SAID_FOR_NS = 150 * NS
"""A silence that is said each minute is over when it has not been said for so long."""
SILENT_P = 0.01
"""A silence of lines or spans that is less surprising lowers nothing. Chosen, not tuned."""
MOST_SERVICES = 5000
SIGNALS = 3
"""Metrics, logs and traces: of each service one of them is missing."""
SERVICE_SILENT = "SERVICE_SILENT"
Unheard = Mapping[str, frozenset[str]]
"""Signals that are silent, by service."""


@dataclass(slots=True)
class Voice:
    """When all metrics of a service were last said to be silent, and when it was last said to speak again.

    hushed: by signal that is counted, when it was last said to be silent.
    """

    silent_ns: int = 0
    heard_ns: int = 0
    hushed: dict[str, int] = field(default_factory=dict)

    @property
    def is_silent(self) -> bool:
        return self.silent_ns > self.heard_ns

    def is_forgotten(self, at_ns: int) -> bool:
        """Whether nobody waits for it any more, or has to."""
        return at_ns - max(self.silent_ns, self.heard_ns, *self.hushed.values()) >= FORGOTTEN_NS

    def signals(self, at_ns: int) -> frozenset[str]:
        """Signals that are silent at that time."""
        metrics = {"metrics"} if self.is_silent and not self.is_forgotten(at_ns) else set[str]()
        return frozenset(metrics | {signal for signal, ns in self.hushed.items() if at_ns - ns < SAID_FOR_NS})


def is_silence(record: object) -> TypeGuard[Anomaly]:
    """Whether it is a finding that lines or spans of a service stopped; no evidence of a cause."""
    return isinstance(record, Anomaly) and SIGNAL_TOTALS.get(record.signal) == record.name


def note(voices: dict[str, Voice], said: Gap | Anomaly) -> bool | None:
    """Whether a service may have become silent or was heard again by that; None where there is no more room.

    What is said of the same time may come in any order. A series whose service still speaks by others tells nothing.
    """
    service = service_of(said.entity_id)
    if isinstance(said, Anomaly):
        if said.p_value > SILENT_P:
            return False
        voice = _voice(voices, service, said.end_ns)
        if voice is None:
            return None
        was_ns = voice.hushed.get(said.signal, 0)
        voice.hushed[said.signal] = max(was_ns, said.end_ns)
        return said.end_ns - was_ns >= SAID_FOR_NS
    if said.signal != "metrics" or (said.heard and not said.is_over):
        return False
    voice = _voice(voices, service, said.until_ns)
    if voice is None:
        return None
    if said.is_over:
        was_silent = voice.is_silent
        voice.heard_ns = max(voice.heard_ns, said.until_ns)
        return was_silent
    before, voice.silent_ns = voice.silent_ns, max(voice.silent_ns, said.until_ns)
    return voice.silent_ns > before


def _voice(voices: dict[str, Voice], service: str, at_ns: int) -> Voice | None:
    """That of the service, known or new."""
    if service not in voices and len(voices) >= MOST_SERVICES:
        for old in [name for name, voice in voices.items() if voice.is_forgotten(at_ns)]:
            del voices[old]
        if len(voices) >= MOST_SERVICES:
            return None
    return voices.setdefault(service, Voice())


def unheard(voices: Mapping[str, Voice], suspects: Collection[str], topology: Topology, at_ns: int) -> Unheard:
    """Services that are silent now and may have to do with the suspects: one reaches the other by calls, or nobody
    knows."""
    silent = ((service, voice.signals(at_ns)) for service, voice in voices.items())
    return {
        service: signals for service, signals in silent
        if signals and (
            service in suspects or service not in topology.known
            or any(other in suspects for other in topology.related(service))
        )
    }  # fmt: skip


def unheard_of(silent: Unheard) -> list[Unknown]:
    """By signal and name, for the briefing."""
    of = sorted((signal != "metrics", signal, service) for service, signals in silent.items() for signal in signals)
    return [
        Unknown(
            subsystem=signal, query=SIGNAL_TOTALS.get(signal, "series.gaps"), service=service, reason=SERVICE_SILENT
        )
        for _, signal, service in of
    ]


def unheard_share(silent: int, services: int) -> float:
    """Share of what there is to hear that is not heard, 0 to 1: so many signals, three of each service."""
    return min(silent / (max(services, silent, 1) * SIGNALS), 1.0)


class MayShow(NamedTuple):
    """What nobody heard may come to, by weights as fitted and before any fit.

    most: of a service that is silent, what any confirmed cause showed in the signals that are. anywhere: in signals
    that are silent everywhere, what causes show there on average; somebody may.
    """

    most: tuple[float, float] = (0.0, 0.0)
    anywhere: tuple[float, float] = (0.0, 0.0)


NOTHING = MayShow()


def may_show(past: EvidenceHistory, weights: RankerWeights, silent: Collection[str], missing: Iterable[str]) -> MayShow:
    """silent: signals that some service lacks, taken of each that lacks any; missing: signals that are silent
    everywhere."""
    scales, missing = (weights.weights, weights.prior), list(missing)
    fitted, plain = (math.fsum(max(_shown_by_causes(past, w, of)) for of in sorted(silent)) for w in scales)
    usual, before = (math.fsum(_mean(_shown_by_causes(past, w, signal)) for signal in missing) for w in scales)
    return MayShow((fitted, plain), (usual, before))


def _mean(found: Sequence[float]) -> float:
    return math.fsum(found) / len(found)


def _shown_by_causes(past: EvidenceHistory, weights: Mapping[str, float], signal: str) -> list[float]:
    """What each confirmed cause scored by this signal alone. Without any: what the heaviest kind of evidence could."""
    found = [_score(pattern.signs, weights, signal) for pattern in past.patterns]
    return found or [max(weights.values(), default=0.0)]


def _score(signs: Mapping[str, float], weights: Mapping[str, float], signal: str) -> float:
    by_kind: dict[str, list[float]] = {}
    for key, rarity in signs.items():
        kind, of = signal_of_pattern(key)
        if of == signal:
            by_kind.setdefault(kind, []).append(rarity * rarity)
    return math.fsum(max(weights.get(kind, 0.0), 0.0) * _cell(kind, by_kind[kind]) for kind in sorted(by_kind))


def _cell(kind: str, squares: list[float]) -> float:
    squares.sort(reverse=True)
    if kind == "edge_gap":
        return min(math.fsum(squares) / math.sqrt(len(squares) + 1) / EDGES_FULL, 1.0)
    return BEST_SHARE * squares[0] + (1 - BEST_SHARE) * math.fsum(squares[:TOP_SERIES]) / TOP_SERIES


def as_if_heard(
    rivals: Mapping[str, float], unheard: Collection[str], most: float, services: int, anywhere: float = 0.0
) -> tuple[list[float], list[float]]:
    """Scores of all rivals if each that is unheard showed `most`, and of the unheard among them.

    services: how many rivals there are, those without evidence included. anywhere: what one more, the strongest, may
    show in a signal that is silent everywhere.
    """
    silent = [rivals.get(service, 0.0) + most for service in sorted(unheard)]
    others = [score for service, score in sorted(rivals.items()) if service not in unheard]
    others += [0.0] * max(services - len(others) - len(silent), 0)
    if anywhere and (others or silent):
        of = others if not silent or (others and max(others) >= max(silent)) else silent
        at = int(np.argmax(of))
        of[at] += anywhere
    return [*others, *silent], silent


def belief(first: float, rivals: Sequence[float], some: Sequence[float]) -> float:
    """Share of a softmax over all that rests with some of the rivals; 12 digits."""
    if not some:
        return 0.0
    most = max(first, *rivals)
    whole = math.fsum(math.exp(score - most) for score in (first, *rivals))
    return float(f"{math.fsum(math.exp(score - most) for score in some) / whole:.12g}")
