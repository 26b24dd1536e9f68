"""Log lines of other stores as OTLP log records: what the importers of Loki and Elasticsearch share."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from schemas import Signal
from schemas.core import Emit
from streams._otlp_encode import Attributes, log_record
from streams.importers._batches import Morgue, Row, Spans, batched, recorded

_MOST_BODY = 64 << 10


class Line(NamedTuple):
    """at_ns: when. service: empty for unknown. level: as it stands, empty if there is none. trace: hex or empty."""

    at_ns: int
    service: str
    pod: str
    body: str
    level: str = ""
    trace: str = ""


def emits(source: str, lines: Iterable[Line], morgue: Morgue) -> Iterator[Emit]:
    """All lines in order of time, with their marks; they are in memory once."""
    rows = sorted((_row(line) for line in lines), key=lambda row: row.t_ns)
    covered: dict[Signal, Spans] = {"logs": [(rows[0].t_ns, rows[-1].t_ns)] if rows else []}
    yield from recorded(source, covered, [batched("logs", rows), morgue.letters()])


def _row(line: Line) -> Row:
    resource: Attributes = (("service.name", line.service),) if line.service else ()
    resource = (*resource, ("k8s.pod.name", line.pod)) if line.pod else resource
    try:
        trace = bytes.fromhex(line.trace) if len(line.trace) == 32 else b""
    except ValueError:
        trace = b""
    body = line.body.encode("utf-8", "replace")[:_MOST_BODY]
    return Row(line.at_ns, resource, log_record(line.at_ns, body, text=line.level.upper(), trace=trace))
