"""The benchmark's own answer, the programs of the peers and our frames agree, without a broker."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import schemas as sc
from bench.throughput import _report
from bench.throughput._data import START, STEP_NS, TICKS, WINDOW_NS, Workload
from bench.throughput._load import otlp
from bench.throughput._rows import rows
from streams.sources.otlp_metrics import OtlpMetrics

WORK = Workload(200, 200 * 121, partitions=2)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the peers import; it stands alone, so it is found by path."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "bench" / "peers" / "shared"))
    import robust
    import tidegate_frames

    yield robust, tidegate_frames
    for name in ("robust", "tidegate_frames"):
        sys.modules.pop(name, None)


def test_every_fault_is_part_of_the_answer_and_the_last_window_is_not() -> None:
    ill = {(n, START + tick // TICKS * WINDOW_NS + WINDOW_NS) for tick, ns in WORK.faults.items() for n in ns}
    assert ill and ill <= WORK.answer
    assert max(start for _, start in WORK.answer) < START + WORK.windows * WINDOW_NS == WORK.end_ns - STEP_NS


def test_point_by_point_gives_the_answer(shared: Any) -> None:
    robust, _ = shared
    windows: list[list[float]] = [[] for _ in range(WORK.series)]
    histories: list[list[float]] = [[] for _ in range(WORK.series)]
    found = set()
    for tick, (_, values) in enumerate(WORK.ticks_of_values()):
        for n, value in enumerate(values.tolist()):
            if tick and tick % TICKS == 0:
                if robust.judge(histories[n], sum(windows[n]) / TICKS) is not None:
                    found.add((n, START + (tick // TICKS - 1) * WINDOW_NS))
                windows[n].clear()
            windows[n].append(value)
    assert found == WORK.answer


def test_frames_in_any_sizes_with_marks_of_two_writers_give_the_answer(shared: Any) -> None:
    _, frames = shared
    reader, ids, found = frames.Frames(2), np.arange(WORK.series, dtype=np.uint64), []
    for tick, (t, values) in enumerate(WORK.ticks_of_values()):
        for mine in np.array_split(np.arange(WORK.series), 1 + tick % 3):
            at = np.full(len(mine), t)
            data = sc.encode_frame(ids[mine], at, values[mine], shards=np.zeros(len(mine), np.int64))
            found += reader.take(data, {})
        for instance in "ab" if tick % 10 == 0 else "a":  # the second writer is often far behind
            found += _mark(reader, instance, t)
    found += _mark(reader, "b", WORK.end_ns)
    found += _mark(reader, "a", WORK.end_ns)
    assert {(int(a["k"], 16), a["start"] * 1_000_000) for a in found} == WORK.answer


def test_otlp_messages_hold_every_point_once() -> None:
    source, n, total = OtlpMetrics(fast=False), 0, 0.0
    for message in otlp(WORK):
        if not sc.record_type(message):
            decoded = source.decode(message)
            n += len(decoded.points.series)
            total += float(decoded.points.value.sum())
    assert n == WORK.points
    assert total == pytest.approx(sum(float(values.sum()) for _, values in WORK.ticks_of_values()))


def test_a_wrong_row_has_no_ratio_and_a_failed_one_says_why() -> None:
    ours = {"system": "tidegate", "series": 1000, "layout": "our frames", "cpu_s_per_million": 0.2, "check": "4 of 4"}
    right = ours | {"system": "Faust", "cpu_s_per_million": 2.0, "check": "right: 3 anomalies"}
    wrong = ours | {"system": "Other", "check": "WRONG: 2 anomalies, 3 are right"}
    absent = {"system": "Gone", "series": 1000, "layout": "our frames", "points": 1, "why": "needs Maven"}
    assert _report.summary([ours, right, wrong, absent])["times_ours"] == {
        "Faust, our frames, 1000 series": {"frames": 10.0}
    }
    assert "needs Maven" in _report.table([absent])


def test_what_is_slow_gets_fewer_points_but_never_too_few_for_an_anomaly() -> None:
    wanted = rows([1000, 10_000], 10_000_000, with_peers=True, only=["faust"])
    assert [(row.layout, row.work.windows >= 16) for row in wanted] == [
        ("points", True), ("frames", True), ("points", True), ("frames", True)
    ]  # fmt: skip


def _mark(reader: Any, instance: str, through_ns: int) -> list[dict[str, Any]]:
    mark = sc.Watermark(stage="normalise", instance=instance, through_ns=through_ns)
    emit = sc.emit(sc.FRAMES, mark, id="x", key="", source="test", event_ns=through_ns)
    found: list[dict[str, Any]] = reader.take(emit.value, dict(emit.headers))
    return found
