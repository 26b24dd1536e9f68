"""How often a limit that was foreseen, and not yet reached, was then reached within the lead: outcomes to calibrate on.

Each outcome is one forecast whose middle is beyond a limit at a moment at which the series is not. Forecasts overlap,
so only every h-th is taken. That is not what the interval of a forecast was made for: it holds for all forecasts
together, and these are picked out by what they say.
"""

from collections.abc import Sequence

import numpy as np

from diagnosis import LEAST_MARGIN, Limit, Standing
from learning._calibrate import Outcome
from learning._forecast import Event, Grid, Model, choose, roll
from schemas import Forecast
from schemas.core import F64, I64


def crossings(
    grid: Grid, models: Sequence[Model], events: Sequence[Event], h: int, limits: Sequence[Limit], name: str
) -> list[Outcome]:
    """Of the second half of a history, by the model that the first half chooses. odds: the margin of the forecast."""
    first = len(grid.values) // 2
    chosen = choose(models, grid.head(first), events, h)
    if chosen is None:
        return []
    rolled = roll(chosen.model, grid.values, first, chosen.errors, stride=h)
    return crossed(grid.values, rolled.at, (rolled.low, rolled.middle, rolled.high), h, limits, name)


def crossed(
    values: F64, at: I64, ends: tuple[F64, F64, F64], h: int, limits: Sequence[Limit], name: str
) -> list[Outcome]:
    """at: positions that were forecast from h before. ends: low, middle and high, of the same shape as `at`."""
    found = []
    for position, low, middle, high in zip(at.tolist(), *(end.tolist() for end in ends), strict=True):
        now, ahead = values[position - h], values[position - h + 1 : position + 1]
        if not (np.isfinite([low, middle, high, now]).all() and np.isfinite(ahead).all()):
            continue
        said = Forecast(
            id="", entity_id="", service="", series="", name="", unit="", as_of_ns=0, at_ns=1, step_s=1.0, now=None,
            expected=middle, low=low, high=high, model="", loss=None, naive_loss=None,
        )  # fmt: skip
        for number, limit in enumerate(limits):
            margin, sign = limit.margin(said), 1.0 if limit.most else -1.0
            if margin >= LEAST_MARGIN and sign * now < sign * limit.at:
                came = bool((sign * ahead >= sign * limit.at).any())
                found.append(Outcome(f"{name}/{number}/{position}", name, Standing(margin), came))
    return found
