"""Importer of Nezha's Train-Ticket data: labelled incidents with logs, spans and metrics (Yu et al., FSE 2023).

Reads a single incident or the whole archive, packed (tar with xz, gzip or zstd) or unpacked; the option `incident`
(a number from 1, or an id such as 2023-01-29T10:20:10) cuts one incident out of the whole archive, in the very form
of the single ones: the fault-free minutes of its day, the three minutes of the fault, metrics from 30 min before to
10 min after. Data: https://github.com/IntelligentDDS/Nezha (MIT).
"""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from schemas import Signal
from schemas.core import NS, Emit
from streams._import import Options, check_options
from streams.importers._archive import unpacked
from streams.importers._batches import Morgue, batched, coverage, finals, stretches
from streams.importers._nezha_layout import Layout, Minute, is_label, layout, wanted
from streams.importers._nezha_rows import log_rows, log_times, metric_rows, span_rows, span_times

_SOURCE = "import.nezha"
_SILENCE_NS = {"rows": 15 * NS, "metrics": 300 * NS}  # minute files touch within seconds; metrics come every minute
_ROW_SIGNALS: tuple[Signal, ...] = ("logs", "traces")


class Nezha:
    """See the module. One stretch of minutes is in memory at a time, and the metrics."""

    kind = "nezha"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        with _found(path, options, wanted) as found:
            morgue = Morgue(_SOURCE)
            metrics = [row for file in found.metrics for row in metric_rows(file, morgue, found.since_ns, found.until_ns)]
            metrics.sort(key=lambda row: (row.t_ns, row.resource))
            covered: dict[Signal, list[tuple[int, int]]] = {
                "metrics": stretches((row.t_ns for row in metrics), _SILENCE_NS["metrics"]),
                "logs": _recorded(found.minutes, lambda minute: log_times(minute.logs)),
                "traces": _recorded(found.minutes, lambda minute: span_times(minute.traces)),
            }
            used = [signal for signal, spans in covered.items() if spans]
            ends = [time for signal in used for span in covered[signal] for time in span]
            for signal in used:
                yield from coverage(_SOURCE, signal, covered[signal], min(ends))
            letters = iter(morgue.letters())
            last = max(ends, default=0)
            parts = heapq.merge(
                batched("metrics", metrics), _minutes(found.minutes, morgue), letters, key=lambda e: e.event_ns
            )
            yield from parts
            yield from finals(_SOURCE, used, last)

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        with _found(path, options, is_label) as found:
            return [{"id": v.id, "at_ns": v.at_ns, "entity": v.service, "family": v.family} for v in found.labels]


PLUGIN = Nezha


@contextmanager
def _found(path: Path, options: Options, want: Callable[[PurePosixPath], bool]) -> Iterator[Layout]:
    check_options(Nezha.kind, options, {"incident"})
    with unpacked(path, want) as root:
        yield layout(root, path.name, options.get("incident"))


def _minutes(minutes: list[Minute], morgue: Morgue) -> Iterator[Emit]:
    """Logs, spans and dead letters of each run of neighbouring minutes, in order of event time."""
    for run in _runs(minutes):
        logs = [row for minute in run for row in log_rows(minute.logs, morgue)]
        spans = [row for minute in run for row in span_rows(minute.traces, morgue)]
        logs.sort(key=lambda row: row.t_ns)
        spans.sort(key=lambda row: row.t_ns)
        yield from heapq.merge(
            batched("logs", logs), batched("traces", spans), morgue.letters(), key=lambda e: e.event_ns
        )


def _runs(minutes: list[Minute]) -> Iterator[list[Minute]]:
    run: list[Minute] = []
    for minute in minutes:
        if run and minute.at_ns - run[-1].at_ns > 60 * NS:
            yield run
            run = []
        run.append(minute)
    if run:
        yield run


def _recorded(minutes: list[Minute], times: Callable[[Minute], list[int]]) -> list[tuple[int, int]]:
    return stretches(sorted(t for minute in minutes for t in times(minute)), _SILENCE_NS["rows"])
