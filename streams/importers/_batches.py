"""From rows in event time to what a Collector would have sent: batches, marks around them, dead letters beside them."""

import re
from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

from schemas import DEAD_LETTERS, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, Coverage, DeadLetter, Signal, Watermark
from schemas import emit as as_event
from schemas import record_id, sha256
from schemas.core import NS, Emit
from streams._import import ABSENT, ROWS
from streams._otlp_encode import Attributes, request

LETTER = "tidegate-dead-letter"
"""The header of a dead letter that holds its `DeadLetter` record as JSON; the value is the original bytes."""

TOPIC_OF: dict[Signal, str] = {"metrics": OTLP_METRICS, "logs": OTLP_LOGS, "traces": OTLP_SPANS}
_BATCH_NS = 10 * NS
_BATCH_ROWS = 1000  # the Collector's batches have 8192 at most; frames close at 1000 points, so a message is a frame


class Row(NamedTuple):
    """One row as a framed item (or several, then `size` says how many) of a resource; absent: cells without value."""

    t_ns: int
    resource: Attributes
    item: bytes
    size: int = 1
    absent: int = 0


def batched(signal: Signal, rows: Iterable[Row]) -> Iterator[Emit]:
    """Rows in order of time as messages of at most 10 s of event time and 1000 rows, grouped by resource."""
    batch: list[Row] = []
    size, pane = 0, 0
    for row in rows:
        if batch and (row.t_ns // _BATCH_NS != pane or size + row.size > _BATCH_ROWS):
            yield _message(signal, batch, size)
            batch, size = [], 0
        pane, size = row.t_ns // _BATCH_NS, size + row.size
        batch.append(row)
    if batch:
        yield _message(signal, batch, size)


def stretches(times: Iterable[int], silence_ns: int) -> list[tuple[int, int]]:
    """[first, last] of each stretch of the sorted times that has no hole longer than `silence_ns`.

    >>> stretches([1, 2, 9, 10], 5)
    [(1, 2), (9, 10)]
    """
    found: list[tuple[int, int]] = []
    for t in times:
        if found and t - found[-1][1] <= silence_ns:
            found[-1] = (found[-1][0], max(t, found[-1][1]))
        else:
            found.append((t, t))
    return found


def coverage(source: str, signal: Signal, spans: Iterable[tuple[int, int]], at_ns: int) -> Iterator[Emit]:
    """What was recorded of a signal, said at `at_ns`, before anything else."""
    for start, end in spans:
        mark = Coverage(signal=signal, start_ns=start, end_ns=end)
        id = record_id(Coverage.TYPE, source, signal, start, end)
        yield as_event(TOPIC_OF[signal], mark, id=id, key="", source=source, event_ns=at_ns)


def finals(source: str, signals: Iterable[Signal], through_ns: int) -> Iterator[Emit]:
    """The end of each topic that was used."""
    for signal in signals:
        mark = Watermark(stage=source, through_ns=through_ns, final=True)
        id = record_id(Watermark.TYPE, source, signal, through_ns)
        yield as_event(TOPIC_OF[signal], mark, id=id, key="", source=source, event_ns=through_ns)


class Morgue:
    """Collects rows that cannot be converted, so that none is dropped silently; `letters` gives them as messages."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._number = count()
        self._found: list[Emit] = []

    def keep(self, raw: bytes, *, reason: str, what: str, where: str, event_ns: int) -> None:
        """where: file and line. event_ns: of the row if it is known, else of the row before it."""
        digest = sha256(raw)
        letter = DeadLetter(
            id=record_id(DeadLetter.TYPE, self._source, where, next(self._number), digest), reason=reason,
            what=f"{where}: {what}", source=self._source, stage="import", content="record", count=1,
            event_ns=event_ns, sha256=digest,
        )  # fmt: skip
        headers = ((LETTER, letter.to_bytes()),)
        self._found.append(Emit(DEAD_LETTERS, self._source.encode(), raw, headers, event_ns))

    def letters(self) -> list[Emit]:
        """What was kept since the last call, in order of event time."""
        found, self._found = sorted(self._found, key=lambda e: e.event_ns), []
        return found


def metric_name(column: str) -> tuple[str, str]:
    """A column's name as a metric's name and unit.

    >>> metric_name("PodServerLatencyP99(s)"), metric_name("CpuUsageRate(%)"), metric_name("queue length [ms]")
    (('pod_server_latency_p99', 's'), ('cpu_usage_rate', '%'), ('queue_length', 'ms'))
    """
    found = re.fullmatch(r"\s*(.*?)\s*(?:[(\[]([^)\]]*)[)\]])?\s*", column, re.DOTALL)
    name, unit = (found[1], found[2] or "") if found else (column, "")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^0-9A-Za-z.]+", "_", words).strip("_").lower() or "value", unit


def _message(signal: Signal, batch: list[Row], size: int) -> Emit:
    groups: dict[Attributes, list[bytes]] = {}
    for row in batch:
        groups.setdefault(row.resource, []).append(row.item)
    headers: tuple[tuple[str, bytes], ...] = ((ROWS, str(size).encode()),)
    if absent := sum(row.absent for row in batch):
        headers += ((ABSENT, str(absent).encode()),)
    return Emit(TOPIC_OF[signal], b"", request(groups.items()), headers, batch[-1].t_ns)
