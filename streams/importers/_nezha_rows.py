"""Nezha's tables as OTLP rows: one generator a kind of file; what cannot be converted goes to the morgue.

Logs keep the body as the program wrote it (the column is a container runtime's JSON line). Code locations are not
set as attributes: the log source finds them in the body, as it must for everyone who logs to standard output.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

from schemas.core import NS
from streams._otlp_encode import Attributes, gauge, log_record, span
from streams.importers._batches import Morgue, Row, metric_name
from streams.importers._nezha_layout import service_of
from streams.importers._rows import CsvFile, CsvRow, iso_ns

_TIMES = ("Time", "TimeStamp")
_NAMES = ("PodName", "ServiceName")
_DAY_NS = 86_400 * NS
_GO_ZERO_TIME = "-6795364578871345152"


class Bad(Exception):
    """A row that cannot be converted: a stable reason and a sentence."""

    def __init__(self, reason: str, what: str) -> None:
        self.reason, self.what = reason, what
        super().__init__(what)


Convert = Callable[[list[str]], Row | None]


def log_rows(path: Path, morgue: Morgue, moved_ns: int = 0) -> list[Row]:
    """All log lines of a file, sorted by time; lines of one time keep the order of the file.

    moved_ns: added to the time of each; whether that leaves a time is not asked.
    """
    file = CsvFile(path)
    wanted = ("TimeUnixNano", "Timestamp", "Node", "PodName", "TraceID", "SpanID", "Log")
    t, text, node, pod, trace, span_id, log = file.columns(*wanted)

    def time_of(cells: list[str]) -> int:
        # Go's zero time stands in TimeUnixNano where the collector of the data set found no time but the text has one.
        return (_time(cells[t]) if cells[t] != _GO_ZERO_TIME else _iso(cells[text])) + moved_ns

    def convert(cells: list[str]) -> Row:
        resource = _resource(cells[pod], cells[node])
        try:
            body = json.loads(cells[log])["log"].rstrip("\r\n").encode("utf-8", "replace")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Bad("LOG_JSON_INVALID", f"column 'Log' is no container log line: {error}") from error
        at = time_of(cells)
        return Row(at, resource, log_record(at, body, trace=_id(cells[trace], 16), span=_id(cells[span_id], 8)))

    return _converted(file, convert, time_of, morgue)


def span_rows(path: Path, morgue: Morgue, moved_ns: int = 0) -> list[Row]:
    """All spans of a file, sorted by their end, which is when they are sent; moved_ns as for log lines."""
    file = CsvFile(path)
    wanted = ("TraceID", "SpanID", "ParentID", "PodName", "OperationName", "StartTimeUnixNano", "EndTimeUnixNano")
    trace, span_id, parent, pod, name, start, end = file.columns(*wanted)

    def convert(cells: list[str]) -> Row:
        above = b"" if cells[parent] in ("", "root") else _id(cells[parent], 8)
        begun, ended = _time(cells[start]) + moved_ns, _time(cells[end]) + moved_ns
        if ended < begun:
            raise Bad("TIME_INVALID", f"the span ends {begun - ended} ns before it starts")
        title = cells[name].encode("utf-8", "replace")
        trace_id, own = _id(cells[trace], 16, needed=True), _id(cells[span_id], 8, needed=True)
        return Row(ended, _resource(cells[pod], ""), span(trace_id, own, above, title, begun, ended))

    return _converted(file, convert, lambda cells: _time(cells[end]) + moved_ns, morgue)


def metric_rows(path: Path, morgue: Morgue, since_ns: int, until_ns: int) -> list[Row]:
    """One row a scrape of a pod with all its gauges; empty cells and NaN are absent."""
    file = CsvFile(path)
    header = file.header()
    title = next((name for name in _NAMES if name in header), _NAMES[0])
    t, pod = file.columns("TimeStamp", title)
    text = header.index("Time") if "Time" in header else t
    gauges = [(i, column, *metric_name(column)) for i, column in enumerate(header) if column not in (*_TIMES, title)]

    def convert(cells: list[str]) -> Row | None:
        at = _instant(cells[t], cells[text])
        if not since_ns <= at <= until_ns:
            return None
        items, absent = [], 0
        for i, column, name, unit in gauges:
            value = _number(cells[i], column)
            if math.isnan(value):
                absent += 1
            else:
                items.append(gauge(name, unit, at, value))
        resource = _resource(cells[pod], "") if title == _NAMES[0] else (("service.name", cells[pod]),)
        return Row(at, resource, b"".join(items), len(items), absent)

    return _converted(file, convert, lambda cells: _instant(cells[t], cells[text]), morgue)


def _instant(seconds: str, text: str) -> int:
    """The time in seconds, unless the text beside it says another day: one copy of OnlineBoutique has 86 in place of
    66 all over, which moves seconds by years and the text by nothing that matters."""
    at = _time(seconds, NS)
    try:
        told = iso_ns(text.partition(" m=")[0].removesuffix(" UTC").replace(" +0000", "+00:00"))
    except ValueError:
        return at
    return at if abs(told - at) < _DAY_NS else told // NS * NS


def log_times(path: Path) -> list[int]:
    return _times(path, "TimeUnixNano")


def span_times(path: Path) -> list[int]:
    return _times(path, "EndTimeUnixNano")


def _times(path: Path, column: str) -> list[int]:
    """The sorted times of a file, without those that cannot be read."""
    file = CsvFile(path)
    (at,) = file.columns(column)
    return sorted(int(row.cells[at]) for row in file if not row.error and row.cells[at].isdecimal())


def _converted(file: CsvFile, convert: Convert, time_of: Callable[[list[str]], int], morgue: Morgue) -> list[Row]:
    rows: list[Row] = []
    bad: list[tuple[CsvRow, str, str]] = []
    for row in file:
        try:
            if row.error:
                raise Bad("ROW_UNREADABLE", row.error)
            if converted := convert(row.cells):
                rows.append(converted)
        except Bad as failure:
            bad.append((row, failure.reason, failure.what))
    rows.sort(key=lambda row: row.t_ns)
    for row, reason, what in bad:
        try:
            at = time_of(row.cells)
        except (Bad, IndexError):
            at = rows[0].t_ns if rows else 0
        morgue.keep(row.raw, reason=reason, what=what, where=f"{file.name}:{row.line}", event_ns=at)
    return rows


def _resource(pod: str, node: str) -> Attributes:
    if not pod:
        raise Bad("ROW_UNREADABLE", "no name of a pod")
    names = ("service.name", service_of(pod)), ("k8s.pod.name", pod)
    return (*names, ("k8s.node.name", node)) if node else names


def _time(cell: str, unit_ns: int = 1) -> int:
    if not (cell.isascii() and cell.isdecimal()) or not 0 < (t := int(cell) * unit_ns) < 1 << 63:
        raise Bad("TIME_INVALID", f"'{cell[:80]}' is not a time since the epoch")
    return t


def _iso(cell: str) -> int:
    try:
        return iso_ns(cell)
    except ValueError as error:
        raise Bad("TIME_INVALID", str(error)) from error


def _id(cell: str, width: int, needed: bool = False) -> bytes:
    try:
        found = bytes.fromhex(cell)
    except ValueError:
        found = b"?"
    if len(found) == width or (not found and not needed):
        return found
    raise Bad("ID_INVALID", f"'{cell[:80]}' is not an id of {2 * width} hex digits")


def _number(cell: str, column: str) -> float:
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError as error:
        raise Bad("VALUE_INVALID", f"column '{column}': '{cell[:80]}' is not a number") from error
    if math.isinf(value):
        raise Bad("NOT_FINITE", f"column '{column}' is infinite")
    return value
