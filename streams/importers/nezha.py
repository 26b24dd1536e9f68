"""Importer of Nezha's Train-Ticket data: labelled incidents with logs, spans and metrics (Yu et al., FSE 2023).

Reads a single incident or the whole archive, packed (tar with xz, gzip or zstd) or unpacked; the option `incident`
(a number from 1, or an id such as 2023-01-29T10:20:10) cuts one incident out of the whole archive, in the very form
of the single ones: the fault-free minutes of its day, the three minutes of the fault, metrics from 30 min before to
10 min after. `baseline=all` then moves the fault-free minutes of all days to before the incident, because one minute
that may come later is no baseline for who reads in order of time. Data: https://github.com/IntelligentDDS/Nezha (MIT).
"""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from schemas import Signal
from schemas.core import NS, Emit
from streams._errors import ImportError_
from streams._import import Options, check_options
from streams.importers._archive import unpacked
from streams.importers._batches import Morgue, Spans, batched, recorded, stretches
from streams.importers._nezha_layout import Layout, Minute, is_label, layout, wanted
from streams.importers._nezha_rows import log_rows, log_times, metric_rows, span_rows, span_times

_SOURCE = "import.nezha"
_SILENCE_NS = {"rows": 15 * NS, "metrics": 300 * NS}  # minute files touch within seconds; metrics come every minute


class Nezha:
    """See the module. One stretch of minutes is in memory at a time, and the metrics."""

    kind = "nezha"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        with _found(path, options, wanted) as found:
            morgue = Morgue(_SOURCE)
            metrics = [
                row for file in found.metrics for row in metric_rows(file, morgue, found.since_ns, found.until_ns)
            ]
            metrics.sort(key=lambda row: (row.t_ns, row.resource))
            covered: dict[Signal, Spans] = {
                "metrics": stretches((row.t_ns for row in metrics), _SILENCE_NS["metrics"]), **_recorded(found.minutes),
            }  # fmt: skip
            parts = batched("metrics", metrics), iter(morgue.letters()), _minutes(found.minutes, morgue)
            yield from recorded(_SOURCE, covered, parts)

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        with _found(path, options, is_label) as found:
            return [{"id": v.id, "at_ns": v.at_ns, "entity": v.service, "family": v.family} for v in found.labels]


PLUGIN = Nezha


@contextmanager
def _found(path: Path, options: Options, want: Callable[[PurePosixPath], bool]) -> Iterator[Layout]:
    check_options(Nezha.kind, options, {"incident", "baseline"})
    is_quiet_first = options.get("baseline") == "all"
    if "baseline" in options and not (is_quiet_first and "incident" in options):
        raise ImportError_("baseline=all goes with incident=ID and has no other value", where="import nezha")
    with unpacked(path, want) as root:
        yield layout(root, path.name, options.get("incident"), is_quiet_first=is_quiet_first)


def _minutes(minutes: list[Minute], morgue: Morgue) -> Iterator[Emit]:
    """Logs, spans and dead letters of each run of neighbouring minutes, in order of event time."""
    for run in _runs(minutes):
        logs = [row for m in run if m.logs.is_file() for row in log_rows(m.logs, morgue, m.moved_ns)]
        spans = [row for m in run if m.traces.is_file() for row in span_rows(m.traces, morgue, m.moved_ns)]
        logs.sort(key=lambda row: row.t_ns)
        spans.sort(key=lambda row: row.t_ns)
        parts = batched("logs", logs), batched("traces", spans), iter(morgue.letters())
        yield from heapq.merge(*parts, key=lambda emit: emit.event_ns)


def _runs(minutes: list[Minute]) -> Iterator[list[Minute]]:
    run: list[Minute] = []
    for minute in minutes:
        if run and minute.at_ns - run[-1].at_ns > 60 * NS:
            yield run
            run = []
        run.append(minute)
    if run:
        yield run


def _recorded(minutes: list[Minute]) -> dict[Signal, Spans]:
    """When logs and traces were recorded: while either of them came, where the minute has a file of that signal.

    Both, because they are cut out of one stream by trace: a service that stops logging is silent, not unrecorded.
    """
    times: dict[Signal, list[int]] = {"logs": [], "traces": []}
    for minute in minutes:
        logs, traces = minute.logs.is_file(), minute.traces.is_file()
        both = (log_times(minute.logs) if logs else []) + (span_times(minute.traces) if traces else [])
        both = [at + minute.moved_ns for at in both]
        times["logs"] += both if logs else []
        times["traces"] += both if traces else []
    return {signal: stretches(sorted(found), _SILENCE_NS["rows"]) for signal, found in times.items()}
