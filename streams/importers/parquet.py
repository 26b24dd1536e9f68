"""Importer of Parquet: a file, or all files of a folder, with a time column and columns of numbers.

Options and the choice of columns are those of the CSV importer; times may be timestamps of any unit or numbers.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas import rfc3339, why
from schemas.core import Emit
from streams._errors import ImportError_, unreadable
from streams._import import Options, check_options
from streams.importers._rows import CsvRow, columns_of
from streams.importers.csv import _OPTIONS, table

_SOURCE = "import.parquet"


class Parquet:
    """See the module."""

    kind = "parquet"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        check_options(self.kind, options, _OPTIONS)
        return table(_Files(path), options, _SOURCE)

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        return []


PLUGIN = Parquet


class _Files:
    """Parquet files with one schema as rows of text, as the CSV importer reads them. line: counted over all files."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        if not self._files:
            raise ImportError_("no file here ends in .parquet", where=str(path), code="IMPORT_NOT_FOUND")

    def header(self) -> list[str]:
        try:
            return list(pq.read_schema(self._files[0]).names)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self._files[0], error) from error

    def columns(self, *wanted: str) -> list[int]:
        return columns_of(self.header(), wanted, where=self.name)

    def __iter__(self) -> Iterator[CsvRow]:
        number, header = 0, self.header()
        for file in self._files:
            try:
                with pq.ParquetFile(file) as opened:
                    for batch in opened.iter_batches(columns=header):
                        columns = [_texts(batch.column(name)) for name in header]
                        for cells in zip(*columns, strict=True):
                            number += 1
                            yield CsvRow(number, ",".join(cells).encode("utf-8", "replace"), list(cells), "")
            except (pa.ArrowException, OSError, KeyError, ValueError) as error:
                raise _unreadable(file, error) from error


def _texts(column: Any) -> list[str]:
    """A column as text: times as ISO 8601 with nanoseconds in UTC, nothing as an empty cell."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
        return ["" if v is None else rfc3339(v) for v in column.to_pylist()]
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _unreadable(file: Path, error: Exception) -> ImportError_:
    if isinstance(error, OSError) and error.errno:
        return unreadable(file.name, error)
    what = f"is no Parquet that can be read: {why(error)[:200]}"
    return ImportError_(what, where=file.name, todo="Copy the file again", code="IMPORT_CUT_SHORT")
