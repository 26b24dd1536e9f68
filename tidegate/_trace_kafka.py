"""The telemetry behind an incident, looked up on Kafka: from the frame back to the message that a source sent.

Every batch says which task wrote it, and a task of normalise is named after the partition that it reads. So the way
goes from the frame to its writer, if that is a stage that derives to the batch of logs or spans before it, and from
there to the source's own partition, whose messages are decoded once more to see which of them held the points.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa

import schemas as sc
from schemas.core import NS, Bool, Message
from streams import FROM, KIND, Source, SourceError, Stretch, kafka
from tidegate import _catalogue, _history
from tidegate._run import Kept, find
from tidegate._settings import Settings
from tidegate._trace import Hop, Trace, Way, hop_of, last_by, newest, telemetry_hops, traced, way_of

_MARGIN_NS = 600 * NS
_DERIVED = {"derive-logs": (sc.LOGS, sc.LOG_FIELDS), "derive-spans": (sc.SPANS, sc.SPAN_FIELDS)}
_TIME = {sc.LOGS: "t", sc.SPANS: "end"}


def trace(settings: Settings, brokers: str, name: str, *, fault_ns: int = 0) -> Trace:
    """The trace of an incident that lies on Kafka. name: as `tidegate explain` takes it.

    Raises TransportError, SettingsError, NotFoundError.
    """
    with _history.open_history(settings, brokers) as history:
        existing = history.partitions()
        control = list(history.messages(t for t in (sc.INCIDENTS, sc.DIAGNOSES, sc.ACTIONS) if t in existing))
        meant, _ = find(Kept.of(control), name)
        around = Stretch(max(meant.opened_ns - _MARGIN_NS, 1), meant.as_of_ns + _MARGIN_NS)
        anomalies = history.messages([sc.ANOMALIES], around) if sc.ANOMALIES in existing else ()
        way = way_of(control, anomalies, meant.incident_id, fault_ns=fault_ns)
        if way.first is None or sc.FRAMES not in existing:
            return traced(way, ())
        shard = sc.shard_of(way.first.tenant, way.first.service, settings.streams.core().shards)
        frames = history.messages([sc.FRAMES], _around(way))
        hops, framed = telemetry_hops(way, frames, shard % existing[sc.FRAMES])
        return traced(way, [*before(history, way, framed), *hops] if framed else hops)


def before(history: "kafka.KafkaHistory", way: Way, framed: Mapping[str, Message]) -> Iterator[Hop]:
    """Hops before the last frame, as far as they can be found. framed: last frame of each writer.

    Partitions of a source are read at different speeds, so the frame that was written last need not hold the newest
    points. The window waited for the message that was received last, whichever partition that lies in.
    """
    last = newest(framed)
    stage, topic = last.header(FROM).partition("@")[0], ""
    written = {log: frame for name, frame in framed.items() for of, _, log in [name.partition("@")] if of == stage}
    if stage in _DERIVED:
        topic, fields = _DERIVED[stage]
        written = last_by(
            (m for m in history.messages([topic], _around(way)) if not sc.record_type(m)),
            lambda batch: batch.header(FROM).partition("@")[2],
            lambda batch: (
                batch.received_ns <= last.received_ns and _has_rows(way, topic, sc.decode_rows(batch.value, fields))
            ),
        )
    if not written:
        return
    sent = _sent(history, way, topic, written)
    if sent:
        yield hop_of("received", newest(sent))
    if topic:
        yield hop_of(
            "normalised", written[max(sent, key=lambda log: sent[log].received_ns)] if sent else newest(written)
        )


def _sent(history: "kafka.KafkaHistory", way: Way, topic: str, written: Mapping[str, Message]) -> dict[str, Message]:
    """The last message of each partition of a source that held something of the window.

    written: by partition ("topic/0"), what was made of its messages; what was sent afterwards is not in it.
    """
    holds = _sender_of(way, topic)

    def log_of(message: Message) -> str:
        return f"{message.topic}/{message.partition}"

    def is_meant(message: Message) -> bool:
        frame = written.get(log_of(message))
        return frame is not None and message.received_ns <= frame.received_ns and holds(message)

    sources = sorted({log.rpartition("/")[0] for log in written} & set(history.partitions()))
    return last_by(history.messages(sources, _around(way)), log_of, is_meant) if sources else {}


def _around(way: Way) -> Stretch:
    start, end = way.stretch
    return Stretch(max(start - _MARGIN_NS, 1), end + _MARGIN_NS)


def _has_rows(way: Way, topic: str, batch: pa.RecordBatch | None) -> bool:
    """Whether log lines or spans of the service lie in the window."""
    if batch is None or way.first is None or not batch.num_rows:
        return False
    start, end = way.stretch
    t = batch.column(_TIME[topic]).cast(pa.int64()).to_numpy(zero_copy_only=False)
    services = batch.column("service").to_pylist()
    within: Bool = (t >= start) & (t < end)
    return any(is_in and service == way.first.service for is_in, service in zip(within, services, strict=True))


def _sender_of(way: Way, topic: str) -> Callable[[Message], bool]:
    """Whether a source message held points of the series, or rows of the topic for the service, in the window."""
    sources: list[Source] = list(_catalogue.find("sources").values())
    by_kind = {source.kind: source for source in sources}
    by_topic = {name: source for source in sources for name in source.topics}
    start, end = way.stretch
    series = way.series

    def holds(message: Message) -> bool:
        source = by_kind.get(message.header(KIND)) or by_topic.get(message.topic)
        if source is None or sc.record_type(message):
            return False
        try:
            found = source.decode(message)
        except SourceError:
            return False  # it became a dead letter, so nothing of it went anywhere
        if topic:
            return _has_rows(way, topic, found.logs if topic == sc.LOGS else found.spans)
        points = found.points
        return bool((np.isin(points.series, series) & (points.t >= start) & (points.t < end)).any())

    return holds
