"""OTLP metrics to columns, the fast way: the numba kernel for number points, the plain decoder for all that is unusual.

A key of the kernel stands for a row of a book of definitions. A point with a new key is defined from the headers around
it and its labels (`_otlp_headers`) if those are plain text; else it is put, with its headers, into a small request of
its own, which the plain decoder answers. Histograms and summaries go that way each time. Whenever something does not
add up the whole message is left to the plain decoder, so the fast path can only be as right; tests compare the two.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from schemas.core import F64, I64, U64
from streams import _otlp_numba as kernel
from streams._decoded import (
    NO_HISTOGRAMS,
    NO_POINTS,
    Decoded,
    HistogramPoints,
    Points,
    RenderedDefs,
    as_rendered,
    rendered,
)  # fmt: skip
from streams._errors import SourceError
from streams._key_table import KeyTable
from streams._otlp_headers import Headers, header
from streams._otlp_known import Book, KnownDefs
from streams._otlp_numba import I32
from streams._otlp_wire import wrap

KEYS_MAX = 1_000_000
"""Keys remembered over all tenants; when full all are forgotten and learned again."""

Plain = Callable[[bytes, str], Decoded]


class FastMetrics:
    """Not safe for use by two threads at once: the columns it parses into are kept between calls."""

    def __init__(self, plain: Plain, labels_max_bytes: int, keys_max: int = KEYS_MAX) -> None:
        self._plain, self._labels_max_bytes, self._keys_max = plain, labels_max_bytes, keys_max
        self._tables: dict[str, _Table] = {}
        self._room = _Room.of(4096)

    def decode(self, data: bytes, tenant: str) -> Decoded | None:
        """The same as the plain decoder's answer for protobuf bytes, or None if that one has to be asked."""
        table = self._tables.get(tenant)
        if table is None:
            table = self._tables[tenant] = _Table(tenant)
        buf = np.frombuffer(data, np.uint8)
        while True:
            room = self._room
            status, n, misses, slows, exemplars = kernel.scan(buf, table.keys, table.rows, table.by_row, *room)
            if status != kernel.FULL:
                break
            self._room = _Room.of(4 * len(room.t))
        if status == kernel.UNUSUAL:
            return None
        rows = room.row[:n].copy()
        points = Points(NO_POINTS.series, room.t[:n].copy(), room.value[:n].copy())
        slow = room.slow[:slows].copy()
        try:
            if exemplars and not _are_exemplars(data, room.exemplar[:exemplars]):
                return None
            if misses and not self._learn(data, tenant, table, rows, points, room.miss[:misses].copy()):
                return None
            parts = [self._plain(_slow_request(data, buf, place), tenant) for place in slow.tolist()]
        except SourceError:
            return None  # the plain decoder will say the same of the whole message
        points = Points(table.book.ids[rows], points.t, points.value)
        if not parts:
            return Decoded(points=points, definitions=KnownDefs(table.book, [rows]), rows=rows, book=table.book)
        return _spliced(points, rows, table.book, slow[:, 0].tolist(), parts)

    def _learn(self, data: bytes, tenant: str, table: "_Table", rows: I32, points: Points, miss: I64) -> bool:
        """Give rows to new keys; False if the plain decoder has to answer for the whole message."""
        keys, first, inverse = np.unique(miss[:, 1].view(np.uint64), return_index=True, return_inverse=True)
        order = np.sort(first)
        lines = miss[order]
        start = len(table.book)
        left = table.headers.define(data, lines, self._labels_max_bytes)
        if len(left) and not self._ask(data, tenant, table, points, lines, left, start):
            return False
        position = (start + np.searchsorted(order, first)).astype(np.int32)
        table.learn(keys, position)
        rows[miss[:, 0]] = position[inverse.reshape(-1)]
        if sum(t.used for t in self._tables.values()) > self._keys_max:
            self._tables = {}
        return True

    def _ask(
        self, data: bytes, tenant: str, table: "_Table", points: Points, lines: I64, left: I64, start: int
    ) -> bool:
        """Have the plain decoder say what some lines are; False if it does not read the same times and values there."""
        asked = lines[left]
        known = self._plain(_miss_request(data, asked), tenant)
        at = asked[:, 0]
        same = len(known.points.t) == len(at) and np.array_equal(known.points.t, points.t[at])
        if not same or not np.array_equal(known.points.value, points.value[at], equal_nan=True):
            return False
        series = known.points.series.tolist()
        found = rendered(known.definitions, series)
        again = np.ones(len(series), bool)
        again[np.unique(known.points.series, return_index=True)[1]] = False
        for i in np.flatnonzero(again).tolist():  # an id met twice here may have two definitions, say of two units
            alone = self._plain(_miss_request(data, asked[i : i + 1]), tenant)
            found[i] = rendered(alone.definitions, series[i : i + 1])[0]
        table.book.fill((start + left).tolist(), series, found)
        return True


class _Room(NamedTuple):
    """The kernel's output columns, in the order of its arguments."""

    row: I32
    t: I64
    value: F64
    bits: U64
    miss: I64
    slow: I64
    exemplar: I64

    @classmethod
    def of(cls, points: int) -> "_Room":
        value = np.empty(points, np.float64)
        miss = np.empty((points, kernel.MISS_COLUMNS), np.int64)
        slow = np.empty((points // 4, kernel.SLOW_COLUMNS), np.int64)
        exemplar = np.empty((points, 2), np.int64)
        columns = np.empty(points, np.int32), np.empty(points, np.int64), value, value.view(np.uint64)
        return cls(*columns, miss, slow, exemplar)


class _Table(KeyTable):
    """What the keys and the headers of one tenant stand for."""

    def __init__(self, tenant: str) -> None:
        super().__init__()
        self.headers = Headers(tenant, self.book)


def _spliced(points: Points, rows: I32, book: Book, before: list[int], parts: list[Decoded]) -> Decoded:
    """Put the points of slow metrics between the fast ones, where the message has them."""
    series: list[U64] = []
    t: list[I64] = []
    value: list[F64] = []
    definitions: list[I32 | RenderedDefs] = []
    at = 0
    for stop, part in zip([*before, len(rows)], [*parts, Decoded()], strict=True):
        series += [points.series[at:stop], part.points.series]
        t += [points.t[at:stop], part.points.t]
        value += [points.value[at:stop], part.points.value]
        definitions += [rows[at:stop], as_rendered(part.definitions)]
        at = stop
    found = [part.histograms for part in parts if part.histograms.points]
    histograms = NO_HISTOGRAMS
    if found:
        histograms = HistogramPoints(
            np.concatenate([h.series for h in found]),
            np.concatenate([h.t for h in found]),
            np.concatenate([h.bucket for h in found]),
            np.concatenate([h.count for h in found]),
            sum(h.points for h in found),
        )
    return Decoded(
        points=Points(np.concatenate(series), np.concatenate(t), np.concatenate(value)),
        histograms=histograms,
        definitions=KnownDefs(book, definitions),
    )


def _miss_request(data: bytes, miss: I64) -> bytes:
    """A request that holds only the given points, each under the headers that it had."""
    buf = np.frombuffer(data, np.uint8)
    out: list[bytes] = []
    heads: dict[tuple[int, int], bytes] = {}
    group: list[bytes] = []
    lines = miss.tolist()

    def head(start: int, end: int, children: int) -> bytes:
        if (start, end) not in heads:
            heads[start, end] = header(buf, start, end, children)
        return heads[start, end]

    for i, (_, _, r0, r1, s0, s1, m0, m1, field, d0, d1, p0, p1) in enumerate(lines):
        group.append(wrap(1, data[p0:p1]))
        if i + 1 < len(lines) and lines[i + 1][9] == d0:
            continue
        number_data = wrap(field, head(d0, d1, kernel.DATA_CHILDREN) + b"".join(group))
        metric = wrap(2, head(m0, m1, kernel.METRIC_CHILDREN) + number_data)
        scope = wrap(2, head(s0, s1, kernel.SCOPE_CHILDREN) + metric)
        out.append(wrap(1, head(r0, r1, kernel.RESOURCE_CHILDREN) + scope))
        group = []
    return b"".join(out)


def _slow_request(data: bytes, buf: "kernel.Bytes", place: list[int]) -> bytes:
    """A request that holds one whole metric under the headers that it had."""
    _, r0, r1, s0, s1, m0, m1 = place
    scope = header(buf, s0, s1, kernel.SCOPE_CHILDREN) + wrap(2, data[m0:m1])
    return wrap(1, header(buf, r0, r1, kernel.RESOURCE_CHILDREN) + wrap(2, scope))


def _are_exemplars(data: bytes, places: I64) -> bool:
    """Exemplars are not used, but must be readable, as the plain decoder wants of every part of a message."""
    point = b"".join(wrap(5, data[start:stop]) for start, stop in places.tolist())
    try:
        ExportMetricsServiceRequest.FromString(wrap(1, wrap(2, wrap(2, wrap(5, wrap(1, point))))))
    except DecodeError:
        return False
    return True
