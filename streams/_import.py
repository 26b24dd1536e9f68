"""Importers: a public data set or a file becomes a recording whose values are source bytes, as a Collector sends them.

So imported history goes through the very decoders that live telemetry goes through. What was recorded at all is said
first (`Coverage`), the end is said last (`Watermark(final=True)`); ground truth goes into a file beside the topics.
"""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from schemas import DEAD_LETTERS, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, RAW, Coverage, read, record_type
from schemas.core import Emit, Message
from streams._errors import ImportError_
from streams._recording import RecordingWriter

ROWS, ABSENT = "tidegate-rows", "tidegate-absent"
"""Headers of an imported message: samples, lines or spans in it; cells that were empty in the rows they came from."""

Options = Mapping[str, str]
Progress = Callable[[float, Mapping[str, int]], None]
"""Called with the fraction done (0 to 1, by covered event time) and the counts so far."""

_COUNTED = {
    OTLP_METRICS: "samples",
    RAW: "samples",
    OTLP_LOGS: "log_lines",
    OTLP_SPANS: "spans",
    DEAD_LETTERS: "dead_lettered",
}
_EVERY = 64  # messages between two calls of the progress callback


class Importer(Protocol):
    """A plug-in in `streams/importers/`; its module says `PLUGIN = TheClass`, which is called without arguments."""

    kind: str

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        """Everything at `path` in arrival order: event times never fall, 1000 rows a message at most.

        All `Coverage` marks come before the first message, a final `Watermark` ends each raw topic that was used.
        Messages carry the header `tidegate-rows`. Rows that cannot be converted come as dead letters, in their
        place; empty cells are absent, not dead. The same input gives the same bytes. Raises ImportError_ when the
        input as a whole is unusable or an option is unknown.
        """
        ...

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        """Ground truth for evaluation only: {id, at_ns, entity (plain service), family}; empty where there is none."""
        ...


def import_(
    importer: Importer, path: Path, out: Path, options: Options | None = None, on_progress: Progress | None = None
) -> dict[str, int]:
    """Write a recording of everything the importer reads, and its labels.

    received_ns of a message is the newest event time so far, so a replay by arrival stays in order. Returns counts:
    incidents, samples, log_lines, spans, dead_lettered, absent, messages. Raises ImportError_ or RecordingError; then
    nothing is left behind.
    """
    options = options or {}
    if not path.exists():
        raise ImportError_("there is nothing here", where=str(path), todo="Check the path", code="IMPORT_NOT_FOUND")
    counts = dict.fromkeys(("incidents", *_COUNTED.values(), "absent", "messages"), 0)
    progress = _Extent()
    with RecordingWriter(out, created_by=f"tidegate import {importer.kind}") as writer:
        labels = importer.labels(path, options)
        counts["incidents"] = len(labels)
        offsets: dict[tuple[str, int], int] = {}
        newest = 0
        for emit in importer.read(path, options):
            newest = max(newest, emit.event_ns)
            at = emit.topic, emit.partition
            offsets[at] = offset = offsets.get(at, -1) + 1
            message = Message(
                emit.topic, emit.partition, offset, emit.key, emit.value, emit.headers, emit.event_ns, newest
            )
            writer.append(message)
            progress.see(message)
            _count(counts, message)
            if on_progress and counts["messages"] % _EVERY == 0:
                on_progress(progress.fraction(newest), counts)
        writer.write_labels(labels)
    if on_progress:
        on_progress(1.0, counts)
    return counts


def check_options(importer: str, options: Options, known: Collection[str]) -> None:
    """Raises ImportError_ naming an option that the importer does not have, and the nearest that it has."""
    for name in options:
        if name not in known:
            what = f"unknown option '{name}', there are: {', '.join(sorted(known)) or 'none'}{nearest(name, known)}"
            raise ImportError_(what, where=f"import {importer}", code="IMPORT_OPTION_UNKNOWN")


def nearest(name: str, known: Collection[str]) -> str:
    """` (nearest: x)` or nothing; ends a sentence about a name that is not known.

    >>> nearest("timestmp", ["timestamp", "value"])
    ' (nearest: timestamp)'
    """
    close = difflib.get_close_matches(name.lower(), {k.lower(): k for k in known}, 1, 0.5)
    return f" (nearest: {next(k for k in known if k.lower() == close[0])})" if close else ""


def _count(counts: dict[str, int], message: Message) -> None:
    counts["messages"] += 1
    if message.topic in _COUNTED:
        rows = "1" if message.topic == DEAD_LETTERS else message.header(ROWS) or "0"
        counts[_COUNTED[message.topic]] += int(rows)
        counts["absent"] += int(message.header(ABSENT) or "0")


class _Extent:
    """How far an import has come: the share of all covered time, over all signals, that lies behind."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []

    def see(self, message: Message) -> None:
        if record_type(message) == "coverage" and isinstance(mark := read(message), Coverage):
            self._spans.append((mark.start_ns, mark.end_ns))

    def fraction(self, now_ns: int) -> float:
        whole = sum(end - start for start, end in self._spans)
        behind = sum(min(max(now_ns - start, 0), end - start) for start, end in self._spans)
        return behind / whole if whole else 0.0
