"""Fits calibration maps on outcomes that the ranker had not seen: Platt's curves, or an isotonic one where it wins.

Two kinds of outcomes go in: ranked by a ranker that knew the fault's family (one incident left out), and by one that
did not (the whole family left out); where both are there, the known one is a Beta calibration that may bend at even
odds, the other is Platt's, and both are fitted to what their mixture says.
Of outcomes of one kind only, below some hundred outcomes a logistic curve of two parameters is better than a
step function, so isotonic must win in cross-validated Brier score by more than its standard error.
Platt 1999; Zadrozny & Elkan 2002; Niculescu-Mizil & Caruana 2005; Kull, Silva Filho & Flach 2017; Murphy & Winkler
1977 for the scores.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diagnosis import Standing, confidence_of, knownness
from schemas import CalibrationMap

F64 = NDArray[np.float64]
L2 = 1e-2
L2_BENT = 0.5
"""Three parameters need more of a pull towards odds that are right as they are: a standard deviation of 1.4."""
LEAST_ISOTONIC = 100
OWN_OUTCOMES = 50
"""Outcomes of one's own before a map counts as one's own."""
FOLDS = 5
BINS = 10
NEW_SHARE = 0.1
"""How many incidents are of a family never seen, before one looks at them: a choice, not tuned."""


class Outcome(NamedTuple):
    """One ranked incident whose cause is known. group: what must not be torn apart by folds."""

    id: str
    group: str
    standing: Standing
    is_right: bool


class Reliability(NamedTuple):
    """ece: over ten bins of equal mass. interval: 95 % bootstrap of it. base: Brier score of always saying the mean."""

    n: int
    ece: float
    interval: tuple[float, float]
    brier: float
    base: float
    bins: tuple[tuple[float, float, int], ...]
    """(mean confidence, share right, how many) of each bin."""


def fit_calibration(
    known: Sequence[Outcome], novel: Sequence[Outcome] = (), *, data: str, own: bool = False,
    held_out: Sequence[str] = (),
) -> CalibrationMap:  # fmt: skip
    """The map of these outcomes. Raises ValueError without any.

    own: they are of the tenant itself; a map counts as `OWN` from 50 on, before that as `TRANSFERRED`.
    """
    if not known:
        raise ValueError("no outcome to calibrate on")
    curve = CalibrationMap(
        data=data, fitted_on=sorted({one.id for one in (*known, *novel)}), held_out=sorted(held_out),
        method="platt", parameters=_digits(_platt(known, [one.standing.odds for one in known])),
        state="OWN" if own and len(known) >= OWN_OUTCOMES else "TRANSFERRED", outcomes=len(known),
        completeness=float(f"{np.quantile([one.standing.completeness for one in known], 0.1):.9g}"),
    )  # fmt: skip
    if len(novel) >= 2:
        curve = curve.model_copy(
            update={
                "novel_parameters": _digits(_platt(novel, [one.standing.unfitted for one in novel])),
                "novelty_parameters": _digits(_novelty(known, novel)),
            }
        )
        plain, bent = (_digits(_through_the_mixture(curve, known, novel, is_bent=bend)) for bend in (False, True))
        curve = curve.model_copy(update={"parameters": plain, "beta_parameters": bent})
    elif len(known) >= LEAST_ISOTONIC and _isotonic_wins(known):
        curve = curve.model_copy(update={"method": "isotonic", "parameters": _digits(_isotonic(known))})
    return _with_neighbours(curve, known)


def shrunk(
    general: CalibrationMap, own: Sequence[Outcome], *, data: str, weight: float = OWN_OUTCOMES
) -> CalibrationMap:
    """The general curve moved towards a tenant's own outcomes by n / (n + weight): few outcomes move it little."""
    if not own:
        return general
    share = len(own) / (len(own) + weight)
    bent: list[float] = []
    if general.beta_parameters:
        mine = _logistic(own, _bent(_columns(own)[0]), general.beta_parameters, L2_BENT)
        bent = [(1 - share) * a + share * b for a, b in zip(general.beta_parameters, mine, strict=True)]
    if general.method == "platt":
        mine = _platt(own, [o.standing.odds for o in own], towards=(general.parameters[0], general.parameters[1]))
        parameters = [(1 - share) * a + share * b for a, b in zip(general.parameters, mine, strict=True)]
    else:
        half = len(general.parameters) // 2
        xs = general.parameters[:half]
        slope, intercept = _platt(own, [o.standing.odds for o in own])
        ys = [
            (1 - share) * y + share / (1 + math.exp(-slope * x - intercept))
            for x, y in zip(xs, general.parameters[half:], strict=True)
        ]
        parameters = xs + ys
    curve = general.model_copy(
        update={
            "data": data, "fitted_on": sorted(one.id for one in own), "parameters": _digits(parameters),
            "beta_parameters": _digits(bent),
            "outcomes": len(own), "state": "OWN" if len(own) >= OWN_OUTCOMES else "TRANSFERRED",
        }
    )  # fmt: skip
    return _with_neighbours(curve, own) if len(own) >= OWN_OUTCOMES else curve


def reliability(confidence: Sequence[float], is_right: Sequence[bool], *, draws: int = 500) -> Reliability:
    """How well confidences hold. Raises ValueError without any."""
    p, y = np.asarray(confidence, np.float64), np.asarray(is_right, np.float64)
    if not len(p):
        raise ValueError("no confidences to judge")
    rng = np.random.default_rng(20260101)  # a fixed seed: the same interval every time
    samples = rng.integers(0, len(p), (draws, len(p)))
    low, high = np.quantile([_ece(p[s], y[s])[0] for s in samples], [0.025, 0.975])
    ece, bins = _ece(p, y)
    return Reliability(len(p), ece, (float(low), float(high)), float(np.mean((p - y) ** 2)), float(np.var(y)), bins)


def risk_coverage(confidence: Sequence[float], is_right: Sequence[bool]) -> list[tuple[float, float]]:
    """(share named, share wrong among them) as the least confidence that is named falls; equal ones come together."""
    order = np.argsort(-np.asarray(confidence, np.float64), kind="stable")
    p, wrong = np.asarray(confidence)[order], 1.0 - np.asarray(is_right, np.float64)[order]
    risk = np.cumsum(wrong) / np.arange(1, len(p) + 1)
    ends = np.flatnonzero(np.r_[p[1:] != p[:-1], True]) if len(p) else np.zeros(0, np.int64)
    return [((int(i) + 1) / len(p), float(risk[i])) for i in ends]


def _ece(p: F64, y: F64) -> tuple[float, tuple[tuple[float, float, int], ...]]:
    _, same = np.unique(p, return_inverse=True)
    y = (np.bincount(same, y) / np.bincount(same))[same]  # equal confidences: which of them comes first says nothing
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, min(BINS, len(p))) if len(part)]
    bins = tuple((float(p[part].mean()), float(y[part].mean()), len(part)) for part in parts)
    return sum(n * abs(said - right) for said, right, n in bins) / len(p), bins


def _columns(outcomes: Sequence[Outcome]) -> tuple[F64, F64]:
    x = np.array([one.standing.odds for one in outcomes], np.float64)
    return x, np.array([one.is_right for one in outcomes], np.float64)


def _platt(
    outcomes: Sequence[Outcome], odds: Sequence[float], towards: tuple[float, float] = (1.0, 0.0)
) -> list[float]:
    """Slope >= 0 and intercept over these odds; Platt's smoothed targets, a weak pull towards a given curve."""
    return _logistic(outcomes, np.array(odds, np.float64)[:, None], towards, L2)


def _logistic(outcomes: Sequence[Outcome], rows: F64, towards: Sequence[float], pull: float) -> list[float]:
    """Slopes >= 0 over these rows and an intercept; Platt's smoothed targets."""
    from scipy.optimize import minimize

    y = np.array([one.is_right for one in outcomes], np.float64)
    right, wrong = y.sum(), len(y) - y.sum()
    target = np.where(y > 0, (right + 1) / (right + 2), 1 / (wrong + 2))
    full = np.column_stack([rows, np.ones(len(y))])
    start = np.array(towards, np.float64)

    def loss(v: F64) -> tuple[float, F64]:
        z = full @ v
        p = 1 / (1 + np.exp(-np.clip(z, -500, 500)))
        value = float(np.sum(np.logaddexp(0, z) - target * z) + 0.5 * pull * (v - start) @ (v - start))
        return value, (p - target) @ full + pull * (v - start)

    bounds = [(0.0, None)] * rows.shape[1] + [(None, None)]
    return [float(value) for value in minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x]


def _bent(odds: F64) -> F64:
    """float64 (n, 2): the columns of Beta calibration; their sum is the odds."""
    return np.column_stack([-np.logaddexp(0, -odds), np.logaddexp(0, odds)])


def _through_the_mixture(
    curve: CalibrationMap, known: Sequence[Outcome], novel: Sequence[Outcome], *, is_bent: bool
) -> list[float]:
    """The known curve, such that what is said after mixing fits outcomes of both kinds: slope and intercept, or, bent,
    slope below even odds, slope above and intercept (Beta calibration).

    `NEW_SHARE` of the weight is on the new ones. Fitted alone, the known curve would be pulled below what is true by
    the very mixing that makes the new ones honest.
    """
    from scipy.optimize import minimize

    every = [*known, *novel]
    odds, right = _columns(every)
    rows = _bent(odds) if is_bent else odds[:, None]
    share = np.array([knownness(curve, one.standing.likeness) for one in every])
    slope, intercept = curve.novel_parameters
    new = _sigmoid(slope * np.array([one.standing.unfitted for one in every]) + intercept)
    mass = np.r_[np.full(len(known), 1 - NEW_SHARE), np.full(len(novel), NEW_SHARE * len(known) / len(novel))]
    pull = L2_BENT if is_bent else L2
    start = np.r_[np.ones(rows.shape[1]), 0.0]

    def loss(v: F64) -> float:
        old = _sigmoid(rows @ np.abs(v[:-1]) + v[-1])
        p = np.clip(share * old + (1 - share) * np.minimum(old, new), 1e-4, 1 - 1e-4)
        likely = right * np.log(p) + (1 - right) * np.log(1 - p)
        return float(-np.sum(mass * likely) + 0.5 * pull * (v - start) @ (v - start))

    found = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000})
    return [*(abs(float(value)) for value in found.x[:-1]), float(found.x[-1])]


def _sigmoid(x: F64) -> F64:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -500, 500))), np.float64)


def _novelty(known: Sequence[Outcome], novel: Sequence[Outcome]) -> list[float]:
    """Logistic of new against known by likeness, both kinds weighing the same, then moved to `NEW_SHARE`."""
    from scipy.optimize import minimize

    x = np.array([one.standing.likeness for one in (*known, *novel)])
    y = np.r_[np.zeros(len(known)), np.ones(len(novel))]
    mass = np.where(y > 0, 0.5 / len(novel), 0.5 / len(known))

    def loss(v: F64) -> tuple[float, F64]:
        z = v[0] * x + v[1]
        p = 1 / (1 + np.exp(-np.clip(z, -500, 500)))
        value = float(np.sum(mass * (np.logaddexp(0, z) - y * z)) + 0.5 * 1e-4 * v @ v)
        return value, np.array([(mass * (p - y)) @ x, np.sum(mass * (p - y))]) + 1e-4 * v

    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(None, 0.0), (None, None)])
    return [float(found.x[0]), float(found.x[1]) + math.log(NEW_SHARE / (1 - NEW_SHARE))]


def _isotonic(outcomes: Sequence[Outcome]) -> list[float]:
    """Knots of a rising step function, as scores and probabilities with a pull towards one half."""
    from scipy.optimize import isotonic_regression

    x, y = _columns(outcomes)
    order = np.argsort(x, kind="stable")
    fitted = isotonic_regression(y[order]).x
    xs, ys = [], []
    for value in np.unique(fitted):
        inside = np.flatnonzero(fitted == value)
        xs.append(float(x[order][inside].mean()))
        ys.append((float(value) * len(inside) + 0.5) / (len(inside) + 1))
    ys = list(np.maximum.accumulate(ys))
    return [*xs, *(float(value) for value in ys)]


def _isotonic_wins(outcomes: Sequence[Outcome]) -> bool:
    first, second = (_crossed(outcomes, fit) for fit in (_platt_curve, _isotonic_curve))
    better = first - second
    return bool(better.mean() > better.std(ddof=1) / math.sqrt(len(better)))


def _crossed(outcomes: Sequence[Outcome], fit: Callable[[Sequence[Outcome]], CalibrationMap]) -> F64:
    """Squared errors of each outcome under a curve that was fitted on other groups."""
    names = {name: i % FOLDS for i, name in enumerate(sorted({one.group for one in outcomes}))}
    errors = np.zeros(len(outcomes))
    for fold in range(FOLDS):
        rest = [one for one in outcomes if names[one.group] != fold]
        if not rest:
            continue
        curve = fit(rest)
        for i, one in enumerate(outcomes):
            if names[one.group] == fold:
                errors[i] = (confidence_of(curve, one.standing)[0] - one.is_right) ** 2
    return errors


def _platt_curve(outcomes: Sequence[Outcome]) -> CalibrationMap:
    return CalibrationMap(
        data="",
        fitted_on=[],
        method="platt",
        parameters=_platt(outcomes, [o.standing.odds for o in outcomes]),
        state="TRANSFERRED",
        outcomes=len(outcomes),
    )


def _isotonic_curve(outcomes: Sequence[Outcome]) -> CalibrationMap:
    curve = _platt_curve(outcomes)
    return curve.model_copy(update={"method": "isotonic", "parameters": _isotonic(outcomes)})


def _with_neighbours(curve: CalibrationMap, outcomes: Sequence[Outcome]) -> CalibrationMap:
    """What the curve says of its outcomes, so that intervals can count neighbours."""
    said = sorted((confidence_of(curve, one.standing)[0], int(one.is_right)) for one in outcomes)
    return curve.model_copy(update={"scored": [p for p, _ in said], "right": [right for _, right in said]})


def _digits(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.9g}") for value in values]
