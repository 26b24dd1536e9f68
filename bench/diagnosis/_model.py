"""Fitting on some incidents and ranking others: what is scored is never among what it was fitted on.

A training incident's own evidence is judged against a history without it (five inner parts), as a new incident's will
be; two recordings of one incident are left out together. For one in three of them the patterns of its own fault family
are left out as well: a ranker that learns only where every fault is known leans on likeness, and falls where one is
new.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bench.diagnosis._sets import Incident
from diagnosis import (
    KINDS,
    Circumstances,
    History,
    Ranking,
    Signs,
    Standing,
    evidence_table,
    judgements,
    may_show,
    missing_signals,
    ranking,
    scene_of,
    signs_of,
)
from learning import PRIOR, Case, Outcome, Past, fit_calibration, fit_history, fit_ranker, with_patterns
from schemas import CalibrationMap, RankerWeights
from tidegate import _catalogue

INNER = 5
NOVEL_EVERY = 3
RULES = _catalogue.find("rules")


class Model(NamedTuple):
    weights: RankerWeights
    history: History


class Ranked(NamedTuple):
    """rank: of the cause, from 1, ties against us. seconds: CPU of evidence and ranking."""

    incident: Incident
    rank: int
    outcome: Outcome
    ranking: Ranking
    seconds: float


_SIGNS: dict[tuple[str, str], Signs] = {}


def signs(one: Incident) -> Signs:
    key = one.set, one.id
    if key not in _SIGNS:
        _SIGNS[key] = signs_of(one.anomalies)
    return _SIGNS[key]


def past(one: Incident) -> Past:
    signals = frozenset(str(a.signal) for a in one.anomalies)
    return Past(one.id, signs(one), one.cause, one.family, one.services, signals)


def fit(train: Sequence[Incident], *, data: str, is_general: bool = False) -> Model:
    """Weights and history of these incidents. is_general: for systems that they do not come from."""
    number = {name: i for i, name in enumerate(dict.fromkeys(one.id for one in train))}
    inner = [
        fit_history([past(o) for o in train if number[o.id] % INNER != part], data=data, is_general=is_general)
        for part in range(INNER)
    ]
    cases = []
    for one in train:
        i = number[one.id]
        record = inner[i % INNER]
        if i % NOVEL_EVERY == 0:
            others = [o for o in train if number[o.id] % INNER != i % INNER and o.family != one.family]
            record = with_patterns(record, [past(o) for o in others])
        cases.append(case(one, History(record)))
    weights = fitted(cases, data)
    return Model(weights, History(fit_history([past(o) for o in train], data=data, is_general=is_general)))


def fitted(cases: Sequence[Case], data: str) -> RankerWeights:
    """The fit, or the prior where nothing is there to fit."""
    if any(case.truth is not None for case in cases):
        return fit_ranker(cases, KINDS, data=data)
    return RankerWeights(data="prior", fitted_on=[], weights=dict(PRIOR), method="prior, nothing to fit on")


def calibrated(known: Sequence[Outcome], novel: Sequence[Outcome], data: str) -> CalibrationMap:
    """The fit, or where nothing is there to fit the odds as they are, with nothing said of how sure that is."""
    if known:
        return fit_calibration(known, novel, data=data)
    return CalibrationMap(
        data="prior", fitted_on=[], method="platt", parameters=[1.0, 0.0], state="TRANSFERRED", outcomes=0
    )


def case(one: Incident, history: History) -> Case:
    table = evidence_table(one.anomalies, one.edges, one.changes, one.at_ns, history=history, signs=signs(one))
    truth = table.candidates.index(one.cause) if one.cause in table.candidates else None
    return Case(one.id, one.cause, table.matrix, truth, max(one.services, len(table.candidates)))


def apply(
    model: Model, one: Incident, calibration: CalibrationMap | None = None, *, lost: float = 0.0,
    unheard: frozenset[str] = frozenset(),
) -> Ranked:  # fmt: skip
    """Rank one incident, from its anomalies on. lost: share of calls of which spans are; unheard: services whose
    metrics are silent."""
    started = time.process_time()
    found = signs_of(one.anomalies)
    table = evidence_table(one.anomalies, one.edges, one.changes, one.at_ns, history=model.history, signs=found)
    calls = [(e.caller.split("/")[2], e.callee.split("/")[2]) for e in one.edges]
    said = judgements(RULES, scene_of(table, one.anomalies, calls))
    missing = missing_signals(model.history.record, one.anomalies)
    complete = [a.completeness for a in one.anomalies]
    around = Circumstances(
        one.services, float(np.mean(complete)) if complete else 1.0, missing, calibration, lost, unheard,
        may_show(model.history.record, model.weights, ["metrics"] if unheard else [], missing),
    )  # fmt: skip
    result = ranking(table, model.weights, said, around)
    seconds = time.process_time() - started
    scores = dict.fromkeys(table.candidates, 0.0) | {h.cause.entity: h.score for h in result.hypotheses}
    mine = scores.get(one.cause, 0.0)
    total = max(one.services, len(scores))
    at_least = sum(score >= mine - 1e-12 for score in scores.values())
    rank = total if one.cause not in scores or mine <= 0 else at_least
    standing = result.standing
    right = rank == 1
    outcome = Outcome(f"{one.set}/{one.id}", one.cause, standing or Standing(-10.0, 0.0), right)
    return Ranked(one, rank, outcome, result, seconds)


def crossed(
    incidents: Sequence[Incident], group: Callable[[Incident], str], *, data: str, is_general: bool = False
) -> tuple[list[Ranked], dict[str, Model]]:
    """Each incident ranked by a model that has not seen its group, and the models by group."""
    names = [group(one) for one in incidents]
    models: dict[str, Model] = {}
    for name in sorted(set(names)):
        rest = [one for one, other in zip(incidents, names, strict=True) if other != name]
        models[name] = fit(rest, data=data, is_general=is_general)
    return [apply(models[name], one) for one, name in zip(incidents, names, strict=True)], models
