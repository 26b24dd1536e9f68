"""Additive log-odds over candidates with weights that are never negative; each term is the explanation.

The score orders and is not a probability: `confidence` stays null without a calibration. Ties are broken by the entity
id. Two candidates are always there and bear no name: that nothing is at fault, and that the cause is none of those that
we see. Where one of them wins, nothing speaks for anybody, two candidates are as good as each other or too much is
missing, it abstains and says why; the ranking stays visible.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagnosis._confidence import Standing, confidence_of, is_novel
from diagnosis._contract_rules import Judgement
from diagnosis._evidence import EvidenceTable
from diagnosis._kinds import FAMILIES, KINDS
from diagnosis._observe import ASKED_WEIGHT, REASONED
from diagnosis._text import describe
from diagnosis._unheard import NOTHING, SIGNALS, MayShow, as_if_heard, belief
from schemas import CalibrationMap, Cause, Evidence, Hypothesis, RankerWeights

MOST_HYPOTHESES = 10
CLOSE_SHARE = 0.05  # of the best score; a choice, not tuned
LIKELY_CHANGE = 0.5  # proximity: about seven minutes
NO_FAULT, UNKNOWN = "no_fault", "unknown"
"""Names of the two candidates without a name among the weights: their scores, 0 where nothing was fitted."""
LEAST_COMPLETE = 0.5
MOST_MISSING = 1  # signals; with two missing of three nothing is named


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a ranking is judged by beside its evidence.

    services: known in all, so that those without evidence count as candidates too. completeness: of the windows that
    were seen, 0 to 1. missing: signals that spoke in past incidents and are silent in this one. lost: share of calls
    of which spans are lost. unheard: services of which a signal is silent. may_show: what they might, and
    what somebody might in the signals that are missing.
    """

    services: int = 0
    completeness: float = 1.0
    missing: tuple[str, ...] = ()
    calibration: CalibrationMap | None = None
    lost: float = 0.0
    unheard: frozenset[str] = frozenset()
    may_show: MayShow = NOTHING


@dataclass(frozen=True, slots=True)
class Ranking:
    """hypotheses: best first. abstained: the reason, or None. standing: of the first, None if there is none."""

    hypotheses: list[Hypothesis]
    abstained: str | None
    standing: Standing | None


def equal_weights() -> RankerWeights:
    """What is used without a fit: every kind of evidence counts the same."""
    return RankerWeights(data="prior", fitted_on=[], weights=dict.fromkeys(KINDS, 1.0), method="equal")


def rank(table: EvidenceTable, weights: RankerWeights) -> tuple[list[Hypothesis], str | None]:
    """Hypotheses, best first, and the reason to abstain or None, without rules and calibration."""
    found = ranking(table, weights)
    return found.hypotheses, found.abstained


def ranking(
    table: EvidenceTable, weights: RankerWeights, judgements: Sequence[Judgement] = (),
    around: Circumstances | None = None,
) -> Ranking:  # fmt: skip
    """The ranking with its confidence. Reasons to abstain, the first that holds: NO_EVIDENCE, NO_FAULT, INCOMPLETE,
    CLOSE_CALL, NOVEL.

    A kind without a weight counts nothing, but what was asked for counts by a prior; a negative weight counts as zero.
    judgements: of hard rules, for or against; they change the order by at most what `_rules.py` allows.

    What a language model reasoned (`REASONED`) is shown and moves candidates below the first by its weight. Who comes
    first, its cause, its confidence and the reason to abstain are what they are without it: a reply may be a lie.
    """
    around = around or Circumstances()
    asked = {table.kinds[j] for _, j in table.asked}
    prior = [ASKED_WEIGHT if kind in asked else 0.0 for kind in table.kinds]
    w = np.array([max(weights.weights.get(kind, p), 0.0) for kind, p in zip(table.kinds, prior, strict=True)])
    is_measured = np.array([not kind.startswith(REASONED) for kind in table.kinds])
    terms = table.matrix * w
    judged: dict[int, list[Judgement]] = {}
    row = {service: i for i, service in enumerate(table.candidates)}
    for judgement in judgements:
        if judgement.service in row:
            judged.setdefault(row[judgement.service], []).append(judgement)
    extra = [math.fsum(j.weight for j in judged.get(i, ())) for i in range(len(table.candidates))]
    scores = _scores(terms * is_measured, extra)
    order = sorted((i for i, score in enumerate(scores) if score > 0), key=lambda i: (-scores[i], table.entity_ids[i]))
    if not order:
        return Ranking([], "NO_EVIDENCE", None)
    nameless = (weights.weights.get(NO_FAULT, 0.0), weights.weights.get(UNKNOWN, 0.0))
    top = order[0]
    others, silent = _rivals(table, scores, top, around, 0)
    unheard = belief(scores[top], [*others, *nameless], silent) + (table.candidates[top] in around.unheard) / SIGNALS
    standing = Standing(
        odds=log_odds(scores[top], [*others, *nameless]), likeness=table.like[top][0],
        completeness=around.completeness, missing=len(around.missing),
        plain=_plain(table, weights, extra, top, around), lost=around.lost, unheard=unheard,
    )  # fmt: skip
    shown = _scores(terms, extra)
    told = [top, *sorted(order[1:], key=lambda i: (-shown[i], table.entity_ids[i]))]
    hypotheses = [_hypothesis(table, i, terms[i], shown[i], judged.get(i, [])) for i in told[:MOST_HYPOTHESES]]
    if around.calibration is not None:
        confidence, interval = confidence_of(around.calibration, standing)
        update = {"confidence": confidence, "interval": interval, "confidence_state": around.calibration.state}
        hypotheses[0] = hypotheses[0].model_copy(update=update)
    reason = _abstention(scores, order, nameless[0], around, standing)
    return Ranking(hypotheses, reason, standing)


def _scores(terms: NDArray[np.float64], extra: Sequence[float]) -> list[float]:
    return [float(f"{value + more:.12g}") for value, more in zip(terms.sum(axis=1), extra, strict=True)]


def _rivals(
    table: EvidenceTable, scores: Sequence[float], top: int, around: Circumstances, scale: int
) -> tuple[list[float], list[float]]:
    """Scores of all others, what is not heard taken as shown, and of those among them that are not heard.

    scale: 0 by fitted weights, 1 by those before any fit.
    """
    first = table.candidates[top]
    rivals = {service: scores[i] for i, service in enumerate(table.candidates) if i != top}
    services = max(around.services - 1, len(rivals))
    return as_if_heard(
        rivals, around.unheard - {first}, around.may_show.most[scale], services, around.may_show.anywhere[scale]
    )


def _plain(
    table: EvidenceTable, weights: RankerWeights, extra: Sequence[float], top: int, around: Circumstances
) -> float | None:
    """The odds of the first candidate by the weights before any fit; None if they are not known."""
    if not weights.prior:
        return None
    w = np.array([max(weights.prior.get(kind, 0.0), 0.0) for kind in table.kinds])
    scores = _scores(table.matrix * w, extra)
    return log_odds(scores[top], _rivals(table, scores, top, around, 1)[0])


def log_odds(score: float, others: Sequence[float]) -> float:
    """Of one candidate against all others, by a softmax over their scores; 12 digits."""
    if not others:
        return float(f"{score:.12g}")
    most = max(others)
    return float(f"{score - most - math.log(math.fsum(math.exp(other - most) for other in others)):.12g}")


def _abstention(
    scores: Sequence[float], order: Sequence[int], no_fault: float, around: Circumstances, standing: Standing
) -> str | None:
    first = scores[order[0]]
    if first < no_fault:
        return "NO_FAULT"
    if around.completeness * (1 - around.lost) < LEAST_COMPLETE or len(around.missing) > MOST_MISSING:
        return "INCOMPLETE"
    if len(order) > 1 and first - scores[order[1]] < CLOSE_SHARE * first:
        return "CLOSE_CALL"
    if around.calibration is not None and is_novel(around.calibration, standing):
        return "NOVEL"
    return None


def _hypothesis(
    table: EvidenceTable, i: int, terms: NDArray[np.float64], score: float, judged: Sequence[Judgement]
) -> Hypothesis:
    service = table.candidates[i]
    spoken = {kind: float(f"{terms[j]:.12g}") for j, kind in enumerate(table.kinds) if terms[j] > 0}
    by_kind = {kind: term for kind, term in spoken.items() if not kind.startswith(REASONED)}
    change = table.changes.get(i)
    likely = change is not None and table.matrix[i, KINDS.index("change")] >= LIKELY_CHANGE and len(by_kind) > 1
    told = {table.kinds[j]: finding for (row, j), finding in table.asked.items() if row == i}
    families = FAMILIES | {kind: finding.family for kind, finding in told.items() if finding.family}
    family = _family(by_kind, families, likely, judged)
    ordered = sorted(spoken.items(), key=lambda pair: (-pair[1], pair[0]))
    evidence = [item for kind, term in ordered for item in _items(table, i, kind, term)]
    evidence += [
        Evidence(kind=f"rule_{j.rule}", supports=j.weight > 0, weight=j.weight, text=j.text, pointer=j.pointer)
        for j in judged
    ]
    cause = Cause(
        entity=service, entity_id=table.entity_ids[i], family=family, change=change.id if change and likely else None
    )
    strongest = by_kind | {f"rule_{j.rule}": j.weight for j in judged if j.weight > 0}
    best = max(strongest, key=lambda kind: (strongest[kind], kind))
    reason = f"{best} speaks most for {service}: {strongest[best]:.3g} of {score:.3g}"
    return Hypothesis(cause=cause, score=score, reason=reason, evidence=evidence)


def _family(
    by_kind: Mapping[str, float], families: Mapping[str, str], likely_change: bool, judged: Sequence[Judgement]
) -> str:
    """What a rule says, else `change` if the service was changed shortly before its trouble, else what the largest
    contribution speaks for."""
    told = sorted((-j.weight, j.family) for j in judged if j.weight > 0 and j.family)
    if told:
        return told[0][1]
    if likely_change:
        return "change"
    totals = sorted((-term, families[kind]) for kind, term in by_kind.items() if kind in families)
    return totals[0][1] if totals else "unknown"


def _items(table: EvidenceTable, i: int, kind: str, term: float) -> list[Evidence]:
    """The records behind one contribution; it is split evenly among those that are shown."""
    cell = i, table.kinds.index(kind)
    if cell in table.asked:
        told = table.asked[cell]
        pointer = None if kind.startswith(REASONED) else told.pointer  # it is no observation to act on
        return [Evidence(kind=kind, supports=True, weight=term, text=told.text, pointer=pointer)]
    found = table.anomalies.get(cell, [])
    if found:
        share = float(f"{term / len(found):.12g}")
        return [Evidence(kind=kind, supports=True, weight=share, text=describe(a), pointer=a.pointer) for a in found]
    service = table.candidates[i]
    if kind == "change" and i in table.changes:
        change = table.changes[i]
        before = (table.onset_ns - change.at_ns) / 1e9
        when = f"{before:.0f} s before" if before >= 0 else f"{-before:.0f} s into"
        text = f"{change.title} of {service}, {when} the first anomaly"
    elif kind == "pattern":
        likeness, family = table.like[i]
        text = f"{service} shows what causes of confirmed incidents showed, most of all {family} ({likeness:.2f} of 1)"
    else:
        text = f"{service} is called by anomalous services and calls none that is half as anomalous"
    return [Evidence(kind=kind, supports=True, weight=term, text=text)]
