import time

import numpy as np

from detectors import Detect
from detectors.error_ratio import ErrorRatio
from detectors.latency import Latency
from detectors.seasonal_local import SeasonalLocal
from detectors.template_new import TemplateNew
from detectors.template_vanished import TemplateVanished
from schemas import SeriesDef
from schemas.core import NS, WindowBlock

NAN = float("nan")


def definition(i, name="cpu", **traits):
    return SeriesDef(id=f"{i:016x}", entity_id="t/service/cart", service="cart", name=name, unit="1", **traits)


def block(at, values, *, width=60, weight=NAN, before=0.0, tumbling=True, rows=None):
    v = np.array(values, float)
    n = len(v)
    return WindowBlock(
        start_ns=at * width * NS, end_ns=(at + 1) * width * NS, series=np.arange(n, dtype=np.uint64)[:n],
        rows=np.arange(n), total=v, mean=v, low=v, high=v, last=v, count=np.ones(n, np.int64),
        expected=np.full(n, NAN), weight=np.full(n, weight), recorded=np.ones(n), is_tumbling=tumbling,
        weight_before=np.full(n, before),
    )  # fmt: skip


def run(detect, defs, blocks, state=None):
    state, out = state or detect.initial(), []
    for b in blocks:
        state, found = detect.observe(state, b, defs)
        out += found
    return state, out


def cpu_blocks(n=31, spike=90.0):
    rng = np.random.default_rng(3)
    return [block(i, [5 + rng.standard_normal()]) for i in range(n - 1)] + [block(n - 1, [spike])]


def test_a_spike_after_thirty_windows_has_p_below_a_millionth():
    _, found = run(Detect([SeasonalLocal()]), {0: definition(0)}, cpu_blocks())
    assert len(found) == 1 and found[0].p_value < 1e-6 and found[0].direction == 1
    assert found[0].observed == 90.0 and abs(found[0].residual - (90.0 - found[0].expected)) < 1e-9


def test_the_same_windows_give_the_same_records():
    first, second = (run(Detect([SeasonalLocal()]), {0: definition(0)}, cpu_blocks())[1] for _ in range(2))
    assert first == second and first[0].pointer.sha256.startswith("sha256:")


def test_an_anomaly_names_the_senders_of_its_series_and_is_otherwise_the_same():
    plain, named = (run(Detect([SeasonalLocal()]), {0: definition(0, sender=s)}, cpu_blocks())[1] for s in ("", "a,b"))
    assert (plain[0].pointer.sender, named[0].pointer.sender) == ("", "a,b")
    assert plain[0].id == named[0].id and b"sender" not in plain[0].to_bytes()


def test_sliding_windows_are_scored_and_not_learned():
    detect, defs = Detect([SeasonalLocal()]), {0: definition(0)}
    state, _ = run(detect, defs, cpu_blocks()[:-1])
    before = detect.dump(state)
    state, found = run(detect, defs, [block(30, [90.0], tumbling=False)], state)
    assert len(found) == 1 and detect.dump(state) == before


def test_rows_may_come_later_and_detectors_only_see_what_they_accept():
    detect, defs = Detect([SeasonalLocal(), Latency()]), {i: definition(i) for i in range(3)}
    defs[1] = definition(1, "span.self_time", signal="traces")
    state, _ = run(detect, defs, [block(i, [5.0]) for i in range(10)])
    state, _ = run(detect, defs, [block(i, [5.0, 0.1, 7.0]) for i in range(10, 40)], state)
    assert list(state.index["seasonal_local"]) == [0, -1, 1] and list(state.index["latency"]) == []
    assert list(state.tables["seasonal_local"]["windows"]) == [40, 30]


def test_a_snapshot_continues_where_it_was_taken():
    detect, defs, blocks = Detect([SeasonalLocal(), Latency()]), {0: definition(0)}, cpu_blocks()
    state, _ = run(detect, defs, blocks[:20])
    resumed = run(detect, defs, blocks[20:], detect.load(detect.dump(state)))
    assert resumed[1] == run(detect, defs, blocks)[1] and detect.dump(resumed[0]) == detect.dump(
        run(detect, defs, blocks)[0]
    )


def test_a_storm_is_capped_and_counted():
    defs = {i: definition(i) for i in range(50)}
    rng = np.random.default_rng(1)
    calm = [block(i, 5 + rng.standard_normal(50)) for i in range(30)]
    state, found = run(Detect([SeasonalLocal()], most=10), defs, [*calm, block(30, np.arange(50) + 500.0)])
    assert len(found) == 10 and state.suppressed == 40


def test_the_first_errors_of_a_new_status_are_judged_by_all_requests_before():
    defs = {0: definition(0, "span.errors", kind="count", signal="traces", is_event=True, denominator="f" * 16)}
    _, found = run(Detect([ErrorRatio()]), defs, [block(0, [12], width=60, weight=50, before=4000)])
    assert len(found) == 1 and found[0].p_value < 1e-6


def template(i, key="o.s.Impl#384"):
    return definition(
        i, "log.lines", kind="count", signal="logs", is_event=True, denominator="f" * 16, labels={"template": key}
    )


def test_one_recorded_minute_is_history_enough_for_new_and_vanished_lines():
    detect, defs = Detect([TemplateNew(), TemplateVanished()]), {0: template(0), 1: template(1, "new")}
    _, found = run(
        detect, defs, [block(0, [100], weight=300, width=120), block(90, [0, 40], weight=120, before=300, width=120)]
    )
    assert {(a.kind, a.series[-1]) for a in found} == {("template_vanished", "0"), ("template_new", "1")}


def test_less_load_is_not_a_vanished_template():
    detect, defs = Detect([TemplateNew(), TemplateVanished()]), {0: template(0)}
    _, found = run(
        detect, defs, [block(0, [600], weight=2489, width=120), block(90, [230], weight=956, before=2489, width=120)]
    )
    assert found == []


def test_what_was_not_recorded_is_neither_zero_nor_learned():
    detect, defs = Detect([TemplateVanished()]), {0: template(0)}
    state, found = run(
        detect, defs, [block(0, [100], weight=300, width=120), block(1, [NAN], weight=NAN, before=300, width=120)]
    )
    assert found == [] and state.tables["template_vanished"]["windows"][0] == 1


def test_a_thousand_series_cost_less_than_five_milliseconds_a_tick():
    detect = Detect([SeasonalLocal(), TemplateNew(), TemplateVanished(), ErrorRatio(), Latency()])
    defs = {i: (definition(i) if i % 2 else template(i)) for i in range(1000)}
    rng = np.random.default_rng(0)
    blocks = [block(i, rng.poisson(20, 1000), weight=100, before=100 * i) for i in range(60)]
    state, _ = run(detect, defs, blocks[:10])
    start = time.process_time()
    run(detect, defs, blocks[10:], state)
    assert (time.process_time() - start) / 50 < 0.005
