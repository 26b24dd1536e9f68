"""A replay from Kafka: the stretch that is asked for, who wrote it, and what a start in mid-history needs besides.

Who begins in mid-history has not heard what was said once, earlier. So definitions of series are taken from their own
topic and put in front; and writers that say nothing in the stretch, because they had declared themselves idle before,
are taken for idle until they speak. A replay of everything that is kept gets neither: it hears what the live run heard.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import schemas as sc
from schemas.core import NS, Emit, Message
from streams import KIND, Place, Recording, Source, SourceError, Stretch, is_reference, plan, writer_of
from tidegate import _catalogue, _pipeline
from tidegate._errors import SettingsError
from tidegate._pipeline import Pipeline
from tidegate._settings import Settings

if TYPE_CHECKING:
    from streams import kafka

_DEFINITIONS = 2000  # of one frame that is put in front


def open_history(settings: Settings, brokers: str) -> "kafka.KafkaHistory":
    """Kafka to be read again, once it has been asked whether it can. Raises TransportError, SettingsError."""
    from streams import kafka  # the extra `kafka` may be absent

    plain = settings.kafka.plain(brokers)
    kafka.probe(plain)
    return kafka.KafkaHistory(plain)


def time_ns(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 timestamp (UTC if it says no zone) or of epoch seconds.

    >>> time_ns("2026-01-01T12:00:00.5Z") == time_ns("1767268800.5")
    True
    """
    head, _, rest = text.strip().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        if head.isascii() and head.isdigit() and digits == rest:
            whole = int(head)
        else:
            at = datetime.fromisoformat(head + rest[len(digits) :])
            whole = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
        if not 0 <= whole < 1 << 33 or len(digits) > 9:
            raise ValueError
    except (ValueError, OverflowError) as error:
        todo = "Write 2026-01-01T12:00:00Z, or seconds since 1970"
        raise SettingsError(f"'{text[:60]}' is not a time", todo=todo) from error
    return whole * NS + int(digits.ljust(9, "0") or 0)


def stretch_of(begin: str | None, end: str | None, *, by_content: bool = False) -> Stretch:
    """The stretch that the command line names. Raises SettingsError."""
    stretch = Stretch(time_ns(begin) if begin else 0, time_ns(end) if end else 0)
    if stretch.to_ns and stretch.to_ns <= stretch.from_ns:
        raise SettingsError(f"--to {end} is not after --from {begin}", todo="Give an end that lies after the beginning")
    return replace(stretch, time_of=content_time(_catalogue.find("sources").values())) if by_content else stretch


def content_time(sources: Any) -> Callable[[Message], int]:
    """Event time of source messages by what is in them: the newest sample, log line or span; else as they say."""
    by_kind: dict[str, Source] = {source.kind: source for source in sources}
    by_topic = {topic: source for source in by_kind.values() for topic in source.topics}

    def newest(message: Message) -> int:
        source = by_kind.get(message.header(KIND)) or by_topic.get(message.topic)
        if source is None or sc.record_type(message):
            return message.event_ns
        try:
            found = source.decode(message)
        except SourceError:
            return message.event_ns  # it will be a dead letter, at the time at which it came
        times = [found.points.t, found.histograms.t]
        for rows, column in ((found.logs, "t"), (found.spans, "end")):
            if rows is not None:
                times.append(rows.column(column).cast(pa.int64()).to_numpy(zero_copy_only=False))
        return max((int(t.max()) for t in times if len(t)), default=message.event_ns)

    return newest


def on_kafka(pipeline: Pipeline, settings: Settings, existing: Mapping[str, int]) -> tuple[Pipeline, int]:
    """The pipeline with the tasks that write on Kafka what it reads, and the partitions of what they write.

    existing: partitions of the topics that exist.
    """
    if not pipeline.outside:
        return pipeline, settings.streams.partitions
    partitions = existing.get(sc.FRAMES, settings.streams.partitions)
    whole = _pipeline.build(settings).stages
    plans = plan(whole, sharded=_pipeline.SHARDED, partitions=partitions, sources=existing)
    tasks = {name: [writer_of(name, instance) for instance, _ in p.tasks.values()] for name, p in plans.items()}
    outside = {topic: tuple(w for name in names for w in tasks[name]) for topic, names in pipeline.outside.items()}
    return replace(pipeline, outside=outside), partitions


def in_recording(pipeline: Pipeline, settings: Settings, recording: Recording) -> tuple[Pipeline, int]:
    """The pipeline with the tasks whose marks lie in a recording, and the partitions of what they wrote."""
    held = recording.topics()
    outside, partitions = dict(pipeline.outside), settings.streams.partitions
    for topic, stages in pipeline.outside.items():
        if topic in held:
            keys = pq.read_table(recording.path / f"{topic}.parquet", columns=["key"]).column("key").unique()
            names = sorted(key.decode("utf-8", "replace") for key in keys.to_pylist())
            found = tuple(name for name in names if "@" in name and name.partition("@")[0] in stages)
            outside[topic] = found or stages
            if sc.TOPICS[topic].partitioned:
                partitions = max(partitions, held[topic].partitions)
    return replace(pipeline, outside=outside), partitions


def messages(history: "kafka.KafkaHistory", pipeline: Pipeline, partitions: int, stretch: Stretch) -> Iterator[Message]:
    """What a replay of the stretch reads, in order, with what stands in front of it."""
    existing = history.partitions()
    wanted = {topic for stage in pipeline.stages for topic in stage.inputs}
    made = {topic for stage in pipeline.stages for topic in stage.outputs}
    topics = [t for t in sorted(wanted & set(existing)) if t not in made or is_reference(t) or t in pipeline.outside]
    lost = any(extent.low > 0 for place, extent in history.extents(topics).items() if not is_reference(place[0]))
    if stretch.from_ns or lost:
        yield from _idle(pipeline, partitions)
        if sc.FRAMES in pipeline.outside and sc.SERIES in existing:
            known = history.messages([sc.SERIES], Stretch(0, stretch.to_ns))
            yield from _definitions(known, stretch.from_ns)
    yield from history.messages(topics, stretch)


def shortfall(history: "kafka.KafkaHistory", topics: Sequence[str], stretch: Stretch) -> str:
    """A sentence if the stretch begins before what is kept, else an empty string."""
    extents = history.extents(t for t in topics if not is_reference(t))
    oldest: dict[str, int] = {}
    for (topic, _), at in history.oldest(extents, stretch).items():
        oldest[topic] = min(oldest.get(topic, at), at)
    cut = {topic for (topic, _), extent in extents.items() if extent.low > 0}
    first = min(oldest.values(), default=0)
    late = {topic: at for topic, at in oldest.items() if topic in cut or at == first}
    topic = max(late, key=lambda name: late[name], default="")
    if not stretch.from_ns or not topic or late[topic] <= stretch.from_ns:
        return ""
    why = "older records were deleted" if topic in cut else "there is nothing older"
    missing_s = (late[topic] - stretch.from_ns) / NS
    return f"{topic} begins at {sc.rfc3339(late[topic])}, {missing_s:,.0f} s after --from; {why}"


def _idle(pipeline: Pipeline, partitions: int) -> Iterator[Message]:
    """Marks by which every writer outside is idle until it speaks."""
    for topic, writers in pipeline.outside.items():
        for partition in range(partitions if sc.TOPICS[topic].partitioned else 1):
            for writer in writers:
                stage, _, instance = writer.partition("@")
                mark = sc.Watermark(stage=stage, instance=instance, through_ns=0, idle=True)
                identity = sc.record_id("watermark", stage, instance, "0", "before")
                emit = sc.emit(topic, mark, id=identity, key=writer, source="tidegate/replay", event_ns=0)
                yield _placed(emit, (topic, partition), 0)


def _definitions(known: Iterator[Message], at_ns: int) -> Iterator[Message]:
    """Frames without points that say which series there are."""
    found = [record for message in known if isinstance(record := sc.read(message), sc.SeriesDef)]
    none = np.zeros(0, np.int64)
    for first in range(0, len(found), _DEFINITIONS):
        definitions = found[first : first + _DEFINITIONS]
        frame = sc.encode_frame(none.astype(np.uint64), none, none.astype(np.float64), shards=none, defs=definitions)
        yield _placed(Emit(sc.FRAMES, b"", frame, (), at_ns), (sc.FRAMES, 0), at_ns)


def _placed(emit: Emit, place: Place, at_ns: int) -> Message:
    return Message(*place, 0, emit.key, emit.value, emit.headers, at_ns, at_ns)
