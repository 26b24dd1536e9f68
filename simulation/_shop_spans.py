"""Requests of the shop become spans and log lines, a few hundred at a time: numpy fills byte templates.

A call is a server span in the callee inside a client span in the caller; what lies between the two is network.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.core import F64, I64, Bool
from simulation._shop_plan import MILLIS, ORDER, Call, Log
from streams._otlp_encode import Attributes, Template, fixed64, log_record, span

Bytes = NDArray[np.uint8]
_SERVER, _CLIENT = 2, 3
_TRACE, _SPAN, _PARENT = b"\xa1" * 16, b"\xa2" * 8, b"\xa3" * 8
_START, _END = b"\xa4" * 8, b"\xa5" * 8
_SPREAD = 0.3  # sigma of the lognormal of all durations
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


class Part(NamedTuple):
    """Some framed items of one instance."""

    instance: int
    items: bytes
    size: int
    newest_ns: int


@dataclass
class Served:
    """What the requests of one pane left behind."""

    spans: list[Part] = field(default_factory=list)
    logs: list[Part] = field(default_factory=list)
    durations: dict[tuple[int, str, int], list[F64]] = field(default_factory=dict)
    """Seconds of server spans by (instance, operation, status)."""


class Requests:
    """n requests that go the same way; `instances[service]` (n,) says which instance of the service serves each.

    kept: of spans of a service that end at int64 ns (n,), whether they arrive, bool (n,).
    """

    def __init__(
        self, rng: np.random.Generator, start: I64, instances: Mapping[str, I64], out: Served,
        kept: Callable[[str, I64], Bool],
    ) -> None:  # fmt: skip
        self._rng, self._n, self._instances, self._out = rng, len(start), instances, out
        self._kept = kept
        self._trace = self._random(16)
        self._start = start

    def serve(self, call: Call) -> None:
        self._serve(call, self._start, None)

    def _serve(self, call: Call, start: I64, parent: Bytes | None) -> I64:
        """Spans and logs of one call and all below it; returns its end, int64 ns (n,)."""
        own, here = self._random(8), self._instances[call.service]
        work = self._lognormal(call.work_ms)
        cursor = start + (work * 0.6).astype(np.int64)
        for child in call.calls:
            client, sent = self._random(8), cursor
            if child.lost_ms:
                cursor = sent + self._lognormal(child.lost_ms).astype(np.int64)
            else:
                one_way = self._lognormal(child.network_ms).astype(np.int64)
                received = self._serve(child, sent + one_way, client)
                cursor = received + one_way
            template = _span_template(child.name, _CLIENT, child.status, child.service, True)
            times = {"start": fixed64(sent), "end": fixed64(cursor)}
            self._put_spans(template, call.service, cursor, {"span": client, "parent": own, **times})
        end = cursor + (work * 0.4).astype(np.int64)
        template = _span_template(call.name, _SERVER, call.status, "", parent is not None)
        above = {} if parent is None else {"parent": parent}
        times = {"start": fixed64(start), "end": fixed64(end)}
        self._put_spans(template, call.service, end, {"span": own, **times, **above})
        texts = {"order": _hex(self._trace[:, :4]), "millis": _digits((end - start) // 1_000_000)}
        for i, log in enumerate(call.logs, 1):
            at = start + (end - start) * i // len(call.logs)
            columns = {"span": own, "start": fixed64(at), **texts}
            self._put(self._out.logs, _log_template(log), here, at, np.ones(self._n, bool), columns)
        seconds = (end - start) / 1e9
        for instance in np.unique(here):
            key = int(instance), call.name, call.status
            self._out.durations.setdefault(key, []).append(seconds[here == instance])
        return end

    def _put_spans(self, template: Template, service: str, end: I64, columns: dict[str, Bytes]) -> None:
        kept = self._kept(service, end)
        self._put(self._out.spans, template, self._instances[service], end, kept, columns)

    def _put(
        self, into: list[Part], template: Template, instances: I64, newest: I64, kept: Bool, columns: dict[str, Bytes]
    ) -> None:
        """Fill the template once for each instance that takes part; newest: event time of each row."""
        columns["trace"] = self._trace
        for instance in np.unique(instances[kept]):
            rows = np.flatnonzero(kept & (instances == instance))
            filled = template.fill(len(rows), **{name: columns[name][rows] for name in template.holes})
            into.append(Part(int(instance), filled, len(rows), int(newest[rows].max())))

    def _random(self, width: int) -> Bytes:
        return np.frombuffer(self._rng.bytes(self._n * width), np.uint8).reshape(self._n, width)

    def _lognormal(self, median_ms: float) -> F64:
        values: F64 = np.exp(self._rng.standard_normal(self._n) * _SPREAD) * (median_ms * 1e6)
        return values


def standalone(instance: int, at_ns: int, log: Log) -> Part:
    """A line of no request."""
    number, text = log.level
    labels: Attributes = (("code.filepath", log.file), ("code.lineno", log.line)) if log.file else ()
    item = log_record(at_ns, log.body.encode(), severity=number, text=text, labels=labels)
    return Part(instance, item, 1, at_ns)


@cache
def _span_template(name: str, kind: int, status: int, peer: str, has_parent: bool) -> Template:
    method, route = name.split(" ", 1)
    answer: Attributes = (("http.response.status_code", status),) if status else (("error.type", "timeout"),)
    labels: Attributes = (("http.request.method", method), *answer)
    labels += (("server.address", peer),) if peer else (("http.route", route),)
    example = span(
        _TRACE, _SPAN, _PARENT if has_parent else b"", name.encode(), int.from_bytes(_START, "little"),
        int.from_bytes(_END, "little"), kind=kind, labels=labels, is_error=status >= 500 or not status,
    )  # fmt: skip
    parent = {"parent": _PARENT} if has_parent else {}
    return Template(example, trace=_TRACE, span=_SPAN, start=_START, end=_END, **parent)


@cache
def _log_template(log: Log) -> Template:
    number, text = log.level
    labels: Attributes = (("code.filepath", log.file), ("code.lineno", log.line)) if log.file else ()
    example = log_record(
        int.from_bytes(_START, "little"), log.body.encode(), severity=number, text=text, trace=_TRACE, span=_SPAN,
        labels=labels,
    )  # fmt: skip
    holes = {"order": ORDER.encode(), "millis": MILLIS.encode()}
    found = {name: marker for name, marker in holes.items() if marker.decode() in log.body}
    return Template(example, trace=_TRACE, span=_SPAN, start=_START, **found)


def _hex(raw: Bytes) -> Bytes:
    """Bytes (n, w) as hex digits (n, 2w)."""
    digits: Bytes = np.stack([_HEX[raw >> 4], _HEX[raw & 15]], axis=2).reshape(len(raw), -1)
    return digits


def _digits(values: I64) -> Bytes:
    """Numbers as three digits (n, 3); above 999 they stand at 999."""
    digits: I64 = np.minimum(values, 999)[:, None] // np.array([100, 10, 1]) % 10
    return (digits + ord("0")).astype(np.uint8)
