"""What holds of a live run: crashes, rebuilds, time when senders fall silent, and who owns the directory."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.toys import Totals, ToySource, mark, toy_message
from support.up import START_NS, Clock, feed, let_go, made, settings, shop_emits, undisturbed

import schemas as sc
from schemas.core import NS
from streams import CLOCK, Engine, MemoryLog, Normalise, SnapshotError, StreamSettings, TransportError, imbalance
from tidegate import _pipeline
from tidegate._errors import LiveError
from tidegate._live import Live
from tidegate._settings import Settings

ROOT = Path(__file__).resolve().parents[2]


class Killed(BaseException):
    """What no `except Exception` catches, like a signal."""


def die_after(live: Live, writes: int) -> None:
    """The process dies in the middle of a transaction, after so many records."""
    insert, left = live.log._insert, [writes]

    def dying(*args: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        insert(*args)

    live.log._insert = dying


def opened(place: Path, clock: Clock | None = None, config: Settings | None = None, **options: object) -> Live:
    return Live(place, config or Settings(), now_ns=clock or Clock(START_NS + 3600 * NS), snapshot_every=10, **options)


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A directory whose raw topic holds the shop, not yet worked off."""
    place = tmp_path_factory.mktemp("filled")
    live = opened(place, clock := Clock())
    feed(live, clock)
    let_go(live)
    return place


@pytest.fixture(scope="module")
def worked(filled, tmp_path_factory) -> Path:
    """The same directory, worked off and cleanly stopped."""
    place = copied(filled, tmp_path_factory.mktemp("worked"))
    live = opened(place)
    live.pump()
    live.close()
    return place


def copied(place: Path, to: Path) -> Path:
    (to / "log.sqlite").write_bytes((place / "log.sqlite").read_bytes())
    return to


@pytest.fixture
def place(filled, tmp_path) -> Path:
    return copied(filled, tmp_path)


@pytest.fixture
def done(worked, tmp_path) -> Path:
    return copied(worked, tmp_path)


def raw_marks(live: Live) -> list[sc.Watermark]:
    found = [s.message for s in live.log.read([sc.RAW], 0, 10**6) if sc.record_type(s.message) == "watermark"]
    return [sc.read(m) for m in found]


def test_a_run_that_dies_again_and_again_writes_what_an_undisturbed_one_writes(place):
    crashes = 0
    while True:
        live = opened(place)
        die_after(live, 211 + 30 * crashes)  # one step may write 200 at once
        try:
            live.pump()
            break
        except Killed:
            crashes += 1
            let_go(live)
    assert crashes >= 2
    assert made(live.log) == undisturbed(live)
    assert len(live.board.document()) == 1
    let_go(live)


def test_a_run_that_dies_while_it_takes_writes_what_an_undisturbed_one_writes(tmp_path):
    clock, emits = Clock(), shop_emits()
    for n in range(0, len(emits), 20):  # what was taken is in the log, whatever became of the process
        live = opened(tmp_path, clock)
        feed(live, clock, emits[n : n + 20], pump_every=3)
        die_after(live, 12)
        with pytest.raises(Killed):
            clock.ns += 25 * NS
            feed(live, clock, emits[n + 10 : n + 20], pump_every=1)  # sent again by a sender that heard no answer
        let_go(live)
    live = opened(tmp_path, clock)
    live.pump()
    assert made(live.log) == undisturbed(live)
    let_go(live)


KILLED = """
import os, signal, sys
from pathlib import Path
from tidegate._live import Live
from tidegate._settings import Settings
live = Live(Path(sys.argv[1]), Settings(), now_ns=lambda: int(sys.argv[2]), snapshot_every=10)
insert, left = live.log._insert, [int(sys.argv[3])]
def dying(*args):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    insert(*args)
live.log._insert = dying
live.pump()
"""


def test_a_process_killed_with_kill_9_in_the_middle_of_a_write_goes_on_to_the_same_answers(place):
    for _ in range(2):
        words = [sys.executable, "-c", KILLED, str(place), str(START_NS + 3600 * NS), "300"]
        assert subprocess.run(words, cwd=ROOT, timeout=240).returncode == -signal.SIGKILL
    live = opened(place)
    live.pump()
    assert made(live.log) == undisturbed(live)
    assert made(live.log)["diagnose", sc.DIAGNOSES]
    let_go(live)


def test_a_rebuild_makes_the_state_again_and_writes_nothing_twice(done):
    again = opened(done, rebuild=True)
    before = made(again.log)
    assert again.pump() > 0
    assert made(again.log) == before == undisturbed(again)
    let_go(again)


def test_a_clean_stop_leaves_nothing_to_do_again(done):
    again = opened(done)
    assert [runner.poll(again.log) for runner in again.engine.runners] == [0] * 7
    assert again.health.ledger["messages"] == {"admitted": 74, "decoded": 74, "dead_lettered": 0}
    assert imbalance(_pipeline.ledger_of(again.engine.runners)) == ""
    assert len(again.board.document()) == 1
    let_go(again)


def test_a_damaged_snapshot_is_refused_with_what_to_do_and_a_rebuild_helps(done):
    live = opened(done)
    live.log.save({"detect": b"of another world"})
    let_go(live)
    with pytest.raises(SnapshotError, match="not a packed state"):
        opened(done)
    again = opened(done, rebuild=True)
    again.close()
    opened(done).close()


def test_other_settings_are_taken_after_a_clean_stop_and_refused_after_a_crash(place):
    other = Settings.model_validate({"detection": {"emit_p": 0.01}})
    live = opened(place)
    die_after(live, 500)
    with pytest.raises(Killed):
        live.pump()
    let_go(live)
    with pytest.raises(LiveError, match="with other settings"):
        opened(place, config=other)


def test_a_log_of_which_settings_changed_cannot_be_rebuilt_since_it_would_not_be_the_same_again(done):
    other = Settings.model_validate({"detection": {"emit_p": 0.01}})
    opened(done, config=other).close()
    with pytest.raises(LiveError, match="changed 1 times"):
        opened(done, config=other, rebuild=True)


def test_the_number_of_partitions_of_a_log_stands(place):
    opened(place).close()
    with pytest.raises(LiveError, match=r"begun with 1 partitions.*streams\.partitions"):
        opened(place, config=Settings.model_validate({"streams": {"partitions": 2}}))


def test_settings_of_the_gateway_do_not_count_as_other_settings(place):
    assert opened(place).versions == opened(place.with_name("other"), config=settings(max_body_bytes=9)).versions


def test_a_directory_belongs_to_one_run_at_a_time(tmp_path):
    live = opened(tmp_path)
    with pytest.raises(TransportError) as refused:
        opened(tmp_path)
    assert refused.value.code == "LOG_IN_USE"
    live.close()
    opened(tmp_path).close()


def test_a_run_whose_log_could_not_be_written_saves_nothing(place):
    live = opened(place)
    live.snapshot()
    before = live.log.snapshot("detect")
    live._snapshot_every = 10**9
    die_after(live, 400)
    with pytest.raises(Killed):
        live.pump()
    live.close()
    assert opened(place).log.snapshot("detect") == before


# --- time ---


def test_a_silent_source_is_declared_idle_in_the_log_and_the_others_go_on(tmp_path):
    live = opened(tmp_path, clock := Clock())
    spans = [e for e in shop_emits() if e.topic == sc.OTLP_SPANS and not e.headers]
    logs = [e for e in shop_emits() if e.topic == sc.OTLP_LOGS and not e.headers]
    feed(live, clock, sorted([*spans[:3], *logs], key=lambda e: e.event_ns), pump_every=1)
    assert [(m.stage, m.idle) for m in raw_marks(live)] == [("source:shop/otlp_spans", True)]
    assert live.health.watermark_ns > START_NS + 200 * NS
    assert made(live.log) == undisturbed(live)
    let_go(live)


def test_when_all_are_silent_the_clock_closes_every_window_and_stops_in_the_end(tmp_path):
    live = opened(tmp_path, clock := Clock())
    feed(live, clock, pump_every=5)
    newest = clock.ns
    for _ in range(200):
        clock.ns += 30 * NS
        live.pump()
    clocks = [m.through_ns for m in raw_marks(live) if m.stage == f"source:{CLOCK}"]
    assert clocks == sorted(set(clocks))
    assert 3500 < (clocks[-1] - newest) / NS <= 3600  # an hour, then silence
    (incident,) = live.board._run.incidents.values()
    assert incident.state == "closed"
    assert live.health.ledger["samples"]["buffered"] == 0
    assert made(live.log) == undisturbed(live)
    let_go(live)


def test_a_played_recording_of_an_old_day_moves_the_clock_by_what_passed_not_to_today(tmp_path):
    years = 3 * 365 * 86400 * NS
    live = opened(tmp_path, clock := Clock(START_NS + years))
    feed(live, clock)
    live.pump()
    clock.ns += 60 * NS
    live.pump()
    live.pump()
    (told,) = [m for m in raw_marks(live) if m.stage == f"source:{CLOCK}"]
    assert 240 < (told.through_ns - START_NS) / NS <= 300
    let_go(live)


def test_after_a_long_absence_sources_have_time_to_come_back_before_they_count_as_idle(tmp_path):
    live = opened(tmp_path, clock := Clock())
    feed(live, clock, shop_emits()[:30], pump_every=5)
    live.close()
    clock.ns += 3600 * NS
    again = opened(tmp_path, clock)
    again.pump()
    assert raw_marks(again) == []
    clock.ns += 31 * NS
    again.pump()
    assert {m.idle for m in raw_marks(again)} == {True, False}
    let_go(again)


def test_the_clock_moves_time_only_while_no_source_speaks():
    log = MemoryLog(keep=[sc.FRAMES])
    engine = Engine(log, [Normalise([ToySource()], StreamSettings(lateness_ns=10 * NS)), Totals()])

    def through(*emits: object) -> int:
        log.append(emits, writer="outside")
        engine.run()
        return engine.runners[0].state.through_ns // NS

    assert through(toy_message([(1, 100.0, 1.0)])) == 90
    assert through(mark("source:clock", through_s=500)) == 90
    assert through(mark("source:a", through_s=100, idle=True)) == 490
    assert through(toy_message([(1, 505.0, 1.0)])) == 490
    assert through(toy_message([(1, 600.0, 1.0)])) == 590  # a clock that stands does not hold it back
