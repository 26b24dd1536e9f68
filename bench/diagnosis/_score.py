"""The figures of one set: accuracy, calibration, the gate, fault-free windows, detection that opens incidents itself.

Without a training set every figure is cross-validated: TVDiag in ten parts by a hash of the incident, Nezha by leaving
out all incidents of the service at fault, PetShop by leaving one out (its train part has one service at fault). What is
said of an incident is calibrated on the outcomes of all other groups.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.diagnosis import _baselines
from bench.diagnosis._model import Model, Ranked, apply, calibrated, crossed
from bench.diagnosis._quiet import end_to_end, specificity
from bench.diagnosis._sets import EVENTS, Found, Incident
from diagnosis import Standing, confidence_of
from learning import Outcome, Reliability, reliability
from schemas import CalibrationMap

GATE = 0.8
Said = tuple[float, float, bool]
"""Confidence, lower end of its interval, whether the first candidate was right."""


def group_of(name: str) -> Callable[[Incident], str]:
    """What is left out together."""
    if name in EVENTS:
        return lambda one: str(int(hashlib.sha256(one.id.encode()).hexdigest(), 16) % 10)
    return (lambda one: one.id) if name == "petshop" else (lambda one: one.cause)


def crossed_set(name: str, found: Found) -> tuple[dict[str, Any], list[Said], list[Outcome], list[Outcome]]:
    """Figures of a set by itself, what was said of each incident, and the outcomes for a calibration."""
    group = group_of(name)
    ranked, models = crossed(found.incidents, group, data=name)
    families = {one.family for one in found.incidents}
    novel: list[Ranked] = []
    if len(families) > 1:
        novel, _ = crossed(found.incidents, lambda one: one.family, data=name)
    known = [_grouped(r, group) for r in ranked]
    strange = [_grouped(r, group) for r in novel]
    said = _said(known, strange, [o.group for o in known])
    figures = _figures(found, ranked, said)
    if novel:
        names = [r.incident.family for r in novel]
        told = _said(
            [o._replace(group=r.incident.family) for o, r in zip(known, ranked, strict=True)],
            [o._replace(group=r.incident.family) for o, r in zip(strange, novel, strict=True)], names, of=strange,
        )  # fmt: skip
        held = reliability([p for p, *_ in told], [right for *_, right in told])
        figures["leave_fault_type_out"] = {
            "ac1": _at(novel, 1),
            "ac3": _at(novel, 3),
            **_held(held, told),
            **_gate(told),
        }
    one_out = {one.id: models[group(one)] for one in found.incidents}
    curve = calibrated(known, strange, name)
    figures["specificity"], figures["fault_free_windows"], figures["specificity_ci95"] = specificity(
        found, models, curve
    )
    figures["end_to_end"] = end_to_end(found.incidents, one_out, curve)
    return figures, said, known, strange


def trained_set(
    found: Found, model: Model, calibration: CalibrationMap, without: Callable[[str], tuple[Model, CalibrationMap]]
) -> tuple[dict[str, Any], list[Said]]:
    """Figures of a set by a model and a calibration of other incidents. without: those that never saw a family."""
    ranked = [apply(model, one, calibration) for one in found.incidents]
    said = [(*_of(calibration, r.outcome.standing), r.outcome.is_right) for r in ranked]
    figures = _figures(found, ranked, said)
    figures["specificity"], figures["fault_free_windows"], figures["specificity_ci95"] = specificity(
        found, {"": model}, calibration
    )
    figures["end_to_end"] = end_to_end(found.incidents, {one.id: model for one in found.incidents}, calibration)
    fitted = {family: without(family) for family in sorted({one.family for one in found.incidents})}
    novel = [apply(fitted[one.family][0], one) for one in found.incidents]
    told = [(*_of(fitted[r.incident.family][1], r.outcome.standing), r.outcome.is_right) for r in novel]
    held = reliability([p for p, *_ in told], [right for *_, right in told])
    figures["leave_fault_type_out"] = {"ac1": _at(novel, 1), "ac3": _at(novel, 3), **_held(held, told), **_gate(told)}
    return figures, said


def pooled(said: Sequence[Said]) -> dict[str, Any]:
    """All incidents of all sets as one."""
    held = reliability([p for p, *_ in said], [right for *_, right in said])
    return {"n": len(said), **_held(held, said), **_gate(said)}


def _grouped(ranked: Ranked, group: Callable[[Incident], str]) -> Outcome:
    return ranked.outcome._replace(group=group(ranked.incident))


def _said(
    known: Sequence[Outcome], novel: Sequence[Outcome], groups: Sequence[str], of: Sequence[Outcome] | None = None
) -> list[Said]:
    """What a calibration on all other groups says of each; of: of these outcomes instead of the known ones."""
    curves = {
        name: calibrated([o for o in known if o.group != name], [o for o in novel if o.group != name], name)
        for name in sorted(set(groups))
    }
    asked = known if of is None else of
    return [(*_of(curves[g], o.standing), o.is_right) for o, g in zip(asked, groups, strict=True)]


def _of(curve: CalibrationMap, standing: Standing) -> tuple[float, float]:
    confidence, interval = confidence_of(curve, standing)
    return confidence, interval[0]


def _figures(found: Found, ranked: Sequence[Ranked], said: Sequence[Said]) -> dict[str, Any]:
    incidents = found.incidents
    ranks = np.array([r.rank for r in ranked])
    sample = np.random.default_rng(20260101).integers(0, len(ranks), (2000, len(ranks)))
    low, high = np.quantile((ranks[sample] <= 1).mean(axis=1), [0.025, 0.975])
    held = reliability([p for p, *_ in said], [right for *_, right in said])
    seconds = [r.seconds + r.incident.seconds for r in ranked]
    baselines = {
        name: {"ac1": _share(found_ranks, 1), "ac3": _share(found_ranks, 3)}
        for name, found_ranks in _baselines.ranks(incidents).items()
    }
    return {
        "n": len(ranks), "chance_ac1": _r(float(np.mean([1 / max(one.services, 1) for one in incidents]))),
        "ac1": _at(ranked, 1), "ac3": _at(ranked, 3),
        "avg5": _r(float(np.mean([np.mean(ranks <= k) for k in range(1, 6)]))),
        "retrieval10": _at(ranked, 10), "ci95_ac1": [_r(float(low)), _r(float(high))],
        **_held(held, said), **_gate(said),
        "by_fault_type": _by_family(ranked), "seconds_per_incident": round(float(np.median(seconds)), 3),
        "seconds_p95": round(float(np.quantile(seconds, 0.95)), 3),
        "rank_seconds_p95": round(float(np.quantile([r.seconds for r in ranked], 0.95)), 4),
        "baselines": baselines,
    }  # fmt: skip


def _held(held: Reliability, said: Sequence[Said]) -> dict[str, Any]:
    return {
        "ece": _r(held.ece), "ece_ci95": [_r(v) for v in held.interval], "ece_if_perfect": _if_perfect(said),
        "brier": _r(held.brier), "brier_of_base_rate": _r(held.base),
    }  # fmt: skip


def _if_perfect(said: Sequence[Said]) -> float:
    """The error that these confidences would show if each held exactly, by chance alone: with few incidents much."""
    p = np.array([confidence for confidence, *_ in said])
    rng = np.random.default_rng(20260101)
    drawn = [reliability(p.tolist(), (rng.random(len(p)) < p).tolist(), draws=1).ece for _ in range(200)]
    return _r(float(np.mean(drawn)))


def _gate(said: Sequence[Said]) -> dict[str, Any]:
    """Share that passes the gate, and share right among those; null where none passes."""
    passed = [right for _, low, right in said if low >= GATE]
    return {
        "gate_coverage": _r(len(passed) / len(said)), "gate_right": _r(sum(passed) / len(passed)) if passed else None,
    }  # fmt: skip


def _by_family(ranked: Sequence[Ranked]) -> dict[str, str]:
    found: dict[str, list[bool]] = {}
    for one in ranked:
        found.setdefault(one.incident.family, []).append(one.rank == 1)
    return {family: f"{sum(right)}/{len(right)}" for family, right in sorted(found.items())}


def _at(ranked: Sequence[Ranked], k: int) -> float:
    return _share([r.rank for r in ranked], k)


def _share(ranks: Sequence[int], k: int) -> float:
    return _r(sum(rank <= k for rank in ranks) / max(len(ranks), 1))


def _r(value: float) -> float:
    return round(value, 4)
