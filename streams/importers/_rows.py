"""Rows of a CSV file together with the bytes that they came from, so that a bad one can be kept as it was."""

import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from schemas.core import NS
from streams._errors import ImportError_, unreadable
from streams._import import nearest

_CELL_LIMIT = 16 << 20  # characters; the library's own limit of 128 KiB is too small for log lines
_ISO = re.compile(r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(?:[.,](\d+))?\s*(Z|[+-]\d\d:?\d\d)?")


def iso_ns(text: str) -> int:
    """An ISO 8601 time as nanoseconds since the epoch; without a zone it is UTC. Raises ValueError.

    >>> iso_ns("2023-01-29T10:19:19.694635249Z") == iso_ns("2023-01-29 12:19:19.694635249+02:00")
    True
    """
    if not (found := _ISO.fullmatch(text.strip())):
        raise ValueError(f"'{text[:80]}' is not an ISO 8601 time")
    when = (
        datetime.fromisoformat(found[1] + (found[3] or "")) if len(found[1]) > 10 else datetime.fromisoformat(found[1])
    )
    whole = int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
    return whole * NS + int((found[2] or "")[:9].ljust(9, "0"))


def is_iso(text: str) -> bool:
    try:
        iso_ns(text)
    except ValueError:
        return False
    return True


class CsvRow(NamedTuple):
    """line: of its end, counted from 1. error: why the row cannot be read, empty if it can."""

    line: int
    raw: bytes
    cells: list[str]
    error: str


class CsvFile:
    """A CSV file, plain or gzip (told by its first bytes). Opened on iteration; every iteration starts anew."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.path, self.name = path, name or path.name

    def header(self) -> list[str]:
        """Raises ImportError_ if there is no first line or it cannot be read."""
        first = next(self._read(), None)
        if first is None or first.error or not first.cells:
            what = "is empty" if first is None else f"has no header in its first line: {first.error or 'it is empty'}"
            raise ImportError_(
                what, where=self.name, todo="Give a CSV file with a header", code="IMPORT_COLUMN_UNKNOWN"
            )
        return first.cells

    def columns(self, *wanted: str) -> list[int]:
        """See `columns_of`."""
        return columns_of(self.header(), wanted, where=self.name)

    def __iter__(self) -> Iterator[CsvRow]:
        """All rows after the header; empty lines are passed over. A row of another width has an error."""
        width = len(self.header())
        for row in islice(self._read(), 1, None):
            if row.cells and len(row.cells) != width and not row.error:
                yield row._replace(error=f"{len(row.cells)} cells where the header has {width}")
            elif row.cells or row.error:
                yield row

    def _read(self) -> Iterator[CsvRow]:
        csv.field_size_limit(_CELL_LIMIT)
        taken: list[str] = []

        def lines(file: IO[str]) -> Iterator[str]:
            for line in file:
                taken.append(line)
                yield line

        try:
            with self._open() as file:
                reader = csv.reader(lines(file))
                while True:
                    cells, error = [], ""
                    try:
                        cells = next(reader)
                    except StopIteration:
                        break
                    except csv.Error as failure:
                        error = str(failure)
                    yield CsvRow(reader.line_num, "".join(taken).encode("utf-8", "surrogateescape"), cells, error)
                    taken.clear()
        except (OSError, EOFError) as failure:
            raise unreadable(self.name, failure) from failure

    def _open(self) -> IO[str]:
        raw: IO[bytes] = self.path.open("rb")
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        plain = gzip.GzipFile(fileobj=raw) if packed else raw
        return io.TextIOWrapper(plain, "utf-8-sig", errors="surrogateescape", newline="")


def columns_of(header: Sequence[str], wanted: Sequence[str], *, where: str) -> list[int]:
    """Positions of the wanted columns; raises ImportError_ naming the first that is not there."""
    for name in wanted:
        if name not in header:
            what = f"unknown column '{name}', there are: {', '.join(header)}{nearest(name, header)}"
            raise ImportError_(what, where=where, code="IMPORT_COLUMN_UNKNOWN")
    return [header.index(name) for name in wanted]
