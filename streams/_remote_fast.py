"""Remote write to columns, the fast way: the numba kernel for samples, the plain decoder's own functions for the rest.

New series are named by the plain code and put into a book; native histograms are read by it each time. Whenever
something does not add up, or a series cannot be used, the whole message is left to the plain decoder.
"""

from typing import NamedTuple

import numpy as np

from schemas.core import F64, I64, U64
from streams import _remote_numba as kernel
from streams._decoded import Decoded, Points, Rendered, as_rendered
from streams._errors import SourceError
from streams._key_table import KeyTable
from streams._otlp_known import KnownDefs, Pieces
from streams._otlp_numba import FULL, I32, UNUSUAL, Bytes
from streams._remote_series import named, problem
from streams._remote_wire import V2, Level, Walk, series_of, text

KEYS_MAX = 1_000_000
"""Series remembered over all tenants; when full all are forgotten and learned again."""
_NO_HASHES = np.zeros(0, np.uint64)


class FastRemote:
    """Not safe for use by two threads at once: the columns it parses into are kept between calls."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._tables: dict[str, KeyTable] = {}
        self._room = _Room.of(4096)
        self._places, self._hashes = np.empty((4096, 2), np.int64), np.empty(4096, np.uint64)

    def decode(self, data: bytes, tenant: str, level: Level) -> Decoded | None:
        """The same as the plain decoder's answer, or None if that one has to be asked."""
        table = self._tables.setdefault(tenant, KeyTable())
        buf = np.frombuffer(data, np.uint8)
        try:
            found = self._symbols(data, buf) if level is V2 else (_NO_HASHES, _Words(data, np.zeros((0, 2), np.int64)))
            if found is None:
                return None
            hashes, words = found
            counts = self._scan(buf, level is V2, hashes, table)
            if counts is None:
                return None
            n, misses, slows, exemplars = counts
            rows = self._room.row[:n].copy()
            points = Points(_NO_HASHES, self._room.t[:n].copy(), self._room.value[:n].copy())
            if misses and not self._learn(data, tenant, table, level, words, rows, self._room.miss[:misses].copy()):
                return None
            points = Points(table.book.ids[rows], points.t, points.value)
            counted = {"samples": n, "histograms": 0, "exemplars": 0, "exemplars_sent": exemplars}
            if not slows:
                return Decoded(points=points, definitions=KnownDefs(table.book, [rows]), rows=rows, book=table.book,
                               counted=counted)  # fmt: skip
            return self._with_histograms(data, tenant, level, words, rows, points, table, counted, slows)
        except SourceError:
            return None  # the plain decoder will say the same of the whole message

    def _symbols(self, data: bytes, buf: Bytes) -> "tuple[U64, _Words] | None":
        while True:
            status, n, is_high = kernel.symbols(buf, self._places, self._hashes)
            if status != FULL:
                break
            size = 4 * len(self._hashes)
            self._places, self._hashes = np.empty((size, 2), np.int64), np.empty(size, np.uint64)
        if status == UNUSUAL:
            return None
        words = _Words(data, self._places[:n].copy())
        if is_high:
            for i in range(n):
                words[i]
        return self._hashes[:n], words

    def _scan(self, buf: Bytes, is_second: bool, hashes: U64, table: KeyTable) -> tuple[int, int, int, int] | None:
        while True:
            status, *counts = kernel.scan(buf, is_second, hashes, table.keys, table.rows, table.by_row, *self._room)
            if status != FULL:
                break
            self._room = _Room.of(4 * len(self._room.t))
        if status == UNUSUAL:
            return None
        n, misses, slows, exemplars = counts
        return n, misses, slows, exemplars

    def _learn(
        self, data: bytes, tenant: str, table: KeyTable, level: Level, words: "_Words", rows: I32, miss: I64
    ) -> bool:  # fmt: skip
        """Give rows to new series; False if one of them cannot be used."""
        keys, first, inverse = np.unique(miss[:, 2].view(np.uint64), return_index=True, return_inverse=True)
        order = np.argsort(first)
        found: list[tuple[int, Rendered]] = []
        for start, stop in miss[first[order]][:, 3:].tolist():
            raw = series_of(data[start:stop], words, level)
            if problem(raw.labels) is not None:
                return False
            found.append(named(raw.labels, tenant, type_=raw.type_, unit=raw.unit))
        position = np.empty(len(keys), np.int32)
        position[order] = np.arange(len(table.book), len(table.book) + len(keys), dtype=np.int32)
        _add(table, found)
        table.learn(keys, position)
        for (begin, end, *_), row in zip(miss.tolist(), position[inverse.reshape(-1)].tolist(), strict=True):
            rows[begin:end] = row
        if sum(t.used for t in self._tables.values()) > self._keys_max:
            self._tables = {}
        return True

    def _with_histograms(
        self, data: bytes, tenant: str, level: Level, words: "_Words", rows: I32, points: Points, table: KeyTable,
        counted: dict[str, int], slows: int,
    ) -> Decoded | None:  # fmt: skip
        walk = Walk(tenant)
        for start, stop in self._room.slow[:slows].tolist():
            raw = series_of(data[start:stop], words, level)
            if problem(raw.labels) is not None:
                return None
            walk.histograms(raw, data[start:stop])
        part = walk.decoded()
        return Decoded(
            points=Points(*(np.concatenate(pair) for pair in zip(points, part.points, strict=True))),
            histograms=part.histograms,
            definitions=KnownDefs(table.book, [rows, as_rendered(part.definitions)]),
            rejected=part.rejected, counted=counted | {"histograms": part.counted["histograms"]},
        )  # fmt: skip


class _Words(list[str]):
    """Symbols that are decoded when they are asked for."""

    def __init__(self, data: bytes, places: I64) -> None:
        super().__init__([""] * len(places))
        self._data, self._places = data, places

    def __getitem__(self, at: int) -> str:  # type: ignore[override]
        start, stop = self._places[at].tolist()
        return text(self._data[start:stop])


def _add(table: KeyTable, found: list[tuple[int, Rendered]]) -> None:
    """New rows of the book, in this order."""
    book, labels, ends, owners, traits = table.book, bytearray(), [], [], []
    for _, rendered in found:
        pieces = Pieces.of(rendered)
        owners.append(book.owner(pieces.owner))
        traits.append(book.traits(pieces.traits))
        labels += pieces.labels
        ends.append(len(labels))
    ids = np.array([number for number, _ in found], np.uint64)
    book.add(ids, owners, traits, bytes(labels), np.array(ends, np.int64))


class _Room(NamedTuple):
    """The kernel's output columns, in the order of its arguments."""

    row: I32
    t: I64
    value: F64
    bits: U64
    miss: I64
    slow: I64

    @classmethod
    def of(cls, points: int) -> "_Room":
        value = np.empty(points, np.float64)
        miss, slow = np.empty((points, kernel.MISS_COLUMNS), np.int64), np.empty((points, 2), np.int64)
        return cls(np.empty(points, np.int32), np.empty(points, np.int64), value, value.view(np.uint64), miss, slow)
