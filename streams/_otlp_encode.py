"""OTLP request bytes from columns: what importers and the simulated shop put on the source topics.

Written straight in protobuf's wire format: a request of 1000 spans built from message objects costs some 10 ms, built
here 1 ms, and rows that differ only in fields of fixed width (ids, times, digits) are filled in by numpy, all at once
(`Template`). All three signals share one envelope: request {1: resource {1: attributes, 2: scope {2: item}}}. Items
here are *framed*: they carry their tag and length, so that joining them is concatenation.
Source: opentelemetry-proto 1.x (metrics, logs, trace, common, resource), Protocol Buffers encoding guide.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Value = str | int | float | bool
Attributes = tuple[tuple[str, Value], ...]
"""Attributes in the order in which they are sent; a tuple, so that the encoded form can be cached."""

_DELTA, _CUMULATIVE = 1, 2


def varint(value: int) -> bytes:
    """A base-128 varint; negative numbers as their 64-bit two's complement.

    >>> varint(300)
    b'\\xac\\x02'
    """
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field: text, bytes or a nested message."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


@lru_cache(maxsize=65_536)
def attributes(number: int, values: Attributes) -> bytes:
    """KeyValue fields under the given field number."""
    return b"".join(field(number, field(1, key.encode()) + field(2, _any_value(value))) for key, value in values)


def request(groups: Iterable[tuple[Attributes, Iterable[bytes]]]) -> bytes:
    """An Export(Metrics|Logs|Trace)ServiceRequest: for each resource its framed items."""
    return b"".join(
        field(1, field(1, attributes(1, resource)) + field(2, b"".join(items))) for resource, items in groups
    )


def gauge(name: str, unit: str, t_ns: int, value: float, labels: Attributes = ()) -> bytes:
    """A framed gauge metric with one point."""
    return _gauge_prefix(name, unit, labels) % (struct.pack("<BQBd", 0x19, t_ns, 0x21, value),)


def counter(name: str, unit: str, points: Iterable[tuple[int, int, int, Attributes]]) -> bytes:
    """A framed monotonic cumulative sum; points are (start ns, time ns, value, labels)."""
    rows = b"".join(
        field(1, struct.pack("<BQBQBq", 0x11, start, 0x19, t, 0x31, value) + attributes(7, labels))
        for start, t, value, labels in points
    )
    return field(2, _named(name, unit) + field(7, rows + bytes((0x10, _CUMULATIVE, 0x18, 1))))


def histogram(
    name: str, unit: str, bounds: Sequence[float], points: Iterable[tuple[int, int, Sequence[int], float, Attributes]]
) -> bytes:
    """A framed delta histogram with explicit bounds.

    points are (start ns, time ns, counts, total, labels); counts has one entry more than bounds.
    """
    edges = field(7, struct.pack(f"<{len(bounds)}d", *bounds))
    rows = b"".join(
        field(
            1,
            struct.pack("<BQBQBQBd", 0x11, start, 0x19, t, 0x21, sum(counts), 0x29, total)
            + field(6, struct.pack(f"<{len(counts)}Q", *counts)) + edges + attributes(9, labels),
        )
        for start, t, counts, total, labels in points
    )  # fmt: skip
    return field(2, _named(name, unit) + field(9, rows + bytes((0x10, _DELTA))))


def log_record(
    t_ns: int, body: bytes, *, severity: int = 0, text: str = "", trace: bytes = b"", span: bytes = b"",
    labels: Attributes = (),
) -> bytes:  # fmt: skip
    """A framed log record; body is UTF-8, trace 16 bytes or none, span 8 bytes or none."""
    level = (bytes((0x10, severity)) if severity else b"") + (field(3, text.encode()) if text else b"")
    ids = (field(9, trace) if trace else b"") + (field(10, span) if span else b"")
    content = b"\x09" + t_ns.to_bytes(8, "little") + level + field(5, field(1, body)) + attributes(6, labels) + ids
    return field(2, content)


def span(
    trace: bytes, span_id: bytes, parent: bytes, name: bytes, start_ns: int, end_ns: int, *, kind: int = 0,
    labels: Attributes = (), is_error: bool = False,
) -> bytes:  # fmt: skip
    """A framed span; parent is empty for a root; kind is OpenTelemetry's number, 0 unspecified."""
    ids = b"\x0a\x10" + trace + b"\x12\x08" + span_id + (b"\x22\x08" + parent if parent else b"")
    times = struct.pack("<BQBQ", 0x39, start_ns, 0x41, end_ns)
    rest = attributes(9, labels) + (b"\x7a\x02\x18\x02" if is_error else b"")
    return field(2, ids + field(5, name) + (bytes((0x30, kind)) if kind else b"") + times + rest)


class Template:
    """One framed item with holes of fixed width, to be filled for many rows at once.

    Made from an example whose holes hold marker bytes; every marker must occur exactly once, else ValueError.

    >>> Template(b"id=####", id=b"####").fill(2, id=np.frombuffer(b"00010002", np.uint8).reshape(2, 4))
    b'id=0001id=0002'
    """

    def __init__(self, example: bytes, **markers: bytes) -> None:
        self._example = np.frombuffer(example, np.uint8)
        self._holes: dict[str, slice] = {}
        for name, marker in markers.items():
            if example.count(marker) != 1:
                raise ValueError(f"marker '{name}' occurs {example.count(marker)} times in the example, not once")
            at = example.index(marker)
            self._holes[name] = slice(at, at + len(marker))

    @property
    def holes(self) -> Mapping[str, slice]:
        return self._holes

    def fill(self, n: int, **columns: NDArray[np.uint8]) -> bytes:
        """n rows, one after the other; each column is uint8 (n, width of the hole)."""
        rows = np.tile(self._example, (n, 1))
        for name, hole in self._holes.items():
            rows[:, hole] = columns[name]
        return rows.tobytes()


def fixed64(values: NDArray[Any]) -> NDArray[np.uint8]:
    """int64 or uint64 (n,) as little-endian bytes (n, 8)."""
    return np.ascontiguousarray(values, "<i8").view(np.uint8).reshape(-1, 8)


def _any_value(value: Value) -> bytes:
    if isinstance(value, bool):
        return bytes((0x10, value))
    if isinstance(value, int):
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return b"\x21" + struct.pack("<d", value)
    return field(1, value.encode())


def _named(name: str, unit: str) -> bytes:
    return field(1, name.encode()) + (field(3, unit.encode()) if unit else b"")


@lru_cache(maxsize=65_536)
def _gauge_prefix(name: str, unit: str, labels: Attributes) -> bytes:
    """The metric around its one point, as a `%` format: the point's numbers have a fixed width of 18 bytes."""
    marker = b"\xf5" * 18
    whole = field(2, _named(name, unit) + field(5, field(1, marker + attributes(7, labels))))
    return whole.replace(b"%", b"%%").replace(marker, b"%b")
