"""Pool saturation: more than nine tenths of a pool are in use, and whoever wants one waits, where that is told.

A pool is told of in several gauges: how many are in use, how many there are, how many wait. They are put together by
what is left of their names without the words for it, by their labels and their entity (`hikaricp_connections_active`,
`_max`, `_pending`; `db.client.connection.count{state="used"}`; `process_open_fds` and `process_max_fds`). A full pool
for which nobody waits is well sized, so where there is a gauge of waits it must lie far above its own level, too: how
many wait, or how long they did, which of a histogram or a timer is the mean that the windower makes of its sum and
count (`hikaricp_connections_acquire_seconds_mean`, `db.client.connection.wait_time.mean`). p is the
share of its own windows of which both held, and one more, as in `_bound.py`. Opt-in.
"""

import re

import numpy as np

from detectors._bound import KEPT
from detectors._contract import State
from detectors._own_tail import gauges
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, Bool, Scores, WindowBlock

BOUND = 0.9
FAR = 4.0
"""Mean departures above the level from which waits are a spike."""
GAIN, WARMUP = 1 / 720, 30.0
USED, SIZE, WAITS = 0, 1, 2
_WORDS = {
    SIZE: {"max", "maximum", "limit", "capacity"},
    WAITS: {"pending", "waiting", "waiters", "blocked", "queued", "wait", "acquire", "acquisition"},
    USED: {"active", "busy", "used", "use", "inuse", "open", "borrowed"},
}  # in this order: `max_open_connections` is a size
_TIMES = {"time", "seconds", "milliseconds", "ms", "duration"}
"""A number of seconds is no number of connections; of them only how long a wait took says anything here."""
_SAYS_NOTHING = {"config", "current", "requests", "in", "count", "size", "total", "mean", *_TIMES}
_STATES = {"", "used", "active", "busy", "in_use"}


class PoolSaturation:
    """One-sided up, on gauges of how many are in use; rows of one pool are judged together."""

    kind = "pool_saturation"
    version = "2"
    joins_entities = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    is_optional = True
    emit_p = 0.02

    def accepts(self, series: SeriesDef) -> bool:
        return gauges(series) and self.role(series) >= 0

    def role(self, series: SeriesDef) -> int:
        """USED, SIZE or WAITS, by the words of its name; -1 where it tells of no pool.

        >>> def of(name): return PLUGIN().role(SeriesDef(id="0" * 16, entity_id="t/s/a", service="a", name=name))
        >>> [of(n) for n in ("tomcat_threads_busy_threads", "process_max_fds", "hikaricp_connections_pending", "cpu")]
        [0, 1, 2, -1]
        """
        words = set(_words(series.name))
        if words & _TIMES:
            return WAITS if words & _WORDS[WAITS] else -1
        role = next((role for role, some in _WORDS.items() if words & some), -1)
        if role < 0 and "count" in words and "state" in series.labels:
            role = USED
        return -1 if role == USED and series.labels.get("state", "") not in _STATES else role

    def group(self, series: SeriesDef) -> str:
        """The same for all series of a pool."""
        spoken = _SAYS_NOTHING.union(*_WORDS.values())
        labels = [f"{name}={value}" for name, value in sorted(series.labels.items()) if name != "state"]
        return "/".join([series.entity_id, *sorted(set(_words(series.name)) - spoken), *labels])

    def initial(self, n: int) -> State:
        names = ("beyond", "windows", "last", "level", "spread", "seen")
        unknown = {name: np.full(n, -1, np.int64) for name in ("entity", "role")}
        return {**{name: np.zeros(n) for name in names}, **unknown}

    def score(self, state: State, block: WindowBlock) -> Scores:
        """expected: nine tenths of the pool; residual: what is in use above that; both in the unit of the series."""
        used, full = _judged(state, block)
        p = np.where(full, (state["beyond"] + 1.0) / (state["windows"] + 2.0), 1.0)
        size = _of_group(state, block, SIZE)
        expected = np.where(used & (size > 0), BOUND * size, np.nan)
        return Scores(np.clip(p, 1e-300, 1.0), expected, _finite(block.mean) - expected, full.astype(np.int8))

    def learn(self, state: State, block: WindowBlock) -> State:
        x = _finite(block.mean)
        seen = np.isfinite(x)
        used, full = _judged(state, block)
        told = used & (_of_group(state, block, SIZE) > 0)
        kept = np.where(told, KEPT, 1.0)
        gain = np.maximum(GAIN, 1.0 / (state["seen"] + 1.0))
        off = np.where(seen, x - state["level"], 0.0)
        most = np.where(state["seen"] < WARMUP, np.inf, FAR * np.maximum(state["spread"], 1e-12))
        held = np.clip(off, -most, most)
        return {
            **state,
            "beyond": state["beyond"] * kept + full,
            "windows": state["windows"] * kept + told,
            "last": np.where(seen, x, state["last"]),
            "level": state["level"] + np.where(seen, gain * held, 0.0),
            "spread": state["spread"] + np.where(seen, gain * (np.abs(held) - state["spread"]), 0.0),
            "seen": state["seen"] + seen,
        }


def _judged(state: State, block: WindowBlock) -> tuple[Bool, Bool]:
    """Which rows say how many are in use, and for which of them the pool is full and somebody waits."""
    x = _finite(block.mean)
    used = np.isfinite(x) & (state["role"] == USED) & (state["entity"] >= 0)
    size = _of_group(state, block, SIZE)
    with np.errstate(over="ignore", invalid="ignore"):
        full = used & (size > 0) & (x > BOUND * size)
    if full.any() and (state["role"] == WAITS).any():
        with np.errstate(over="ignore", invalid="ignore"):
            far = (x > state["level"] + FAR * state["spread"]) & (x > 0) & (state["seen"] >= WARMUP)
        waits = np.where(
            state["role"] == WAITS, np.where(far, 2.0, 1.0), 0.0
        )  # a gauge of waits, and whether it spikes
        most = _most(state, waits, (state["role"] == WAITS) & np.isfinite(x))
        full &= ~(most == 1.0)
    return used, full


def _of_group(state: State, block: WindowBlock, role: int) -> F64:
    """The largest value of a role in the pool of each row, NaN where there is none; a gap is what was said last."""
    x = _finite(block.mean)
    value = np.where(np.isfinite(x), x, np.where(state["seen"] > 0, state["last"], np.nan))
    return _most(state, value, (state["role"] == role) & np.isfinite(value))


def _most(state: State, value: F64, counts: Bool) -> F64:
    _, group = np.unique(
        np.where(state["entity"] < 0, -1 - np.arange(len(value)), state["entity"]), return_inverse=True
    )
    most: F64 = np.full(int(group.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(most, group[counts], value[counts])
    found = most[np.asarray(group, np.int64)]
    return np.where(np.isfinite(found), found, np.nan)


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[._\-/]+", name.lower()) if word]


def _finite(x: F64) -> F64:
    return np.where(np.abs(x) < 1e150, x, np.nan)


PLUGIN = PoolSaturation
