"""Snapshots of which one cannot go on: each is a sentence with a code, and says the way out."""

from pathlib import Path
from typing import Any

import pytest

import schemas as sc
from schemas.core import NS, Event, Output
from streams import DeriveLogs, SnapshotError, SnapshotStore, Task
from streams._kafka_restore import check_rebuild, restore
from streams._state import pack


class Counting:
    """A stage that counts what it was handed."""

    name, inputs, outputs, ordered, makes_time = "counting", (sc.FRAMES,), (), False, False

    def initial(self) -> int:
        return 0

    def step(self, state: int, event: Event) -> tuple[int, list[Output]]:
        return state + 1, []

    def dump(self, state: int) -> bytes:
        return b"%d" % state

    def load(self, data: bytes) -> int:
        return int(data)


def task() -> Task:
    return Task.start(Counting(), {}, 1, instance="0")


def saved(store: SnapshotStore, data: bytes, number: int = 0, **change: Any) -> sc.SnapshotManifest:
    name, digest, size = store.write("counting@0", number, data)
    return sc.SnapshotManifest(
        stage="counting", instance="0", number=number, code="9.9.9", shaped_by="a", is_clean=False, through_ns=NS,
        offsets={f"{sc.FRAMES}/0": 7}, file=name, sha256=digest, bytes=size,
    ).model_copy(update=change)  # fmt: skip


def good(store: SnapshotStore, number: int = 0, **change: Any) -> sc.SnapshotManifest:
    state = task()
    state.state = 41
    return saved(store, state.snapshot(offsets={f"{sc.FRAMES}/0": 7}, layout=1), number, **change)


def refusal(store: SnapshotStore, *manifests: sc.SnapshotManifest) -> SnapshotError:
    with pytest.raises(SnapshotError) as error:
        restore(task(), manifests, store, shaped_by="a", layout=1)
    return error.value


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(str(tmp_path))


def test_a_task_goes_on_with_its_state_from_where_it_was(store: SnapshotStore) -> None:
    fresh = task()
    found = restore(fresh, [good(store, 5)], store, shaped_by="a", layout=1)
    assert (fresh.state, found.offsets, found.outbox) == (41, {(sc.FRAMES, 0): 7}, [])


def test_a_snapshot_of_a_newer_format_is_refused_though_an_older_one_could_be_read(store: SnapshotStore) -> None:
    error = refusal(store, good(store, 1, format=2), good(store))
    assert error.code == "SNAPSHOT_FROM_THE_FUTURE"
    assert "Tidegate 9.9.9 in format 2" in error.what and "docs/upgrade.md" in error.todo


def test_what_cannot_be_read_is_passed_over_for_the_one_before_and_told(store: SnapshotStore) -> None:
    fresh, told = task(), []
    manifests = [good(store, 1, sha256="0" * 64), good(store)]
    restore(fresh, manifests, store, shaped_by="a", layout=1, unusable=lambda m, e: told.append((m.number, e.code)))
    assert fresh.state == 41 and told == [(1, "SNAPSHOT_CORRUPT")]


@pytest.mark.parametrize("shape", [{"more": {"offsets": {}, "layout": 1}}, {"marks": 3}, {"more": {"layout": 1}}])
def test_a_state_of_another_shape_is_a_sentence_with_the_way_out(store: SnapshotStore, shape: dict[str, Any]) -> None:
    error = refusal(store, saved(store, pack({"stage": "counting", **shape}, blobs={"state": b"1"})))
    assert error.code == "SNAPSHOT_UNREADABLE" and "--rebuild" in error.todo
    assert "does not fit this version" in error.what


@pytest.mark.parametrize(
    ("change", "code"),
    [({"shaped_by": "b"}, "SNAPSHOT_OTHER_SETTINGS"), ({"sha256": "0" * 64}, "SNAPSHOT_CORRUPT"),
     ({"file": "elsewhere"}, "SNAPSHOT_MISSING")],
)  # fmt: skip
def test_each_other_trouble_has_its_code(store: SnapshotStore, change: dict[str, Any], code: str) -> None:
    assert refusal(store, good(store, **change)).code == code


def test_a_task_of_another_number_of_partitions_is_refused(store: SnapshotStore) -> None:
    with pytest.raises(SnapshotError, match="topics grow") as error:
        restore(task(), [good(store)], store, shaped_by="a", layout=2)
    assert error.value.code == "SNAPSHOT_OTHER_LAYOUT"


@pytest.mark.parametrize(
    ("stage", "topic", "low", "is_refused"),
    [(DeriveLogs, sc.LOGS, 3, True), (DeriveLogs, sc.LOGS, 0, False), (Counting, sc.FRAMES, 3, False),
     (DeriveLogs, sc.SERIES, 3, False)],
    ids=["cut", "whole", "without numbers", "only compacted"],
)  # fmt: skip
def test_what_is_numbered_is_made_again_from_the_first_record_only(
    store: SnapshotStore, stage: Any, topic: str, low: int, is_refused: bool
) -> None:
    begun, lows = Task.start(stage(), {}, 1), {(topic, 0): low}
    check_rebuild(begun, [], lows)  # never ran before: there is nothing to repeat
    if not is_refused:
        check_rebuild(begun, [good(store)], lows)
        return
    with pytest.raises(SnapshotError, match="first 3 records are gone") as error:
        check_rebuild(begun, [good(store)], lows)
    assert error.value.code == "REBUILD_IMPOSSIBLE" and "docs/upgrade.md" in error.value.todo
