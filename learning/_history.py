"""Fits what bystanders and causes show, from labelled incidents: an `EvidenceHistory` for `diagnosis`.

Signs of the cause are left out of what is ordinary, and so is every call with the cause at its other end: else the very
fault that is to be found would teach that it is no wonder. What the cause showed becomes a pattern to compare with.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from diagnosis import History, Signs
from schemas import EvidenceHistory, Pattern

LEAST_RARITY = 0.05  # signs below say nothing about a fault; leaving them out keeps patterns short
MOST_VALUES = 20_000  # of one key; more are thinned evenly


class Past(NamedTuple):
    """One incident that is over. cause: the entity that was found at fault, None if nobody knows.

    services: how many entities could have shown something. signals: those that were recorded and spoke.
    """

    id: str
    signs: Signs
    cause: str | None
    family: str
    services: int
    signals: frozenset[str]


def fit_history(
    past: Sequence[Past], *, data: str, held_out: Sequence[str] = (), is_general: bool = False
) -> EvidenceHistory:
    """What was ordinary and what was not. Incidents without a known cause teach what is ordinary only.

    is_general: leave out what names entities of one system, for use in another.
    """
    kinds: dict[str, list[float]] = {}
    names: dict[str, list[float]] = {}
    own: dict[str, list[float]] = {}
    for one in past:
        for (entity, kind), values in _bystanders(one).items():
            if entity != one.cause and values:
                kinds.setdefault(kind, []).append(max(values.values())[0])
                for key, (value, name) in values.items():
                    names.setdefault(name, []).append(value)
                    own.setdefault(key, []).append(value)
    signals: dict[str, float] = {}
    for one in () if is_general else past:
        for signal in one.signals:
            signals[signal] = signals.get(signal, 0.0) + 1 / len(past)
    ordinary = EvidenceHistory(
        data=data, fitted_on=sorted(one.id for one in past), held_out=sorted(held_out), incidents=len(past),
        entities=sum(one.services for one in past), kinds=_thinned(kinds), names=_thinned(names),
        own={} if is_general else _thinned(own), signals={k: round(v, 6) for k, v in sorted(signals.items())},
    )  # fmt: skip
    return with_patterns(ordinary, past)


def with_patterns(ordinary: EvidenceHistory, past: Iterable[Past]) -> EvidenceHistory:
    """The same with the patterns of these incidents in place of its own."""
    history = History(ordinary)
    patterns = []
    for one in past:
        if one.cause is not None:
            found = history.pattern_of(one.signs, one.cause)
            signs = {key: round(value, 6) for key, value in sorted(found.items()) if value >= LEAST_RARITY}
            if signs:
                patterns.append(Pattern(family=one.family, signs=signs))
    return ordinary.model_copy(update={"patterns": patterns})


def _bystanders(one: Past) -> dict[tuple[str, str], dict[str, tuple[float, str]]]:
    """By entity and kind: the strongest value of each sign that does not touch the cause."""
    found: dict[tuple[str, str], dict[str, tuple[float, str]]] = {}
    for at, shown in one.signs.items():
        best: dict[str, tuple[float, str]] = {}
        for series in shown:
            sign = series.sign
            if one.cause is None or sign.other != one.cause:
                known = best.get(sign.own_key)
                if known is None or series.strength > known[0]:
                    best[sign.own_key] = series.strength, sign.name_key
        found[at] = best
    return found


def _thinned(found: Mapping[str, list[float]]) -> dict[str, list[float]]:
    out = {}
    for key, unsorted in sorted(found.items()):
        values = sorted(unsorted)
        step = len(values) // MOST_VALUES + 1
        out[key] = [round(value, 5) for value in values[::step]]
    return out
