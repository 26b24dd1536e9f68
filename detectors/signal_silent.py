"""Silence of all lines, or all spans, of a service: is it longer than those before, and than its rate allows?

Silence of what is counted is a zero and no gap: a service may have nothing to do. So it is held against two laws, and
p is the larger. By the rate it had when it spoke last, believed to vary by 70 % of itself, and wholly wrong for the
whole of the silence (a gamma mixture of Poisson laws). And by the silences it has had: one up to six times as long as
the longest is no wonder, for after nights comes a weekend; beyond that their lengths are exponential with an unknown
mean (Lomax) and begin as often as they did. Before a day is known any stop may be closing time, so p is no less than
one in two hundred. That the metrics of the service go on is asked elsewhere (`tidegate/_detecting.py`): else it may not
be there at all.
"""

import numpy as np

from detectors._contract import State
from schemas import SIGNAL_TOTALS, AnomalyKind, SeriesDef
from schemas.core import F64, Bool, Scores, WindowBlock

WARMUP = 15.0
"""Windows in which it spoke. Chosen, not tuned, as what follows."""
DAY, FIRST_DAY_P = 1440.0, 0.005
MOST_A_WINDOW = 100.0
"""What comes beyond in one minute says nothing of whether the next is silent: lines come in clumps."""
SHAPE = 2.0
LEVEL_KEPT = 0.9
"""A rate of some ten minutes: who gets quieter through an evening is judged by what it has come to."""
KEPT = 0.9999
"""Of silences, per window: half are forgotten in five days."""
LONGEST_KEPT = 0.99997
"""A weekend is remembered for two."""
TIMES = 6.0
"""A weekend is five times a night of twelve hours."""
WHOLE = 0.9
"""Of a window: a minute of which less was recorded is no silence."""


class SignalSilent:
    """Windows of a minute, each once; the totals of lines and of spans of a service."""

    kind = "signal_silent"
    version = "1"
    anomaly: AnomalyKind = "gap"
    window_s = 60
    every_s = 60
    emit_p = 0.01
    """Weaker than usual: it opens nothing, it only makes what is concluded less certain."""
    accepts_by_trait = True

    def accepts(self, series: SeriesDef) -> bool:
        return series.is_event and SIGNAL_TOTALS.get(series.signal) == series.name

    def initial(self, n: int) -> State:
        """56 bytes a series; windows: since it first spoke; run: silent ones until now; silences, sum and longest."""
        names = ("windows", "spoken", "level", "run", "silences", "length", "longest")
        return {name: np.zeros(n) for name in names}

    def score(self, state: State, block: WindowBlock) -> Scores:
        """expected is what the last rate gives; residual is less by that."""
        told = _whole(block) & (block.total <= 0) & (state["spoken"] >= WARMUP)
        run = state["run"] + 1.0
        now = (SHAPE / (SHAPE + state["level"] * run)) ** SHAPE
        first = np.where(state["windows"] - state["run"] < DAY, FIRST_DAY_P, 1e-300)
        p = np.where(told, np.maximum(np.maximum(now, _own(state, run)), first), 1.0)
        expected = np.where(told, state["level"], np.nan)
        return Scores(np.minimum(p, 1.0), expected, -expected, np.where(told, -1, 0).astype(np.int8))

    def learn(self, state: State, block: WindowBlock) -> State:
        """A silence counts, and lowers the rate, once it is over."""
        whole, k = _whole(block), np.minimum(np.nan_to_num(block.total), MOST_A_WINDOW)
        speaks = whole & (k > 0)
        ends = np.where(speaks, state["run"], 0.0)
        moved = LEVEL_KEPT * state["level"] * LEVEL_KEPT**ends + (1.0 - LEVEL_KEPT) * k
        kept = np.where(whole, KEPT, 1.0)
        return {
            **state,
            "windows": state["windows"] + (whole & (speaks | (state["spoken"] > 0))),
            "spoken": state["spoken"] + speaks,
            "level": np.where(speaks, np.where(state["spoken"] > 0, moved, k), state["level"]),
            "run": np.where(speaks, 0.0, state["run"] + (whole & (state["spoken"] > 0))),
            "silences": state["silences"] * kept + (ends > 0),
            "length": state["length"] * kept + ends,
            "longest": np.maximum(state["longest"] * np.where(whole, LONGEST_KEPT, 1.0), ends),
        }


def _own(state: State, run: F64) -> F64:
    """How often a window lies in so long a silence, by those that there were; 0 where there were none."""
    silences, length = state["silences"], state["length"] + 1.0
    begins = np.minimum(silences / np.maximum(state["windows"], 1.0), 1.0)
    return np.where(run <= TIMES * state["longest"], 1.0, begins * (length / (length + run)) ** (silences + 1.0))


def _whole(block: WindowBlock) -> Bool:
    return np.asarray(np.isfinite(block.total) & (np.nan_to_num(block.recorded) >= WHOLE))


PLUGIN = SignalSilent
