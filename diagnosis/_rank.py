"""Additive log-odds over candidates with weights that are never negative; each term is the explanation.

The score orders and is not a probability: `confidence` stays null until a calibration says otherwise. Ties are broken
by the entity id. Where nothing speaks for anybody, or two candidates are as good as each other, it abstains and says
why; the ranking stays visible.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from diagnosis._evidence import EvidenceTable
from diagnosis._kinds import FAMILIES, KINDS
from diagnosis._observe import ASKED_WEIGHT
from diagnosis._text import describe
from schemas import Cause, Evidence, Hypothesis, RankerWeights

MOST_HYPOTHESES = 10
CLOSE_SHARE = 0.05  # of the best score; a choice, not tuned
LIKELY_CHANGE = 0.5  # proximity: about seven minutes


def equal_weights() -> RankerWeights:
    """What is used without a fit: every kind of evidence counts the same."""
    return RankerWeights(data="prior", fitted_on=[], weights=dict.fromkeys(KINDS, 1.0), method="equal")


def rank(table: EvidenceTable, weights: RankerWeights) -> tuple[list[Hypothesis], str | None]:
    """Hypotheses, best first, and the reason to abstain or None: NO_EVIDENCE, CLOSE_CALL.

    A kind without a weight counts nothing, but what was asked for counts by a prior; a negative weight counts as zero.
    """
    asked = {table.kinds[j] for _, j in table.asked}
    prior = [ASKED_WEIGHT if kind in asked else 0.0 for kind in table.kinds]
    w = np.array([max(weights.weights.get(kind, p), 0.0) for kind, p in zip(table.kinds, prior, strict=True)])
    terms = table.matrix * w
    scores = [float(f"{value:.12g}") for value in terms.sum(axis=1)]
    order = sorted((i for i, score in enumerate(scores) if score > 0), key=lambda i: (-scores[i], table.entity_ids[i]))
    hypotheses = [_hypothesis(table, i, terms[i], scores[i]) for i in order[:MOST_HYPOTHESES]]
    if not hypotheses:
        return [], "NO_EVIDENCE"
    if len(order) > 1 and scores[order[0]] - scores[order[1]] < CLOSE_SHARE * scores[order[0]]:
        return hypotheses, "CLOSE_CALL"
    return hypotheses, None


def _hypothesis(table: EvidenceTable, i: int, terms: NDArray[np.float64], score: float) -> Hypothesis:
    service = table.candidates[i]
    by_kind = {kind: float(f"{terms[j]:.12g}") for j, kind in enumerate(table.kinds) if terms[j] > 0}
    change = table.changes.get(i)
    likely = change is not None and table.matrix[i, KINDS.index("change")] >= LIKELY_CHANGE and len(by_kind) > 1
    told = {table.kinds[j]: finding for (row, j), finding in table.asked.items() if row == i}
    families = FAMILIES | {kind: finding.family for kind, finding in told.items() if finding.family}
    family = _family(by_kind, families, likely)
    ordered = sorted(by_kind.items(), key=lambda pair: (-pair[1], pair[0]))
    evidence = [item for kind, term in ordered for item in _items(table, i, kind, term)]
    cause = Cause(
        entity=service, entity_id=table.entity_ids[i], family=family, change=change.id if change and likely else None
    )
    best = max(by_kind, key=lambda kind: (by_kind[kind], kind))
    reason = f"{best} speaks most for {service}: {by_kind[best]:.3g} of {score:.3g}"
    return Hypothesis(cause=cause, score=score, reason=reason, evidence=evidence)


def _family(by_kind: Mapping[str, float], families: Mapping[str, str], likely_change: bool) -> str:
    """What the largest contribution speaks for; `change` if the service was changed shortly before its trouble."""
    if likely_change:
        return "change"
    totals = sorted((-term, families[kind]) for kind, term in by_kind.items() if kind in families)
    return totals[0][1] if totals else "unknown"


def _items(table: EvidenceTable, i: int, kind: str, term: float) -> list[Evidence]:
    """The records behind one contribution; it is split evenly among those that are shown."""
    cell = i, table.kinds.index(kind)
    if cell in table.asked:
        told = table.asked[cell]
        return [Evidence(kind=kind, supports=True, weight=term, text=told.text, pointer=told.pointer)]
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
    elif kind == "onset":
        text = f"first anomaly of {service} {(table.first_ns[i] - table.onset_ns) / 1e9:.0f} s after the onset"
    else:
        text = f"{service} is called by anomalous services and calls none that is half as anomalous"
    return [Evidence(kind=kind, supports=True, weight=term, text=text)]
