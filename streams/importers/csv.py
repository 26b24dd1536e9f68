"""Importer of any CSV file with a time column and columns of numbers, plain or gzip.

Options: time=COLUMN, value=A,B, service=COLUMN or a name, labels=C,D, format=iso|epoch_s|epoch_ms|epoch_us|epoch_ns.
Without them: the time is the column called timestamp, time, ts, date or datetime, values are `value` or all other
columns that hold nothing but numbers in the first hundred rows, the service is the name of the file. Times without a
zone are UTC. All rows are sorted by time, so they are in memory once. A hole between the first and the last is a gap,
because nothing says that it was not recorded.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from schemas import Signal
from schemas.core import NS, Emit
from streams._errors import ImportError_
from streams._import import Options, check_options, nearest
from streams._otlp_encode import gauge
from streams.importers._batches import Morgue, Row, Spans, batched, metric_name, recorded
from streams.importers._rows import CsvFile, CsvRow, is_iso, iso_ns

_SOURCE = "import.csv"
_OPTIONS = {"time", "value", "service", "labels", "format"}
_TIME_NAMES = ("timestamp", "time", "ts", "datetime", "date", "@timestamp", "time_ns", "epoch")
_UNITS_NS = {"epoch_s": NS, "epoch_ms": 1_000_000, "epoch_us": 1_000, "epoch_ns": 1}
_LOOK_ROWS = 100
_FORMATS = ("iso", *_UNITS_NS)


class Csv:
    """See the module."""

    kind = "csv"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        check_options(self.kind, options, _OPTIONS)
        return table(CsvFile(path), options, _SOURCE)

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        return []


PLUGIN = Csv


class Table(Protocol):
    """Rows of cells below a header; what a CSV file is, and whatever else can be shown like one."""

    name: str

    def header(self) -> list[str]: ...

    def columns(self, *wanted: str) -> list[int]: ...

    def __iter__(self) -> Iterator[CsvRow]: ...


def table(file: Table, options: Options, source: str) -> Iterator[Emit]:
    """All rows as gauges, with their marks. Raises ImportError_."""
    columns = _columns(file, options)
    morgue = Morgue(source)
    rows: list[Row] = []
    newest = 0
    for row in file:
        try:
            if row.error:
                raise ValueError(row.error)
            newest = columns.time_of(row.cells[columns.time])
            rows.append(columns.convert(row.cells, newest))
        except ValueError as error:
            where = f"{file.name}:{row.line}"
            morgue.keep(row.raw, reason="ROW_UNREADABLE", what=str(error), where=where, event_ns=newest)
    rows.sort(key=lambda row: row.t_ns)
    covered: dict[Signal, Spans] = {"metrics": [(rows[0].t_ns, rows[-1].t_ns)] if rows else []}
    yield from recorded(source, covered, [batched("metrics", rows), morgue.letters()])


@dataclass(frozen=True)
class _Columns:
    """Which column is what, and how a row becomes gauges."""

    time: int
    time_of: Callable[[str], int]
    values: list[tuple[int, str, str, str]]  # position, column, metric, unit
    labels: list[tuple[int, str]]
    service_column: int | None
    service: str

    def convert(self, cells: list[str], at: int) -> Row:
        """Raises ValueError with a sentence; NaN and empty cells are absent."""
        service = self.service if self.service_column is None else cells[self.service_column].strip()
        labels = tuple((name, cells[i]) for i, name in self.labels)
        _check_text(service, *(text for _, text in labels))
        items, absent = [], 0
        for i, column, name, unit in self.values:
            value = _number(cells[i], column)
            if math.isnan(value):
                absent += 1
            else:
                items.append(gauge(name, unit, at, value, labels))
        return Row(at, (("service.name", service or "unknown"),), b"".join(items), len(items), absent)


def _check_text(*cells: str) -> None:
    """Raises ValueError where bytes are no UTF-8: the file was opened so that one row cannot stop the others."""
    for text in cells:
        if any("\ud800" <= one <= "\udfff" for one in text):
            raise ValueError(f"{text[:60]!a} is no text in UTF-8")


def _columns(file: Table, options: Options) -> _Columns:
    header = file.header()
    first = list(islice((row.cells for row in file if not row.error), _LOOK_ROWS))
    time = options.get("time") or next((h for h in header if h.strip().lower() in _TIME_NAMES), None)
    if time is None:
        what = f"no column looks like a time, there are: {', '.join(header)}"
        raise ImportError_(what, where=file.name, todo="Give time=COLUMN", code="IMPORT_COLUMN_UNKNOWN")
    labels = _list(options.get("labels", ""))
    service = options.get("service", "")
    taken = {time, *labels, service}
    values = _list(options.get("value", "")) or [h for h in header if h.strip().lower() == "value"]
    if not values:
        values = [h for i, h in enumerate(header) if h not in taken and _holds_numbers([cells[i] for cells in first])]
    if not values:
        what = f"no column of numbers beside '{time}', there are: {', '.join(header)}"
        raise ImportError_(what, where=file.name, todo="Give value=COLUMN", code="IMPORT_COLUMN_UNKNOWN")
    at, *places = file.columns(time, *values, *labels)
    return _Columns(
        time=at,
        time_of=_time_of(options.get("format", ""), [cells[at] for cells in first], file.name),
        values=[(i, column, *metric_name(column)) for i, column in zip(places, values, strict=False)],
        labels=list(zip(places[len(values) :], labels, strict=True)),
        service_column=header.index(service) if service in header else None,
        service=service or file.name.split(".")[0],
    )


def _time_of(form: str, examples: list[str], where: str) -> Callable[[str], int]:
    if form and form not in _FORMATS:
        what = f"unknown format '{form}', there are: {', '.join(_FORMATS)}{nearest(form, _FORMATS)}"
        raise ImportError_(what, where=where, code="IMPORT_OPTION_UNKNOWN")
    form = form or next((guess for cell in examples if (guess := _guess(cell))), "iso")
    return iso_ns if form == "iso" else lambda cell: _epoch(cell, _UNITS_NS[form])


def _guess(example: str) -> str:
    """The format of a time by its looks, empty if it is none: a plain number is told by its size, from 1973 on.

    >>> _guess("2014-04-01 00:00:00"), _guess("1469376000"), _guess("1469376000123"), _guess("soon")
    ('iso', 'epoch_s', 'epoch_ms', '')
    """
    if not _is_number(example):
        return "iso" if is_iso(example) else ""
    size = abs(float(example))
    return next((f for f, top in (("epoch_s", 1e11), ("epoch_ms", 1e14), ("epoch_us", 1e17)) if size < top), "epoch_ns")


def _epoch(cell: str, unit_ns: int) -> int:
    try:
        t = int(Decimal(cell.strip()) * unit_ns)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise ValueError(f"'{cell[:80]}' is not a time since the epoch") from error
    if not 0 < t < 1 << 63:
        raise ValueError(f"'{cell[:80]}' is outside the times that can be told")
    return t


def _number(cell: str, column: str) -> float:
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError as error:
        raise ValueError(f"column '{column}': '{cell[:80]}' is not a number") from error
    if math.isinf(value):
        raise ValueError(f"column '{column}' is infinite")
    return value


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _holds_numbers(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell.strip()]
    return bool(filled) and all(map(_is_number, filled))


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
