"""From rows in event time to what a Collector would have sent: batches, marks around them, dead letters beside them."""

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

import schemas as sc
from schemas.core import NS, Emit
from streams import _dead
from streams._import import ABSENT, ROWS
from streams._otlp_encode import Attributes, request

TOPIC_OF: dict[sc.Signal, str] = {"metrics": sc.OTLP_METRICS, "logs": sc.OTLP_LOGS, "traces": sc.OTLP_SPANS}
Spans = list[tuple[int, int]]
_BATCH_NS = 10 * NS
_BATCH_ROWS = 1000  # the Collector's batches have 8192 at most; frames close at 1000 points, so a message is a frame


class Row(NamedTuple):
    """One row as a framed item (or several, then `size` says how many) of a resource; absent: cells without value."""

    t_ns: int
    resource: Attributes
    item: bytes
    size: int = 1
    absent: int = 0


def batched(signal: sc.Signal, rows: Iterable[Row]) -> Iterator[Emit]:
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


def stretches(times: Iterable[int], silence_ns: int) -> Spans:
    """[first, last] of each stretch of the sorted times that has no hole longer than `silence_ns`.

    >>> stretches([1, 2, 9, 10], 5)
    [(1, 2), (9, 10)]
    """
    found: Spans = []
    for t in times:
        if found and t - found[-1][1] <= silence_ns:
            found[-1] = (found[-1][0], max(t, found[-1][1]))
        else:
            found.append((t, t))
    return found


def recorded(source: str, covered: Mapping[sc.Signal, Spans], parts: Sequence[Iterable[Emit]]) -> Iterator[Emit]:
    """Messages in order of event time with the marks that they need: Coverage, idle after each stretch, final.

    covered: [first, last] of every stretch of each signal. A signal that stops while others go on is declared idle,
    else time would stand still until it comes back; a reader's clock must never decide that.
    """
    used = {signal: spans for signal, spans in covered.items() if spans}
    ends = [time for spans in used.values() for span in spans for time in span]
    begin, last = min(ends, default=0), max(ends, default=0)
    for signal, spans in used.items():
        for start, end in spans:
            mark = sc.Coverage(signal=signal, start_ns=start, end_ns=end + 1)
            yield _mark(source, signal, mark, begin)
    idle = sorted((end, signal) for signal, spans in used.items() for _, end in spans if end < last)
    pauses = (_mark(source, signal, _watermark(signal, end, idle=True), end) for end, signal in idle)
    yield from heapq.merge(*parts, pauses, key=lambda emit: emit.event_ns)
    for signal in used:
        yield _mark(source, signal, _watermark(signal, last, final=True), last)


class Morgue:
    """Collects rows that cannot be converted, so that none is dropped silently; `letters` gives them as messages."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._number = count()
        self._found: list[Emit] = []

    def keep(self, raw: bytes, *, reason: str, what: str, where: str, event_ns: int) -> None:
        """where: file and line. event_ns: of the row if it is known, else of the row before it."""
        digest = sc.sha256(raw)
        letter = sc.DeadLetter(
            id=sc.record_id("dead-letter", self._source, where, next(self._number), digest), reason=reason,
            what=f"{where}: {what}"[:500], source=self._source, stage="import", content="record", count=1,
            event_ns=event_ns, sha256=digest,
        )  # fmt: skip
        self._found.append(_dead._emit(letter, raw, "", ()))

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


def _watermark(signal: sc.Signal, through_ns: int, *, idle: bool = False, final: bool = False) -> sc.Watermark:
    """As the sender that the log sees: sources are named by their topic and partition where no header names them."""
    return sc.Watermark(stage=f"source:{TOPIC_OF[signal]}/0", through_ns=through_ns, idle=idle, final=final)


def _mark(source: str, signal: sc.Signal, mark: sc.Watermark | sc.Coverage, at_ns: int) -> Emit:
    id = sc.record_id(mark.TYPE, source, signal, mark.model_dump_json())
    return sc.emit(TOPIC_OF[signal], mark, id=id, key="", source=source, event_ns=at_ns)


def _message(signal: sc.Signal, batch: list[Row], size: int) -> Emit:
    groups: dict[Attributes, list[bytes]] = {}
    for row in batch:
        groups.setdefault(row.resource, []).append(row.item)
    headers: tuple[tuple[str, bytes], ...] = ((ROWS, str(size).encode()),)
    if absent := sum(row.absent for row in batch):
        headers += ((ABSENT, str(absent).encode()),)
    return Emit(TOPIC_OF[signal], b"", request(groups.items()), headers, batch[-1].t_ns)
