"""Importer of OTLP in JSON, as the Collector's file exporter writes it: one request a line, of any signal.

The lines go on as they are: the source that reads them live reads them here. They are put in order by the newest time
in each, so all of them are in memory once. Source: OTLP 1.x JSON encoding; Collector `fileexporter`, format json.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, Signal
from schemas.core import Emit
from streams._import import ROWS, Options, check_options
from streams.importers._batches import Morgue, Spans, recorded
from streams.importers._json_files import documents

_SOURCE = "import.otlp_json"
_KINDS: dict[str, tuple[Signal, str]] = {
    "resourceMetrics": ("metrics", OTLP_METRICS), "resourceLogs": ("logs", OTLP_LOGS),
    "resourceSpans": ("traces", OTLP_SPANS),
}  # fmt: skip
_TIMES = ("timeUnixNano", "endTimeUnixNano", "observedTimeUnixNano")
_ITEMS = ("dataPoints", "logRecords", "spans")


class OtlpJson:
    """No options. A line that is no request becomes a dead letter."""

    kind = "otlp_json"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        check_options(self.kind, options, ())
        morgue = Morgue(_SOURCE)
        found: list[Emit] = []
        extent: dict[Signal, tuple[int, int]] = {}
        newest = 0
        for document in documents(path):
            name = next((n for n in _KINDS if isinstance(document.value, dict) and document.value.get(n)), "")
            times, rows = _times(document.value.get(name)) if name else ([], 0)
            if not times:
                what = document.error or f"no request: none of {', '.join(_KINDS)} with a time is there"
                morgue.keep(document.raw, reason="ROW_UNREADABLE", what=what, where=document.where, event_ns=newest)
                continue
            signal, topic = _KINDS[name]
            first, newest = min(times), max(times)
            before = extent.get(signal, (first, newest))
            extent[signal] = min(before[0], first), max(before[1], newest)
            found.append(Emit(topic, b"", document.raw.strip(), ((ROWS, str(rows).encode()),), newest))
        found.sort(key=lambda emit: emit.event_ns)
        covered: Mapping[Signal, Spans] = {signal: [span] for signal, span in extent.items()}
        yield from recorded(_SOURCE, covered, [found, morgue.letters()])

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        return []


PLUGIN = OtlpJson


def _times(value: Any) -> tuple[list[int], int]:
    """All times in ns, and how many points, log records or spans there are."""
    times: list[int] = []
    rows, stack = 0, [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            stated = [int(text) for name in _TIMES if str(text := one.get(name, "")).isdecimal() and int(text) > 0]
            times += [t for t in stated if t < 1 << 63][:1]
            rows += sum(len(one[name]) for name in _ITEMS if isinstance(one.get(name), list))
            stack += one.values()
        elif isinstance(one, list):
            stack += one
    return times, rows
