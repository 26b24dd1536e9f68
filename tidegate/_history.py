"""A replay from Kafka: the stretch that is asked for, who wrote it, and what a start in mid-history needs besides.

Who begins in mid-history has not heard what was said once, earlier. So definitions of series are taken from their own
topic and put in front; and writers that say nothing in the stretch, because they had declared themselves idle before,
are taken for idle until they speak. A replay of everything that is kept gets neither: it hears what the live run heard.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import typer

import schemas as sc
from schemas.core import NS, Emit, Message
from streams import Normalise, Place, Recording, Stretch, is_reference, plan, writer_of
from tidegate import _pipeline, _replay
from tidegate._journal import journals_first
from tidegate._pipeline import Pipeline
from tidegate._play import final_marks
from tidegate._progress import bar
from tidegate._replay import Run
from tidegate._run import Kept, find
from tidegate._settings import Settings

if TYPE_CHECKING:
    from streams import kafka

MARGIN_NS = 600 * NS
_DEFINITIONS = 2000  # of one frame that is put in front
_CONTROL = (sc.INCIDENTS, sc.DIAGNOSES, sc.ACTIONS, sc.CHANGES, sc.TOPOLOGY)


def open_history(settings: Settings, brokers: str) -> "kafka.KafkaHistory":
    """Kafka to be read again, once it has been asked whether it can. Raises TransportError, SettingsError."""
    from streams import kafka  # the extra `kafka` may be absent

    plain = settings.kafka.plain(brokers)
    kafka.probe(plain)
    return kafka.KafkaHistory(plain)


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
        if topic not in held:
            outside[topic] = ()  # nothing will come there, so nobody waits for it
        else:
            keys = pq.read_table(recording.path / f"{topic}.parquet", columns=["key"]).column("key").unique()
            names = sorted(key.decode("utf-8", "replace") for key in keys.to_pylist())
            found = tuple(name for name in names if "@" in name and name.partition("@")[0] in stages)
            outside[topic] = found or stages
            if sc.TOPICS[topic].partitioned:
                partitions = max(partitions, held[topic].partitions)
    return replace(pipeline, outside=outside), partitions


def replay(
    pipeline: Pipeline, settings: Settings, brokers: str, stretch: Stretch, *, final: bool = False, quiet: bool = False
) -> Run:
    """Replay a stretch of Kafka; says on standard error if Kafka does not reach back so far.

    final: end each source at the end, so that every window closes. Raises TransportError, SettingsError.
    """
    with open_history(settings, brokers) as history:
        pipeline, partitions = on_kafka(pipeline, settings, history.partitions())
        extents = history.extents(topics_of(pipeline, history.partitions()))
        oldest = history.oldest(extents, stretch)
        if said := shortfall(oldest, extents, stretch):
            typer.echo(f"tidegate: {said}", err=True)
        is_whole = not is_cut(oldest, extents, stretch)
        total = max(sum(extent.end - extent.low for extent in extents.values()), 1)
        with bar("replaying from Kafka", quiet=quiet) as move:
            return _replay.replay(
                messages(history, pipeline, partitions, stretch, is_whole=is_whole, final=final), pipeline,
                partitions=partitions, since_ns=stretch.from_ns, on_progress=lambda n, _: move(n / total),
            )  # fmt: skip


def kept(settings: Settings, brokers: str, name: str) -> Kept:
    """What Kafka holds of an incident, diagnosis or action: control records, and anomalies of the time in question.

    Raises TransportError, SettingsError, NotFoundError.
    """
    with open_history(settings, brokers) as history:
        existing = history.partitions()
        found = Kept.of(history.messages(topic for topic in _CONTROL if topic in existing))
        diagnosis, _ = find(found, name)
        pointers = [e.pointer for h in diagnosis.hypotheses for e in h.evidence if e.pointer]
        if pointers and sc.ANOMALIES in existing:
            begin, end = min(p.t_min_ns for p in pointers), max(p.t_max_ns for p in pointers)
            stretch = Stretch(max(begin - MARGIN_NS, 1), end + MARGIN_NS)
            found = replace(found, anomalies=Kept.of(history.messages([sc.ANOMALIES], stretch)).anomalies)
        return found


def messages(
    history: "kafka.KafkaHistory", pipeline: Pipeline, partitions: int, stretch: Stretch, *, is_whole: bool = True,
    final: bool = False,
) -> Iterator[Message]:  # fmt: skip
    """What a replay of the stretch reads, in order, with what stands in front of it and, if `final`, behind it.

    is_whole: nothing lies before it.
    """
    existing = history.partitions()
    topics = topics_of(pipeline, existing)
    if not is_whole:
        yield from _idle(pipeline, partitions)
        if sc.FRAMES in pipeline.outside and sc.SERIES in existing:
            known = history.messages([sc.SERIES], Stretch(0, stretch.to_ns))
            yield from _definitions(known, stretch.from_ns)
    newest: dict[Place, tuple[int, int]] = {}
    for message in journals_first(pipeline.stages, topics, lambda names: history.messages(names, stretch)):
        if final:
            place = message.topic, message.partition
            newest[place] = message.offset + 1, max(message.received_ns, newest.get(place, (0, 0))[1])
        yield message
    yield from final_marks(newest)


def topics_of(pipeline: Pipeline, existing: Mapping[str, int]) -> list[str]:
    """Topics that a replay reads: inputs that no stage of it makes, or that others write too."""
    wanted = {topic for stage in pipeline.stages for topic in stage.inputs} & set(existing)
    made = {topic for stage in pipeline.stages for topic in stage.outputs}
    return sorted(t for t in wanted if t not in made or t in pipeline.outside or is_reference(t))


def is_cut(oldest: Mapping[Place, int], extents: Mapping[Place, "kafka.Extent"], stretch: Stretch) -> bool:
    """Whether something lies before the stretch, or lay there and was deleted. oldest: event time by partition."""
    return any(
        extent.low > 0 or oldest.get(place, stretch.from_ns) < stretch.from_ns
        for place, extent in extents.items()
        if not is_reference(place[0])
    )


def shortfall(oldest: Mapping[Place, int], extents: Mapping[Place, "kafka.Extent"], stretch: Stretch) -> str:
    """A sentence if the stretch begins before what is kept, else an empty string. oldest: event time by partition."""
    begins: dict[str, int] = {}
    for (topic, _), at in oldest.items():
        if not is_reference(topic):
            begins[topic] = min(begins.get(topic, at), at)
    cut = {topic for (topic, _), extent in extents.items() if extent.low > 0}
    told = {topic: at for topic, at in begins.items() if topic in cut or at == min(begins.values())}
    topic = max(told, key=lambda name: told[name], default="")
    if not stretch.from_ns or not topic or told[topic] <= stretch.from_ns:
        return ""
    missing_s, why = (told[topic] - stretch.from_ns) / NS, "older records were deleted"
    why = why if topic in cut else "nothing older is there"
    return f"{topic} begins at {sc.rfc3339(told[topic])}, {missing_s:,.0f} s after --from; {why}"


def _idle(pipeline: Pipeline, partitions: int) -> Iterator[Message]:
    """Marks by which every task that makes time is idle until it speaks; the others never are, so they are awaited."""
    for topic, writers in pipeline.outside.items():
        for partition in range(partitions if sc.TOPICS[topic].partitioned else 1):
            for writer in writers:
                stage, _, instance = writer.partition("@")
                if stage != Normalise.name:
                    continue
                mark = sc.Watermark(stage=stage, instance=instance, through_ns=0, idle=True)
                identity = sc.record_id("watermark", stage, instance, "0", "before")
                emit = sc.emit(topic, mark, id=identity, key=writer, source="tidegate/replay", event_ns=0)
                yield _placed(emit, (topic, partition), 0)


def _definitions(known: Iterator[Message], at_ns: int) -> Iterator[Message]:
    """Frames without points that say which series there are, for readers of either kind."""
    found = {d.id: d for message in known if isinstance(d := sc.read(message), sc.SeriesDef)}
    ids, t = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    value, bucket = np.zeros(0, np.float64), np.zeros(0, np.int16)
    for first in range(0, len(found), _DEFINITIONS):
        some = list(found.values())[first : first + _DEFINITIONS]
        frame = sc.encode_frame(ids, t, value, shards=t, defs=some)
        histograms = sc.encode_histograms(ids, t, bucket, t, defs=some)
        for topic, bytes_ in ((sc.FRAMES, frame), (sc.HISTOGRAMS, histograms)):
            yield _placed(Emit(topic, b"", bytes_, (), at_ns), (topic, 0), at_ns)


def _placed(emit: Emit, place: Place, at_ns: int) -> Message:
    return Message(*place, 0, emit.key, emit.value, emit.headers, at_ns, at_ns)
