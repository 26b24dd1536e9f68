"""Going on from a snapshot, or a sentence why not: what the manifests of a task say decides.

The newest snapshot that can be read is taken; older ones only lead to more work, because what a task says is a function
of its input. That holds for one version with one set of settings: state of another is taken over after a clean stop
only, and state of a newer format never, not even by way of an older snapshot: what was said since would not be said
again in the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import schemas as sc
from schemas.core import Emit
from streams._errors import SnapshotError
from streams._snapshots import FORMAT, SnapshotStore
from streams._task import Place, Task, is_counted

Unusable = Callable[[sc.SnapshotManifest, SnapshotError], None]
"""Told of a snapshot that cannot be read."""


class Restored(NamedTuple):
    """offsets: next to read of each input. outbox: to be written again."""

    offsets: dict[Place, int]
    outbox: list[Emit]


def restore(
    task: Task, manifests: Sequence[sc.SnapshotManifest], store: SnapshotStore, *, shaped_by: str, layout: int,
    unusable: Unusable = lambda manifest, error: None,
) -> Restored:  # fmt: skip
    """Bring a task that has just been started to where it was; without manifests it stays at the beginning.

    manifests: the one that got furthest first. layout: how many partitions there are. Raises SnapshotError
    (SNAPSHOT_FROM_THE_FUTURE, _OTHER_SETTINGS, _OTHER_LAYOUT, _UNREADABLE, and _MISSING or _CORRUPT if none can be
    read); the task is then not to be used.
    """
    trouble: SnapshotError | None = None
    for manifest in manifests:
        if manifest.format > FORMAT:
            raise SnapshotError(
                f"{task.name} was saved by Tidegate {manifest.code} in format {manifest.format}; this version knows "
                f"formats up to {FORMAT}",
                where=manifest.file, code="SNAPSHOT_FROM_THE_FUTURE",
                todo="Start that version again, or a newer one; or run this one as a generation of its own, see "
                "docs/upgrade.md",
            )  # fmt: skip
        try:
            data = store.read(manifest.file, manifest.sha256)
        except SnapshotError as error:
            trouble = trouble or error
            unusable(manifest, error)
            continue
        if manifest.shaped_by != shaped_by and not manifest.is_clean:
            raise SnapshotError(
                f"{task.name} was stopped in mid-work with other versions or settings "
                f"(Tidegate {manifest.code}): what it wrote last would not be the same again",
                where=manifest.file, code="SNAPSHOT_OTHER_SETTINGS",
                todo="Start once as before and stop cleanly, then change; or run both side by side",
            )  # fmt: skip
        saved, offsets, outbox = _loaded(task, manifest, data)
        if saved != layout:
            raise SnapshotError(
                f"{task.name} was stopped with {saved} partitions, now there are {layout}: its series may belong to "
                "others",
                where=manifest.file, code="SNAPSHOT_OTHER_LAYOUT",
                todo=f"Run `tidegate topics grow --partitions {layout}`",
            )  # fmt: skip
        return Restored(offsets, outbox)
    if trouble is not None:
        raise trouble
    return Restored({}, [])


def check_rebuild(task: Task, manifests: Sequence[sc.SnapshotManifest], lows: Mapping[Place, int]) -> None:
    """Whether a task may begin anew. Its numbers begin at 0 again, and readers drop those that they have passed: so
    that is right only if it says everything again from the first record on.

    lows: the oldest offset that each input still holds. Raises SnapshotError REBUILD_IMPOSSIBLE.
    """
    counted = any(is_counted(task.stage, sc.TOPICS[topic]) for topic in task.stage.outputs)
    cut = sorted(place for place, low in lows.items() if low > 0 and not sc.TOPICS[place[0]].is_compacted)
    if manifests and counted and cut:
        topic, partition = cut[0]
        raise SnapshotError(
            f"{task.name} cannot be made again from its input: the first {lows[cut[0]]} records are gone. What it says "
            "would carry numbers that its readers have passed, and be dropped",
            where=f"{topic}/{partition}", code="REBUILD_IMPOSSIBLE",
            todo="Start without --rebuild, or a new generation on the same input, see docs/upgrade.md",
        )  # fmt: skip


def packed(emit: Emit) -> list[Any]:
    """A record of the outbox, as JSON."""
    headers = [[name, value.hex()] for name, value in emit.headers]
    return [emit.topic, emit.key.hex(), emit.value.hex(), headers, emit.event_ns, emit.partition]


def _loaded(task: Task, manifest: sc.SnapshotManifest, data: bytes) -> tuple[int, dict[Place, int], list[Emit]]:
    """Layout, offsets and outbox that were saved."""
    try:
        more = task.restore(data)
        offsets = {_place(name): offset for name, offset in more["offsets"].items()}
        return more["layout"], offsets, [_unpacked(entry) for entry in more.get("outbox", [])]
    except SnapshotError:
        raise
    except Exception as error:  # whatever another version wrote: any shape may come
        raise SnapshotError(
            f"the snapshot of {task.name} by Tidegate {manifest.code} does not fit this version ({error!r})",
            where=manifest.file, todo="Start that version again, or this one with --rebuild",
        ) from error  # fmt: skip


def _unpacked(entry: list[Any]) -> Emit:
    topic, key, value, headers, event_ns, partition = entry
    pairs = tuple((name, bytes.fromhex(text)) for name, text in headers)
    return Emit(topic, bytes.fromhex(key), bytes.fromhex(value), pairs, event_ns, partition)


def _place(name: str) -> Place:
    topic, partition = name.rsplit("/", 1)
    return topic, int(partition)
