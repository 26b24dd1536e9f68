"""Prometheus remote write to columns, the plain way: a walk over the bytes. It defines what the answer is.

    sample                  one point; Prometheus' stale marker is a NaN, as every NaN is a gap here
    native histogram        buckets under its name, and the counts `NAME_count`, `NAME_sum`; floats are rounded
    classic histogram       the counters that it consists of
    exemplar, metadata      counted, not used (types and units of 2.0 are)

Points of samples come first, in the order of the message, then those of native histograms. A series with labels that
cannot be used is rejected with its samples; the others count. Anything else that does not add up is a SourceError.
Sources: Prometheus remote write 1.0 and 2.0 (prompb/types.proto, prompb/io/prometheus/write/v2/types.proto).
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from streams._buckets import COUNT_MAX, Buckets, explicit_buckets, exponential_buckets
from streams._decoded import NO_HISTOGRAMS, Decoded, HistogramPoints, Points, Rejected, Rendered, RenderedDefs
from streams._errors import SourceError
from streams._otlp_encode import varint
from streams._remote_series import Bad, Labels, histogram, named, problem

MS = 1_000_000
TIME_MAX_MS = (2**63 - 1) // MS
CUSTOM_BUCKETS = -53
_FINEST, _COARSEST = 8, -4
_DOUBLE = struct.Struct("<d")
_NAN = float("nan")


class Level(NamedTuple):
    """Field numbers of one version. series, symbols: of the request; the others of a series."""

    series: int
    symbols: int
    exemplars: int
    histograms: int
    foreign: frozenset[int]
    """Fields of the request that only the other version has."""


V1 = Level(1, 0, 3, 4, frozenset({4, 5}))
V2 = Level(5, 4, 4, 3, frozenset({1, 3}))


class Raw(NamedTuple):
    """What a series holds, read but not judged. counts: of exemplars."""

    labels: Labels
    samples: list[tuple[int, float]]
    histograms: list[bytes]
    exemplars: int
    type_: int
    unit: str


def decode(data: bytes, tenant: str, level: Level) -> Decoded:
    """One request. Raises SourceError REMOTE_WRITE_INVALID, REMOTE_WRITE_OTHER_VERSION."""
    walk = Walk(tenant)
    symbols, places = places_of(data, level)
    for start, stop in places:
        walk.series(data[start:stop], symbols, level)
    return walk.decoded()


class Walk:
    """Collects the columns of one message."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._definitions: dict[int, Rendered] = {}
        self._derived_definitions: dict[int, Rendered] = {}
        self._points: list[tuple[int, int, float]] = []
        self._derived: list[tuple[int, int, float]] = []
        self._rows: list[tuple[int, int, int, int]] = []
        self._bad: dict[str, tuple[int, str, list[bytes]]] = {}
        self._counted = {"samples": 0, "histograms": 0, "exemplars": 0, "exemplars_sent": 0}
        self._with_buckets = 0

    def series(self, data: bytes, symbols: Sequence[str], level: Level) -> None:
        """One series of a request."""
        raw = series_of(data, symbols, level)
        self._counted["exemplars_sent"] += raw.exemplars
        bad = problem(raw.labels)
        if bad is not None:
            self._reject(bad, len(raw.samples) + len(raw.histograms), data)
            return
        if raw.samples:
            number, definition = named(raw.labels, self._tenant, type_=raw.type_, unit=raw.unit)
            self._definitions.setdefault(number, definition)
            self._points += [(number, time_ns, value) for time_ns, value in raw.samples]
            self._counted["samples"] += len(raw.samples)
        if raw.histograms:
            self.histograms(raw, data)

    def histograms(self, raw: Raw, data: bytes) -> None:
        """Native histograms of a series whose labels are good."""
        parts = histogram(raw.labels, self._tenant, unit=raw.unit)
        for one in raw.histograms:
            try:
                found = native(one)
            except ValueError as error:
                self._reject(Bad("HISTOGRAM_INVALID", f"a native histogram: {error}"), 1, data)
                continue
            for (number, definition), value in zip(parts[1:], (found.number, found.total), strict=True):
                self._derived_definitions.setdefault(number, definition)
                self._derived.append((number, found.time_ns, value))
            self._counted["histograms"] += 1
            if found.buckets is not None:
                number, definition = parts[0]
                self._derived_definitions.setdefault(number, definition)
                rows = sorted(found.buckets.items()) or [(-32768, 0)]
                self._rows += [(number, found.time_ns, bucket, count) for bucket, count in rows]
                self._with_buckets += 1

    def _reject(self, bad: Bad, samples: int, data: bytes) -> None:
        if samples:
            before, what, kept = self._bad.get(bad.reason, (0, bad.what, []))
            kept.append(varint(1 << 3 | 2) + varint(len(data)) + data)
            self._bad[bad.reason] = before + samples, what, kept

    def decoded(self) -> Decoded:
        """Everything that was walked over."""
        series, t, value = (
            zip(*(self._points + self._derived), strict=True) if self._points or self._derived else ((), (), ())
        )
        histograms = NO_HISTOGRAMS
        if self._rows:
            owner, at, bucket, count = zip(*self._rows, strict=True)
            histograms = HistogramPoints(
                np.array(owner, np.uint64), np.array(at, np.int64), np.array(bucket, np.int16),
                np.array(count, np.int64), self._with_buckets,
            )  # fmt: skip
        return Decoded(
            points=Points(np.array(series, np.uint64), np.array(t, np.int64), np.array(value, np.float64)),
            histograms=histograms, definitions=RenderedDefs(self._derived_definitions | self._definitions),
            rejected=tuple(
                Rejected(reason, n, what, b"".join(kept)) for reason, (n, what, kept) in sorted(self._bad.items())
            ),
            counted=self._counted,
        )  # fmt: skip


def places_of(data: bytes, level: Level) -> tuple[list[str], list[tuple[int, int]]]:
    """Symbols of a request, and where its series lie."""
    symbols: list[str] = []
    places: list[tuple[int, int]] = []
    for number, wire, start, stop in fields(data, 0, len(data)):
        if number in level.foreign:
            raise SourceError(
                f"the request has field {number}, which the version in its content type does not have",
                code="REMOTE_WRITE_OTHER_VERSION", todo="Let the content type name the message that is sent",
            )  # fmt: skip
        if number == level.series:
            places.append((start, stop))
            _is_message(wire, "a series")
        elif number == level.symbols and level.symbols:
            _is_message(wire, "a symbol")
            symbols.append(text(data[start:stop]))
    if level.symbols and symbols[:1] not in ([], [""]):
        _broken("the first symbol is not empty")
    return symbols, places


def series_of(data: bytes, symbols: Sequence[str], level: Level) -> Raw:
    """What one series holds."""
    labels: list[tuple[str, str]] = []
    references: list[int] = []
    samples: list[tuple[int, float]] = []
    histograms: list[bytes] = []
    exemplars, type_, unit = 0, 0, ""
    for number, wire, start, stop in fields(data, 0, len(data)):
        if number == 1 and level.symbols:
            references += _packed(data, wire, start, stop)
        elif number == 1:
            labels.append(_label(data, wire, start, stop))
        elif number == 2:
            samples.append(_sample(data, wire, start, stop))
        elif number == level.histograms:
            _is_message(wire, "a histogram")
            histograms.append(data[start:stop])
        elif number == level.exemplars:
            _is_message(wire, "an exemplar")
            exemplars += 1
        elif number == 5 and level.symbols:
            type_, unit = _metadata(data, wire, start, stop, symbols)
    if level.symbols:
        if len(references) % 2:
            _broken("a label has no value")
        words = [_symbol(symbols, reference) for reference in references]
        labels = list(zip(words[::2], words[1::2], strict=True))
    return Raw(tuple(labels), samples, histograms, exemplars, type_, unit)


class Native(NamedTuple):
    """buckets: None where the histogram is a stale marker."""

    time_ns: int
    number: float
    total: float
    buckets: Buckets | None


def native(data: bytes) -> Native:
    """One native histogram. Raises ValueError for what does not add up, SourceError for what is no message."""
    whole: dict[int, float] = {}
    lists: dict[int, list[Any]] = {8: [], 9: [], 10: [], 11: [], 12: [], 13: [], 16: []}
    schema = time_ms = 0
    for number, wire, start, stop in fields(data, 0, len(data)):
        if number in (1, 6) and wire == 0:
            whole[number] = float(_varint(data, start)[0])
        elif number in (2, 3, 7) and wire == 1:
            whole[number - (1 if number != 3 else 0)] = _DOUBLE.unpack_from(data, start)[0]
        elif number == 4 and wire == 0:
            schema = _zigzag(_varint(data, start)[0])
        elif number == 15 and wire == 0:
            time_ms = _signed(_varint(data, start)[0])
        elif number in (8, 11) and wire == 2:
            lists[number].append(_span(data, start, stop))
        elif number in (9, 12):
            lists[number] += [_zigzag(one) for one in _packed(data, wire, start, stop)]
        elif number in (10, 13, 16):
            lists[number] += _doubles(data, wire, start, stop)
    time_ns = min(max(time_ms, -TIME_MAX_MS), TIME_MAX_MS) * MS
    total = whole.get(3, 0.0)
    if total != total:
        return Native(time_ns, _NAN, _NAN, None)
    positive = list(_cells(lists[11], lists[12], lists[13]))
    negative = sum(count for _, counts in _cells(lists[8], lists[9], lists[10]) for count in counts)
    zero = _whole(whole.get(6, 0.0))
    return Native(time_ns, whole.get(1, 0.0), total, _buckets(schema, zero, negative, positive, lists[16]))


def _buckets(
    schema: int, zero: int, negative: int, positive: list[tuple[int, list[int]]], bounds: list[float]
) -> Buckets:  # fmt: skip
    if schema == CUSTOM_BUCKETS:
        counts = [0] * (len(bounds) + 1)
        for first, found in positive:
            if first < 0 or first + len(found) > len(counts):
                raise ValueError(f"its spans reach beyond {len(bounds)} bounds")
            counts[first : first + len(found)] = found
        return explicit_buckets(counts, bounds)
    if not _COARSEST <= schema <= _FINEST:
        raise ValueError(f"schema {schema} is not known")
    merged = exponential_buckets(scale=schema, zero=zero, positive=(), offset=0, negative=[negative])
    for first, found in positive:  # bucket i of Prometheus ends where bucket i - 1 of OpenTelemetry does
        part = exponential_buckets(scale=schema, zero=0, positive=found, offset=first - 1, negative=())
        for bucket, count in part.items():
            merged[bucket] = min(merged.get(bucket, 0) + count, COUNT_MAX)
    return merged


def _cells(
    spans: list[tuple[int, int]], deltas: list[int], floats: list[float]
) -> Iterator[tuple[int, list[int]]]:  # fmt: skip
    """First bucket and counts of each span; counts come as differences, or as floats."""
    counts: list[int] = []
    level = 0
    for delta in deltas:
        level += delta
        counts.append(level)
    counts = counts or [_whole(value) for value in floats]
    if any(count < 0 for count in counts):
        raise ValueError("a bucket has fewer than none")
    if sum(length for _, length in spans) != len(counts):
        raise ValueError(f"{len(counts)} counts do not fit its spans")
    at = used = 0
    for offset, length in spans:
        at += offset
        yield at, [min(count, COUNT_MAX) for count in counts[used : used + length]]
        at, used = at + length, used + length


def _whole(value: float) -> int:
    if not 0 <= value < float("inf"):
        raise ValueError("a count is no number of things")
    return min(round(value), COUNT_MAX)


# --- the wire ---


def fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, start and stop of the content of each field. Raises SourceError."""
    while at < end:
        tag, at = _varint(data, at, end)
        wire = tag & 7
        if tag < 8 or tag >= 1 << 32:
            _broken("a field has no number")
        if wire == 2:
            length, at = _varint(data, at, end)
            stop = at + length
        elif wire == 0:
            _, stop = _varint(data, at, end)
        elif wire == 1 or wire == 5:
            stop = at + (8 if wire == 1 else 4)
        else:
            _broken(f"wire type {wire} is not used")
        if stop > end:
            _broken("it ends inside a field")
        yield tag >> 3, wire, at, stop
        at = stop


def _varint(data: bytes, at: int, end: int = 1 << 62) -> tuple[int, int]:
    value = 0
    for i, byte in enumerate(data[at : min(at + 10, end)]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if value >= 1 << 64:
                _broken("a number is too long")
            return value, at + i + 1
    raise _broken("a number is cut short or too long")


def _packed(data: bytes, wire: int, start: int, stop: int) -> list[int]:
    if wire == 0:
        return [_varint(data, start)[0]]
    if wire != 2:
        _broken("numbers have another type")
    found = []
    while start < stop:
        value, start = _varint(data, start, stop)
        found.append(value)
    return found


def _doubles(data: bytes, wire: int, start: int, stop: int) -> list[float]:
    if wire not in (1, 2) or (stop - start) % 8:
        _broken("numbers have another type")
    return [value for (value,) in _DOUBLE.iter_unpack(data[start:stop])]


def _label(data: bytes, wire: int, start: int, stop: int) -> tuple[str, str]:
    _is_message(wire, "a label")
    name = value = ""
    for number, inner, a, b in fields(data, start, stop):
        if number in (1, 2) and inner != 2:
            _broken("a label is no text")
        if number == 1:
            name = text(data[a:b])
        elif number == 2:
            value = text(data[a:b])
    return name, value


def _sample(data: bytes, wire: int, start: int, stop: int) -> tuple[int, float]:
    """Time in ns and value."""
    _is_message(wire, "a sample")
    value, time_ms = 0.0, 0
    for number, inner, a, _ in fields(data, start, stop):
        if number == 1:
            if inner != 1:
                _broken("a value is no float")
            value = _DOUBLE.unpack_from(data, a)[0]
        elif number == 2:
            if inner != 0:
                _broken("a time is no number")
            time_ms = _signed(_varint(data, a)[0])
    if value != value:
        value = _NAN  # the stale marker is a signalling NaN: arithmetic would raise what it signals
    return min(max(time_ms, -TIME_MAX_MS), TIME_MAX_MS) * MS, value


def _metadata(data: bytes, wire: int, start: int, stop: int, symbols: Sequence[str]) -> tuple[int, str]:
    _is_message(wire, "metadata")
    type_, unit = 0, ""
    for number, inner, a, _ in fields(data, start, stop):
        if number in (1, 3, 4) and inner != 0:
            _broken("metadata is no number")
        if number == 1:
            type_ = _varint(data, a)[0]
        elif number == 4:
            unit = _symbol(symbols, _varint(data, a)[0])
    return type_, unit


def _span(data: bytes, start: int, stop: int) -> tuple[int, int]:
    offset = length = 0
    for number, wire, a, _ in fields(data, start, stop):
        if number in (1, 2) and wire != 0:
            _broken("a span is no number")
        if number == 1:
            offset = _zigzag(_varint(data, a)[0])
        elif number == 2:
            length = _varint(data, a)[0]
    return offset, length


def _symbol(symbols: Sequence[str], reference: int) -> str:
    if reference >= len(symbols):
        _broken(f"symbol {reference} is not among the {len(symbols)}")
    return symbols[reference]


def text(data: bytes) -> str:
    """UTF-8. Raises SourceError."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        _broken("a text is not UTF-8")


def _zigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _is_message(wire: int, what: str) -> None:
    if wire != 2:
        _broken(f"{what} has another type")


def _broken(why: str) -> NoReturn:
    todo = "Send the message that the content type names"
    raise SourceError(f"not a remote write request: {why}", todo=todo, code="REMOTE_WRITE_INVALID")
