"""Going on after a stop: who owns the directory, and from where each stage starts.

What a stage had written beyond its snapshot is counted off, not written twice. That holds only if it would say the
same again: so a snapshot carries the versions and settings that shaped it. They may change across a clean stop, where
nothing lies beyond the snapshots; after a crash, or for a rebuild from the beginning, they must be the same.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams import EmbeddedLog, Runner, SnapshotError, TransportError
from tidegate._errors import LiveError

DOCUMENT = "up"
"""Name under which what is not of one stage lies beside the snapshots of the stages."""


@dataclass(slots=True)
class Restored:
    """What a directory was left with. arrived: when each sender was last heard of, ns of the wall clock."""

    arrived: dict[str, int] = field(default_factory=dict)
    changes: int = 0
    """How often versions or settings changed since the log began."""


def own(directory: Path) -> sqlite3.Connection:
    """Hold the directory for as long as the connection is open; the system lets go when the process dies.

    A lock on a file of its own, because others may read the log meanwhile. Raises TransportError LOG_IN_USE, and
    OSError where there can be no such directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        owner = sqlite3.connect(directory / "owner.sqlite", isolation_level=None, timeout=0, check_same_thread=False)
        owner.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        raise TransportError(
            f"the directory cannot be used: {error}", where=str(directory), code="LOG_IN_USE",
            todo="Stop the other `tidegate up` that uses it, or choose another --dir",
        ) from error  # fmt: skip
    return owner


def restore(log: EmbeddedLog, runners: Sequence[Runner], versions: Mapping[str, Any], *, rebuild: bool) -> Restored:
    """Bring each runner to its snapshot, or leave it at the beginning. Raises SnapshotError or LiveError."""
    if rebuild:
        before = _document(log, is_needed=False)
        restored = Restored(changes=int(before.get("changes", 0)))
    else:
        before = _document(log, is_needed=True)
        restored = Restored(dict(before.get("arrived", {})), int(before.get("changes", 0)))
        for runner in runners:
            _load(log, runner)
    changed = [name for name, value in before.get("versions", versions).items() if versions.get(name) != value]
    if "partitions" in changed:
        raise LiveError(
            f"the log was begun with {before['versions']['partitions']} partitions, "
            f"the settings say {versions['partitions']}",
            where=str(log.path), todo="Set streams.partitions back, or choose another --dir",
        )  # fmt: skip
    ahead = [runner.stage.name for runner in runners if log.written(runner.stage.name) > runner.produced]
    if ahead and changed:
        raise LiveError(
            f"{', '.join(ahead)} wrote more than the snapshots know, with other {', '.join(changed)}: "
            "it would not be the same again",
            where=str(log.path), todo="Start once as before and stop cleanly, then change; or choose another --dir",
        )  # fmt: skip
    if ahead and rebuild and restored.changes:
        raise LiveError(
            f"versions or settings changed {restored.changes} times since the log began: "
            "it cannot be made the same again",
            where=str(log.path), todo="`tidegate record` it and replay or play it into another --dir",
        )  # fmt: skip
    restored.changes += bool(changed)
    return restored


def save(log: EmbeddedLog, runners: Sequence[Runner], versions: Mapping[str, Any], restored: Restored) -> None:
    """Snapshots of all stages and what goes with them, in one transaction. Raises TransportError."""
    log.save({**{runner.stage.name: runner.snapshot() for runner in runners}, **_packed(versions, restored)})


def save_versions(log: EmbeddedLog, versions: Mapping[str, Any], restored: Restored) -> None:
    """Only what shaped the answers, so that even a log without a snapshot says it."""
    log.save(_packed(versions, restored))


def _packed(versions: Mapping[str, Any], restored: Restored) -> dict[str, bytes]:
    document = {"versions": versions, "changes": restored.changes, "arrived": restored.arrived}
    return {DOCUMENT: json.dumps(document, sort_keys=True).encode()}


def _document(log: EmbeddedLog, *, is_needed: bool) -> dict[str, Any]:
    try:
        data = log.snapshot(DOCUMENT)
    except SnapshotError:
        if is_needed:
            raise
        return {}  # a rebuild goes on without: what it tells is lost, the log is not
    document: dict[str, Any] = json.loads(data) if data else {}
    return document


def _load(log: EmbeddedLog, runner: Runner) -> None:
    data = log.snapshot(runner.stage.name)
    if data is None:
        return
    try:
        runner.restore(data)
    except SnapshotError:
        raise
    except Exception as error:  # whatever another version wrote: any shape may come
        raise SnapshotError(
            f"the snapshot of stage '{runner.stage.name}' does not fit this version ({error!r})", where=str(log.path),
            todo="Start with --rebuild: the state is made again from the log",
        ) from error  # fmt: skip
