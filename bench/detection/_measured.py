"""What the sets with point labels share: scores, a threshold from training, counts, intervals, chance, budget."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.detection import _figures as fig
from bench.detection import _peers
from bench.detection._series import Labelled
from bench.detection._system import WINDOWS_PER_DAY, alarms, plain_threshold, thresholds
from schemas.core import F64

Figure = Callable[[fig.Counts], float | None]
STATIC_PER_DAY = 0.5  # of all alarms, since these scores are no probabilities; chosen, not tuned
COUNT_WINDOWS = ("f1_delay7",)
TARGETS = (1.0, 0.1)
"""False alarms a series-day that the budget is asked for; the first is the one of the contract."""


def found(
    series: Sequence[Labelled],
    figures: Mapping[str, Figure],
    scores: Sequence[F64],
    per_day: float,
    *,
    with_peers: bool = False,
) -> dict[str, Any]:
    """Keys of a set for these figures over its test parts.

    scores: float64 (n,) a series, higher is more surprising. per_day: the budget of false alarms a series-day that
    the figures are for, but those of `COUNT_WINDOWS`. with_peers: the first series are given to other systems, too.
    """
    at, static = thresholds(series, scores), _bounds(series)
    threshold = at(per_day)
    budgets = {name: WINDOWS_PER_DAY if name in COUNT_WINDOWS else per_day for name in figures}
    alarmed = {day: [alarms(score, at(day)) for score in scores] for day in {per_day, *budgets.values()}}
    parts = {
        day: [fig.counts(one, alarm) for one, alarm in zip(series, some, strict=True)] for day, some in alarmed.items()
    }
    chance = {day: fig.together(fig.at_random(series, some)) for day, some in alarmed.items()}
    whole = fig.together(parts[per_day])
    return {
        **{name: figure(fig.together(parts[budgets[name]])) for name, figure in figures.items()},
        "ci95": {name: fig.interval(parts[budgets[name]], _plain(figure)) for name, figure in figures.items()},
        "chance": {name: figure(chance[budgets[name]]) for name, figure in figures.items()},
        "baselines": {"static_threshold": _static(series, static, figures)},
        "series": len(series), "series_days": whole.days, "events": whole.events, "found": whole.found,
        "false_alarms": whole.false, "asked_per_day": per_day, "threshold": threshold,
        "asked_per_day_of": {name: day for name, day in budgets.items() if day != per_day},
        "budget": budget(series, scores, at),
        **({"peers": _peers.compared(series, scores, threshold, static, STATIC_PER_DAY)} if with_peers else {}),
        "at_one_a_day": _at(series, scores, at(1.0), figures),
    }  # fmt: skip


def _at(
    series: Sequence[Labelled], scores: Sequence[F64], threshold: float, figures: Mapping[str, Figure]
) -> dict[str, float | None]:
    whole = fig.together([fig.counts(one, alarms(s, threshold)) for one, s in zip(series, scores, strict=True)])
    return {name: figure(whole) for name, figure in figures.items()}


def budget(series: Sequence[Labelled], scores: Sequence[F64], at: Callable[[float], float]) -> dict[str, Any]:
    """Alarms outside labels a series-day at thresholds that were set for `TARGETS`; the first target's keys on top."""
    rows = [_budget(series, scores, target, at(target)) for target in TARGETS]
    return {**rows[0], "others": rows[1:]}


def _budget(series: Sequence[Labelled], scores: Sequence[F64], target: float, threshold: float) -> dict[str, Any]:
    whole = fig.together([fig.counts(one, alarms(s, threshold)) for one, s in zip(series, scores, strict=True)])
    low, high = (bound / whole.days for bound in fig.poisson_interval(whole.false))
    return {
        "target": target, "actual": fig.false_alarms_per_day(whole), "interval95": [low, high],
        "recall": fig.recall(whole), "expected_alarms": target * whole.days, "ratio": whole.false / whole.days / target,
    }  # fmt: skip


def table(name: str, found: Mapping[str, Any]) -> list[str]:
    """Lines to print."""
    lines = [
        f"{found['series']} series, {found['series_days']:.0f} series-days, {found['events']} events, "
        f"{found['found']} found, {found['false_alarms']} false alarms at a surprise of {found['threshold']:.2f}"
    ]
    static = found["baselines"]["static_threshold"]
    for key, (low, high) in found["ci95"].items():
        cells = (found[key], low, high, found["chance"][key], static[key])
        here, low, high, chance, fixed = (float("nan") if cell is None else cell for cell in cells)
        lines.append(f"{key:28} {here:.3f}  95% {low:.3f} to {high:.3f}  chance {chance:.3f}  static {fixed:.3f}")
    for row in (found["budget"], *found["budget"]["others"]):
        low, high = row["interval95"]
        lines.append(
            f"{name}: asked for {row['target']:g} false alarms a series-day, got {row['actual']:.3f} "
            f"(95% {low:.3f} to {high:.3f}), recall {row['recall']:.2f}"
        )
    return [*lines, *(_peers.table(found["peers"]) if "peers" in found else [])]


def _static(
    series: Sequence[Labelled], scores: Sequence[F64], figures: Mapping[str, Figure]
) -> dict[str, float | None]:
    """What fixed bounds give; threshold and alarms as for everything else."""
    threshold = plain_threshold(series, scores, STATIC_PER_DAY)
    alarmed: list[NDArray[np.bool_]] = [alarms(score, threshold) for score in scores]
    whole = fig.together([fig.counts(one, alarm) for one, alarm in zip(series, alarmed, strict=True)])
    return {name: figure(whole) for name, figure in figures.items()}


def _bounds(series: Sequence[Labelled]) -> list[F64]:
    """The distance of every window from the training median, a unit being what 99.5 % of training stays below.

    The largest dimension counts.
    """
    scores: list[F64] = []
    for one in series:
        train = one.x[: one.first]
        middle = np.nanmedian(train, axis=0)
        away = np.abs(one.x - middle)
        unit = np.nanquantile(away[: one.first], 0.995, axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = np.where(unit > 0, away / unit, np.where(away > 0, 1e3, 0.0))
        scores.append(np.nan_to_num(relative.max(axis=1)))
    return scores


def _plain(figure: Figure) -> Callable[[fig.Counts], float]:
    def number(counts: fig.Counts) -> float:
        value = figure(counts)
        return float("nan") if value is None else value

    return number
