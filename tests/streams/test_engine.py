"""What holds of time, order, loss and restarts in one process, whatever the stages are."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toys import Totals, ToySource, mark, toy_message

import schemas as sc
from schemas.core import NS, Emit
from streams import Engine, MemoryLog, Normalise, StreamSettings, imbalance, summed

SETTINGS = StreamSettings(lateness_ns=10 * NS)


def stages(settings: StreamSettings = SETTINGS) -> list[object]:
    return [Normalise([ToySource()], settings), Totals()]


def ledger(engine: Engine) -> object:
    normalise, totals = (runner.state for runner in engine.runners)
    whole = summed([normalise.ledger, totals.ledger])
    for name, n in Totals().windower.buffered(totals).items():
        whole.add(f"{name}.buffered", n)
    return whole


def play(emits: list[Emit], *, chunk: int = 7, settings: StreamSettings = SETTINGS) -> tuple[list[bytes], Engine]:
    """Windows that come out, in order, and the engine."""
    log = MemoryLog(settings.partitions)
    engine = Engine(log, stages(settings), partitions=settings.partitions)
    for i in range(0, len(emits), chunk):
        log.append(emits[i : i + chunk], writer="outside")
        engine.run()
    return windows(log), engine


def windows(log: MemoryLog) -> list[bytes]:
    return [m.value for m in log.messages(sc.ANOMALIES) if not sc.record_type(m)]


def traffic(seconds: int = 120, series: int = 3, step: int = 5) -> list[tuple[int, float, float]]:
    return [(n, float(s), float(n * 100 + s)) for s in range(0, seconds, step) for n in range(series)]


FINAL = [mark("outside", final=True)]
points = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 80).map(float), st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=60
)


@settings(max_examples=60, deadline=None)
@given(points, st.randoms(use_true_random=False))
def test_any_order_of_arrival_within_lateness_gives_the_same_windows(rows, rng):
    wide = StreamSettings(lateness_ns=100 * NS)
    shuffled = rng.sample(rows, len(rows))
    first, _ = play([toy_message([r]) for r in rows] + FINAL, settings=wide)
    second, _ = play([toy_message([r]) for r in shuffled] + FINAL, settings=wide, chunk=3)
    assert first == second


@settings(max_examples=40, deadline=None)
@given(points, st.integers(1, 40))
def test_what_is_late_does_not_depend_on_how_fast_the_stages_were(rows, chunk):
    emits = [toy_message([r]) for r in rows] + FINAL
    slow, one = play(emits, chunk=1)
    fast, other = play(emits, chunk=chunk)
    assert slow == fast
    assert ledger(one).dump() == ledger(other).dump()


@settings(max_examples=40, deadline=None)
@given(points, st.integers(1, 200), st.integers(0, 1))
def test_a_crash_and_resume_at_any_record_gives_the_same_windows_and_ledgers(rows, crash_at, stage):
    emits = [toy_message([r]) for r in rows] + FINAL
    clean, engine = play(emits)
    log = MemoryLog()
    running = Engine(log, stages())
    snapshots = [r.snapshot() for r in running.runners]
    for i, emit in enumerate(emits):
        log.append([emit], writer="outside")
        for runner in running.runners:
            while runner.poll(log, limit=1):
                crash_at -= 1
                if crash_at == 0:  # the process dies: state is gone, the log and an older snapshot remain
                    running = Engine(log, stages())
                    for fresh, data in zip(running.runners, snapshots, strict=True):
                        fresh.restore(data)
                    break
        running.run(limit=3)
        if i % 5 == stage:
            snapshots = [r.snapshot() for r in running.runners]
    running.run()
    assert windows(log) == clean
    assert ledger(running).dump() == ledger(engine).dump()


def test_partitions_do_not_change_what_windows_hold():
    one, _ = play([toy_message([r]) for r in traffic()] + FINAL)
    four, _ = play([toy_message([r]) for r in traffic()] + FINAL, settings=StreamSettings(partitions=4))
    assert one == four


def test_poison_duplicates_late_and_reordered_samples_are_all_accounted_for():
    rng = random.Random(3)
    rows = traffic(seconds=600, series=5)
    emits = [toy_message([r]) for r in rows]
    for i in range(0, len(emits), 20):
        emits[i], emits[(i + 1) % len(emits)] = emits[(i + 1) % len(emits)], emits[i]
    emits += rng.sample(emits[:500], 50)  # long late by now
    emits[100:100] = [Emit(sc.RAW, b"", b"poison", (("tidegate-kind", b"toy"),), 0)] * 30
    emits[200:200] = emits[195:199]
    log = MemoryLog(keep=[sc.DEAD_LETTERS])
    engine = Engine(log, stages())
    log.append(emits + FINAL, writer="outside")
    engine.run()
    whole = ledger(engine)
    assert imbalance(whole) == ""
    assert whole.counts["messages.dead_lettered"] == 30
    assert whole.counts["samples.late"] >= 50
    letters = [
        sc.DeadLetter.from_bytes(m.header("tidegate-dead-letter").encode()) for m in log.messages(sc.DEAD_LETTERS)
    ]
    assert sum(x.count for x in letters if x.reason == "LATE") == whole.counts["samples.late"]


def test_a_source_far_ahead_is_quarantined_and_cannot_move_the_watermark():
    rows = [toy_message([r]) for r in traffic(seconds=200)]
    skewed = toy_message([(9, 90_000.0, 1.0)], received_s=60, source="wild")
    honest, _ = play(rows + FINAL)
    wild, engine = play([*rows[:60], skewed, *rows[60:], *FINAL])
    assert wild == honest
    assert ledger(engine).reasons["samples.rejected:CLOCK_SKEW"] == 1


def test_a_dead_source_holds_time_back_until_the_log_says_that_it_is_idle():
    silent, living = (
        toy_message([(1, 1.0, 1.0)], source="dead"),
        [toy_message([(2, float(s), 1.0)]) for s in range(0, 60, 5)],
    )
    held, _ = play([silent, *living])
    freed, _ = play([silent, *living, mark("source:dead", idle=True, at_s=60)])
    assert held == []
    assert len(freed) > 2


def test_a_flood_of_new_series_is_bounded_and_counted_and_the_rest_goes_on():
    small = StreamSettings(max_series_per_source=50)
    flood = [toy_message([(1000 + i, i / 10, 1.0)], source="flood") for i in range(600)]
    calm = [toy_message([(n, float(s), 1.0)], source="calm") for s in range(0, 60, 5) for n in range(3)]
    mixed = sorted(flood + calm, key=lambda e: e.event_ns)
    _, engine = play(mixed + FINAL, settings=small)
    whole = ledger(engine)
    assert imbalance(whole) == ""
    assert whole.reasons["samples.rejected:SERIES_LIMIT"] == 550
    assert whole.counts["samples.processed"] == 50 + 36


def test_a_live_run_with_a_pause_a_new_partition_and_a_dead_source_equals_its_replay():
    emits: list[Emit] = []
    for s in range(0, 300, 5):
        if not 100 <= s < 130:  # the producer pauses for thirty seconds
            emits.append(toy_message([(1, float(s), s)], source="a"))
        if s < 50:
            emits.append(toy_message([(2, float(s), 1.0)], source="dies"))
        if s == 90:
            emits.append(mark("source:dies", idle=True, at_s=90))
        if s >= 150:  # a new partition appears
            late = toy_message([(3, float(s), 1.0)], source="new")
            emits.append(Emit(late.topic, late.key, late.value, late.headers, late.event_ns, 1))
    emits.append(mark("outside", final=True, at_s=300))
    emits.append(Emit(emits[-1].topic, b"", emits[-1].value, emits[-1].headers, emits[-1].event_ns, 1))
    settings = StreamSettings(partitions=2)
    live_log = MemoryLog(2)
    live = Engine(live_log, stages(settings), partitions=2)
    for emit in emits:  # as it happens, one by one
        live_log.append([emit], writer="outside")
        live.run()
    again = MemoryLog(2)
    replayed = Engine(again, stages(settings), partitions=2)
    again.feed(live_log.messages(sc.RAW), writer="outside")
    replayed.run()
    behind = MemoryLog(2)  # and a replay of the frames alone, obeying the watermarks that lie in them
    tail = Engine(behind, [Totals()], partitions=2, outside={sc.FRAMES: ("normalise",)})
    behind.feed(live_log.messages(sc.FRAMES), writer="outside")
    tail.run()
    assert windows(live_log) == windows(again) == windows(behind)
    assert len(windows(live_log)) > 20


def test_a_gap_and_its_end_are_said_once_and_do_not_depend_on_how_often_time_moves():
    def gaps(chunk: int) -> list[tuple[int, int, bool]]:
        rows = [toy_message([(1, float(s), 1.0)]) for s in [*range(0, 60, 5), *range(300, 330, 5)]]
        rows += [toy_message([(2, float(s), 1.0)]) for s in range(0, 330, 5)]
        log, found = MemoryLog(), []
        normalise, totals = Normalise([ToySource()], SETTINGS), Totals()
        taken = totals.windower.gaps
        totals.windower.gaps = lambda state: found.extend(taken(state)) or []  # type: ignore[method-assign]
        engine = Engine(log, [normalise, totals])
        rows.sort(key=lambda e: e.event_ns)
        for i in range(0, len(rows), chunk):
            log.append(rows[i : i + chunk], writer="outside")
            engine.run()
        log.append(FINAL, writer="outside")
        engine.run()
        return [(g.since_ns // NS, g.until_ns // NS, g.is_over) for g in found]

    assert gaps(1) == gaps(500) == [(55, 90, False), (55, 310, True)]


def test_a_repeated_sample_with_another_value_stands_once_and_the_smaller_value_counts():
    out, engine = play([toy_message([(1, 0.0, 5.0)]), toy_message([(1, 0.0, 3.0)]), *FINAL])
    assert b"3.0" in out[0]
    assert ledger(engine).counts["samples.duplicate"] == 1


def test_state_bytes_of_a_series_stay_within_the_core_tier():
    from streams import STATE_BYTES_PER_SERIES

    assert STATE_BYTES_PER_SERIES <= 340
    assert np.dtype(np.float64).itemsize == 8


def test_a_record_that_a_stage_refuses_becomes_a_dead_letter_and_the_stage_goes_on():
    log = MemoryLog(keep=[sc.DEAD_LETTERS])
    engine = Engine(log, [Totals()], outside={sc.FRAMES: ("normalise",)})
    log.append([Emit(sc.FRAMES, b"", b"not a frame", (), 5)], writer="outside")
    engine.run()
    letter = sc.DeadLetter.from_bytes(log.messages(sc.DEAD_LETTERS)[0].header("tidegate-dead-letter").encode())
    assert (letter.reason, log.messages(sc.DEAD_LETTERS)[0].value) == ("FRAME_INVALID", b"not a frame")
    assert engine.runners[0].refused == {"FRAME_INVALID": 1}
