"""New series from the headers around their points: resource, scope, metric are each parsed once, labels by the kernel.

What a header means is asked of the plain decoder's own functions, on a request without points, and remembered by the
bytes of the header. So the first sight of a series costs its labels, a hash and a place in the book.
"""

import json
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from schemas import series_hash
from schemas.core import I64, Bool
from streams import _otlp_numba as kernel
from streams._conventions import OLD_IN_JSON
from streams._decoded import Rendered
from streams._entities import Origin
from streams._errors import SourceError
from streams._otlp_known import Book, Pieces
from streams._otlp_metrics import Shape, definition_of, number_shape
from streams._otlp_values import origin_from
from streams._otlp_wire import wrap

_VERSION = b"version"


class _Resource(NamedTuple):
    """owner: its number in the book. identity: how the canonical identity of its series begins. size: bytes of the id
    of its entity. version: the value of the label that all its series have, or empty."""

    owner: int
    identity: bytes
    size: int
    version: bytes


class _Metric(NamedTuple):
    """traits: their number in the book. identity, size: of the name."""

    traits: int
    identity: bytes
    size: int


class Headers:
    """What the headers of one tenant mean."""

    def __init__(self, tenant: str, book: Book) -> None:
        self._tenant, self._book = tenant, book
        self._resources: dict[bytes, _Resource | None] = {}
        self._scopes: set[bytes] = set()
        self._metrics: dict[tuple[int, bytes, bytes], _Metric] = {}

    def define(self, data: bytes, lines: I64, labels_max_bytes: int) -> I64:
        """Add a row to the book for each line (n, 13) of new points; returns the lines that were left blank.

        Raises SourceError if a header cannot be read.
        """
        around = self._around(np.frombuffer(data, np.uint8), lines)
        texts, ends, ok = _labels(data, lines, [resource.version if resource else b"" for resource, _ in around])
        digests, owners, traits, start = [], [], [], 0
        before: tuple[_Resource | None, _Metric] | None = None
        for i, (end, is_known, at) in enumerate(zip(ends.tolist(), ok.tolist(), around, strict=True)):
            resource, metric = at
            if is_known and resource and end - start + resource.size + metric.size <= labels_max_bytes:
                if at is not before:
                    identity, before = series_hash(resource.identity + metric.identity), at
                digest = identity.copy()
                digest.update(texts[start:end])
                digest.update(b"]")
                digests.append(digest.digest())
                owners.append(resource.owner)
                traits.append(metric.traits)
            else:
                ok[i] = False
                digests.append(bytes(8))
                owners.append(0)
                traits.append(0)
            start = end
        self._book.add(np.frombuffer(b"".join(digests), ">u8").astype(np.uint64), owners, traits, texts, ends)
        return np.flatnonzero(~ok)

    def _around(self, buf: kernel.Bytes, lines: I64) -> list[tuple[_Resource | None, _Metric]]:
        """Resource and metric of each line; neighbours share them."""
        found = []
        before: list[int] = []
        for line in lines[:, 2:11].tolist():
            r0, r1, s0, s1, m0, m1, number, d0, d1 = line
            if line != before:
                resource = self._resource(header(buf, r0, r1, kernel.RESOURCE_CHILDREN))
                self._check_scope(header(buf, s0, s1, kernel.SCOPE_CHILDREN))
                metric_head = header(buf, m0, m1, kernel.METRIC_CHILDREN)
                metric = self._metric(number, metric_head, header(buf, d0, d1, kernel.DATA_CHILDREN))
                before, at = line, (resource, metric)
            found.append(at)
        return found

    def _resource(self, head: bytes) -> _Resource | None:
        """None where the version is no plain text: the plain decoder renders it."""
        if head in self._resources:
            return self._resources[head]
        origin = origin_from(_parsed(wrap(1, head)).resource_metrics[0].resource.attributes, self._tenant)
        pieces = _pieces(Shape(origin, "", "1"))
        version = origin.version.encode()
        entity = _text(origin.entity_id)
        resource = _Resource(
            self._book.owner(pieces.owner), b"[%b,%b," % (_text(origin.tenant), entity), len(entity), version
        )
        is_plain = all(0x20 <= byte < 0x7F for byte in version) and b'"' not in version and b"\\" not in version
        self._resources[head] = resource if is_plain else None
        return self._resources[head]

    def _check_scope(self, head: bytes) -> None:
        if head not in self._scopes:
            _parsed(wrap(1, wrap(2, head)))
            self._scopes.add(head)

    def _metric(self, number: int, head: bytes, data: bytes) -> _Metric:
        key = number, head, data
        found = self._metrics.get(key)
        if found is None:
            request = _parsed(wrap(1, wrap(2, wrap(2, head + wrap(number, data)))))
            shape = number_shape(_NOBODY, request.resource_metrics[0].scope_metrics[0].metrics[0])
            name = _text(shape.name)
            found = self._metrics[key] = _Metric(self._book.traits(_pieces(shape).traits), name + b",", len(name))
        return found


_NOBODY = Origin("", "", "", "")


def _labels(data: bytes, lines: I64, versions: list[bytes]) -> tuple[bytes, I64, Bool]:
    """Labels of each line as JSON, where each ends, and for which this holds."""
    buf, n = np.frombuffer(data, np.uint8), len(lines)
    extra = np.full((n, 4), -1, np.int64)
    room = int((lines[:, 12] - lines[:, 11]).sum()) + 2 * n
    if any(versions):
        places, tail = {}, _VERSION
        for version in dict.fromkeys(versions):
            places[version] = len(data) + len(tail)
            tail += version
        for i, version in enumerate(versions):
            if version:
                extra[i] = len(data), len(data) + len(_VERSION), places[version], places[version] + len(version)
                room += len(version) + 16
        buf = np.frombuffer(data + tail, np.uint8)
    out, ends, ok = np.empty(room, np.uint8), np.empty(n, np.int64), np.empty(n, np.bool_)
    kernel.labels(buf, lines, extra, out, ends, ok)
    texts = out[: ends[-1]].tobytes()
    if OLD_IN_JSON.search(texts):  # the plain decoder knows the name that it has now
        for i, (start, end) in enumerate(pairwise([0, *ends.tolist()])):
            ok[i] &= OLD_IN_JSON.search(texts, start, end) is None
    return texts, ends, ok


def header(buf: kernel.Bytes, start: int, end: int, children: int) -> bytes:
    """A level without its children."""
    out = np.empty(end - start, np.uint8)
    return out[: kernel.header(buf, start, end, children, out)].tobytes()


def _parsed(request: bytes) -> ExportMetricsServiceRequest:
    try:
        parsed: ExportMetricsServiceRequest = ExportMetricsServiceRequest.FromString(request)
        return parsed
    except DecodeError as error:
        raise SourceError("a header cannot be read", code="OTLP_INVALID") from error


def _pieces(shape: Shape) -> Pieces:
    return Pieces.of(Rendered.of(definition_of(shape, "0" * 16, {})))


def _text(value: str) -> bytes:
    """A string in RFC 8785 form."""
    return json.dumps(value, ensure_ascii=False).encode()
