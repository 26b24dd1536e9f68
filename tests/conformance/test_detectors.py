"""What holds for every detector in the folder; a new file there is tested here without an edit.

Noise suited to what a detector accepts comes from `NOISE`, chosen by the series that it takes.
"""

import importlib
import io
import pkgutil
import subprocess
import sys

import numpy as np
import pytest

import detectors
from detectors import Choosy, grow
from schemas import SeriesDef
from schemas.core import NS, WindowBlock

FOUND = [
    importlib.import_module(f"detectors.{module.name}").PLUGIN()
    for module in pkgutil.iter_modules(detectors.__path__)
    if not module.name.startswith("_")
]
ID = "00000000000000ab"
every = pytest.mark.parametrize("detector", FOUND, ids=lambda detector: detector.kind)


def _def(name, **traits):
    return SeriesDef(id=ID, entity_id="t/service/s", service="s", name=name, **traits)


def _gauge(rng, n):
    return 50.0 + 5.0 * rng.standard_normal(n), np.full(n, np.nan)


def _share(rng, n):
    return rng.beta(5.0, 2.0, n), np.full(n, np.nan)


def _lag(rng, n):
    return np.exp(rng.normal(4.0, 1.5, n)), np.full(n, np.nan)


def _count(rng, n):
    return rng.poisson(80.0, n).astype(float), np.full(n, np.nan)


def _duration(rng, n):
    return np.exp(rng.normal(-4.0, 0.5, n)), np.full(n, np.nan)


def _errors(rng, n):
    requests = rng.poisson(60.0, n).astype(float) + 1
    return rng.binomial(requests.astype(int), rng.beta(2.0, 98.0, n)).astype(float), requests


def _lines(rng, n):
    """Common, rare and very rare templates, in clumps of two, under changing load."""
    share = np.resize([0.3, 0.05, 0.01, 0.001, 0.0002], n)
    clumps = rng.poisson(rng.lognormal(4.0, 0.5, n)).astype(int) + 1
    return 2.0 * rng.binomial(clumps, share), 2.0 * clumps


def _total(rng, n):
    """Of services that speak always, nearly always and hardly ever."""
    return rng.poisson(np.resize([80.0, 5.0, 2.0, 0.3, 0.02], n)).astype(float), np.full(n, np.nan)


def _late(rng, n):
    """Whole messages of twenty come late, one in a hundred, from services alike and from some that often do."""
    often = np.resize([0.0005, 0.01, 0.05], n)
    messages = rng.poisson(60.0, n) + 1
    return 20.0 * rng.binomial(messages, often), 20.0 * messages


NOISE = {
    "span.errors": (_def("span.errors", kind="count", signal="traces", is_event=True, denominator=ID), _errors),
    "span.orphans": (_def("span.orphans", kind="count", signal="traces", is_event=True, denominator=ID), _errors),
    "log.lines": (_def("log.lines", kind="count", signal="logs", is_event=True, denominator=ID), _lines),
    "span.total": (_def("span.total", kind="count", signal="traces", is_event=True), _total),
    "telemetry.late": (_def("telemetry.late", kind="count", is_event=True, denominator=ID), _late),
    "edge.requests": (_def("edge.requests", kind="count", signal="traces", is_event=True), _count),
    "edge.duration": (_def("edge.duration", signal="traces", unit="s"), _duration),
    "edge.gap": (_def("edge.gap", signal="traces", unit="s"), _duration),
    "span.self_time": (_def("span.self_time", signal="traces", unit="s"), _duration),
    "requests": (_def("requests", kind="count"), _count),
    "cpu": (_def("cpu"), _gauge),
    "cpu.utilization": (_def("cpu.utilization"), _share),
    "pool": (_def("hikaricp_connections_active"), _gauge),
    "replica.lag": (_def("mysql.replica.lag", unit="s"), _lag),
}


def noise_of(detector):
    return next(make for definition, make in NOISE.values() if detector.accepts(definition))


def block(detector, at, value, weight, *, step=1, tumbling=True):
    n, width = len(value), detector.window_s * NS
    blank = np.isnan(value)
    return WindowBlock(
        start_ns=at * step * width, end_ns=at * step * width + width, series=np.arange(n, dtype=np.uint64),
        rows=np.arange(n), total=value, mean=value, low=value, high=value, last=value,
        count=(~blank).astype(np.int64), expected=np.full(n, np.nan), weight=weight, recorded=np.where(blank, 0.0, 1.0),
        is_tumbling=tumbling, weight_before=weight * at,
    )  # fmt: skip


def taught(detector, n, windows, seed=1, damage=None):
    rng, state = np.random.default_rng(seed), detector.initial(n)
    for at in range(windows):
        value, weight = noise_of(detector)(rng, n)
        if damage:
            value = damage(at, value)
        state = detector.learn(state, block(detector, at, value, weight))
    return state, rng


def p_on_noise(detector, n, windows, warm):
    """What it says of noise (windows, n), learned as it goes on, after so many windows more."""
    state, rng = taught(detector, n, warm)
    p = np.empty((windows, n))
    for at in range(windows):
        now = block(detector, warm + at, *noise_of(detector)(rng, n))
        p[at] = detector.score(state, now).p
        state = detector.learn(state, now)
    return p


def copy(state):
    return {name: column.copy() for name, column in state.items()}


def test_the_folder_holds_detectors():
    assert {"seasonal_local", "error_ratio", "template_vanished", "edge_gap"} <= {d.kind for d in FOUND}
    assert all(d.window_s in (10, 60, 120) and d.version for d in FOUND)


@every
def test_p_is_never_too_small_on_noise(detector):
    n, windows, warm = 2000, 100, 40
    p = p_on_noise(detector, n, windows, warm)
    assert (p > 0).all() and (p <= 1).all()
    for a in (0.1, 0.01, 0.001):
        # Windows of one series share its baseline; the error is that of the series' own means.
        error = np.std((p <= a).mean(0)) / np.sqrt(n)
        assert (p <= a).mean() <= a + 3 * max(error, np.sqrt(a * (1 - a) / p.size)), (a, (p <= a).mean())


@pytest.mark.parametrize("detector", [d for d in FOUND if hasattr(d, "continuous")], ids=lambda d: d.kind)
def test_p_of_a_continuous_detector_is_neither_too_small_nor_too_large(detector):
    n, windows, warm = 100, 500, 5000
    state, rng = taught(detector, n, warm)
    passed = np.zeros((windows, n), bool)
    for at in range(windows):
        now = block(detector, warm + at, *noise_of(detector)(rng, n))
        passed[at] = detector.score(state, now).p <= detector.continuous
        state = detector.learn(state, now)
    a, error = detector.continuous, np.std(passed.mean(0)) / np.sqrt(n)
    assert abs(passed.mean() - a) <= 3 * max(error, np.sqrt(a * (1 - a) / passed.size)), passed.mean()


shares = pytest.mark.parametrize("detector", [d for d in FOUND if "exposure" in d.initial(0)], ids=lambda d: d.kind)


@shares
def test_p_of_a_share_is_not_too_small_after_a_long_history_however_rare_it_is(detector):
    n, windows, warm = 1200, 60, 1500
    p = p_on_noise(detector, n, windows, warm)
    for kind in range(15):  # shares repeat after three or five series
        mine = p[:, kind::15]
        for a in (0.01, 0.001):
            error = max(np.std((mine <= a).mean(0)) / np.sqrt(mine.shape[1]), np.sqrt(a * (1 - a) / mine.size))
            assert (mine <= a).mean() <= a + 3 * error, (kind, a, (mine <= a).mean())


@every
def test_p_is_not_too_small_with_hardly_any_history(detector):
    for windows in (1, 2, 3, 5, 8):
        state, rng = taught(detector, 50_000, windows)
        p = detector.score(state, block(detector, windows, *noise_of(detector)(rng, 50_000))).p
        assert (p <= 0.001).mean() <= 0.0015, windows


@every
def test_scoring_learns_nothing_and_is_deterministic(detector):
    state, rng = taught(detector, 50, 20)
    before, now = copy(state), block(detector, 20, *noise_of(detector)(rng, 50))
    first, second = detector.score(state, now), detector.score(state, now)
    assert all(np.array_equal(state[name], before[name], equal_nan=True) for name in state)
    assert np.array_equal(first.p, second.p) and np.array_equal(first.residual, second.residual, equal_nan=True)


DAMAGES = {
    "gaps": lambda at, v: np.where(np.arange(len(v)) % 3 == at % 3, np.nan, v),
    "nothing": lambda at, v: np.full(len(v), np.nan),
    "constants": lambda at, v: np.full(len(v), 7.0),
    "zeros": lambda at, v: np.zeros(len(v)),
    "resets": lambda at, v: v * (at % 10),
    "giants": lambda at, v: np.where(at % 7 == 3, 1e300, v),
    "negative": lambda at, v: -v,
    "infinite": lambda at, v: np.where(at % 5 == 1, np.inf, v),
}


@every
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_it_survives(detector, damage):
    state, _ = taught(detector, 30, 40, damage=damage)
    for value in (np.full(30, np.nan), np.zeros(30), np.full(30, 5.0), np.full(30, 1e300)):
        scores = detector.score(state, block(detector, 40, value, np.full(30, 10.0)))
        assert ((scores.p > 0) & (scores.p <= 1)).all()
        assert (scores.p[np.isnan(value)] == 1).all()
    assert all(len(column) == 30 and np.isfinite(column.astype(float)).all() for column in state.values())


@every
def test_irregular_steps_and_unrecorded_stretches_are_survived(detector):
    state, rng = taught(detector, 30, 10)
    for at in (11, 500, 501, 90_000):
        value, weight = noise_of(detector)(rng, 30)
        state = detector.learn(state, block(detector, at, value, weight))
        state = detector.learn(state, block(detector, at + 1, value * np.nan, weight * np.nan))
    scores = detector.score(state, block(detector, 90_002, *noise_of(detector)(rng, 30)))
    assert np.isfinite(scores.p).all() and scores.p.min() > 1e-4


@every
def test_no_rows_are_no_problem(detector):
    empty, none = detector.initial(0), np.zeros(0)
    assert len(detector.score(empty, block(detector, 0, none, none)).p) == 0
    assert all(len(c) == 0 for c in detector.learn(detector.initial(0), block(detector, 0, none, none)).values())


@every
def test_growing_keeps_what_was_learned(detector):
    state, rng = taught(detector, 20, 20)
    old = copy(state)
    state = grow(detector, state, 35)
    assert all(len(c) == 35 and np.array_equal(c[:20], old[name], equal_nan=True) for name, c in state.items())
    value, weight = noise_of(detector)(rng, 35)
    now = block(detector, 20, value, weight)
    assert np.array_equal(detector.score(state, now).p[:20], detector.score(old, now.take(np.arange(20))).p)


@every
def test_a_series_costs_at_most_the_bytes_of_its_tier(detector):
    state = detector.initial(1000)
    profile = sum(column.nbytes for column in state.values() if column.ndim > 1) / 1000
    core = sum(column.nbytes for column in state.values() if column.ndim == 1) / 1000
    assert core <= 500 and profile <= 1400


@every
def test_a_snapshot_gives_the_same_next_scores(detector):
    state, rng = taught(detector, 40, 30)
    out = io.BytesIO()
    np.savez(out, **state)
    with np.load(io.BytesIO(out.getvalue()), allow_pickle=False) as arrays:
        again = {name: arrays[name] for name in arrays.files}
    now = block(detector, 30, *noise_of(detector)(rng, 40))
    assert np.array_equal(detector.score(state, now).p, detector.score(again, now).p)
    left, right = detector.learn(state, now), detector.learn(again, now)
    assert all(np.array_equal(left[name], right[name], equal_nan=True) for name in left)


choosy = pytest.mark.parametrize("detector", [d for d in FOUND if isinstance(d, Choosy)], ids=lambda d: d.kind)


@choosy
@pytest.mark.parametrize("damage", [None, *DAMAGES.values()], ids=["noise", *DAMAGES])
def test_rows_that_cannot_matter_have_no_small_p(detector, damage):
    state, rng = taught(detector, 300, 40, damage=damage)
    value, weight = noise_of(detector)(rng, 300)
    for now in (value, value * np.resize([0.1, 1.0, 3.0, 30.0, np.nan, np.inf], 300), np.zeros(300), value * 1e300):
        with np.errstate(over="ignore", invalid="ignore"):
            window = block(detector, 40, now, weight)
            p = detector.score(state, window).p
            for a in (1.0, 0.5, 0.02, 1e-3, 1e-9):
                assert set(np.flatnonzero(p < a)) <= set(detector.may_matter(state, window, a).tolist())


@choosy
def test_a_row_is_scored_the_same_whatever_other_rows_are_there(detector):
    state, rng = taught(detector, 100, 40)
    value, weight = noise_of(detector)(rng, 100)
    window, some = block(detector, 40, value * np.resize([1.0, 30.0], 100), weight), np.arange(1, 100, 2)
    whole = detector.score(state, window)
    part = detector.score({name: column[some] for name, column in state.items()}, window.take(some))
    for name in ("p", "expected", "residual", "direction"):
        assert getattr(whole, name)[some].tobytes() == getattr(part, name).tobytes()


@pytest.mark.parametrize("detector", [d for d in FOUND if getattr(d, "accepts_by_trait", False)], ids=lambda d: d.kind)
def test_a_detector_that_accepts_by_trait_looks_at_nothing_else(detector):
    for definition, _ in NOISE.values():
        change = {"id": "f" * 16, "tenant": "t2", "entity_id": "t2/service/z", "service": "z", "labels": {"a": "error"}}
        if definition.denominator is not None:
            change["denominator"] = "e" * 16
        assert detector.accepts(definition) == detector.accepts(definition.model_copy(update=change))


@every
def test_it_accepts_by_definition_alone(detector):
    answers = [detector.accepts(definition) for definition, _ in NOISE.values()]
    assert answers == [detector.accepts(definition) for definition, _ in NOISE.values()] and any(answers)


def test_importing_a_detector_costs_little():
    names = [type(d).__module__ for d in FOUND]
    code = (
        "import time, importlib, numpy, schemas, schemas.core, detectors\n"
        f"for name in {names!r}:\n"
        "    t = time.process_time(); importlib.import_module(name)\n"
        "    assert time.process_time() - t < 0.05, name\n"
        "import sys; assert 'scipy' not in sys.modules and 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
