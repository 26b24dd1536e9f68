"""Play: a recording put into the source topics of Kafka; record: what lies on Kafka as a recording.

Played are the bytes that sources once sent, with their keys, headers and partitions, and the marks between them: who
reads them finds what the recorded run found, and a replay has its digest. What stages made stays behind. Where Kafka
has fewer partitions than were recorded they are folded, and marks that end a source are kept until all are through.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import schemas as sc
from schemas.core import NS, Message
from streams import Place, Recording, RecordingWriter, Stretch, TransportError
from tidegate import __version__
from tidegate._errors import PlayError
from tidegate._play import SOURCE_TOPICS, Played, final_marks
from tidegate._replay import REFERENCE

if TYPE_CHECKING:
    from streams import kafka

_MADE_HERE = "tidegate/"
_PROGRESS = 100
Progress = Callable[[int, int], None]


def play(
    recording: Recording, history: "kafka.KafkaHistory", writer: "kafka.KafkaWriter", *, speed: float = 1.0,
    resume: bool = False, on_progress: Progress = lambda done, total: None,
    now_s: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> Played:  # fmt: skip
    """Produce every recorded source message in its order, spaced as it was received, divided by `speed` (0: at once).

    resume: go on behind the last message of each partition, which must be one of this recording.
    on_progress: messages looked at, and how many there are. Raises PlayError: PLAY_EMPTY, PLAY_NOT_OURS;
    TransportError: TOPIC_MISSING and what producing raises.
    """
    if speed < 0:
        raise PlayError(f"a speed of {speed} is none", todo="Give max for as fast as is accepted, 1 for as it was")
    names = [name for name in recording.topics() if name in (*SOURCE_TOPICS, *REFERENCE)]
    total = sum(recording.topics()[name].rows for name in names)
    partitions = _partitions(history, names)
    skip = _done(recording, history, names, partitions) if resume else Counter()
    played, done, first_ns, started_s = Played(), 0, 0, now_s()
    for place, message in _placed(recording, names, partitions, played):
        done += 1
        if skip[place] > 0:
            skip[place] -= 1
            played.resumed += 1
            continue
        first_ns = first_ns or message.received_ns
        played.event_time_s = max(played.event_time_s, (message.received_ns - first_ns) / NS)
        if speed and (early_s := started_s + played.event_time_s / speed - now_s()) > 0:
            sleep(early_s)
        writer.write(message, place[1])
        played.sent, played.bytes = played.sent + 1, played.bytes + len(message.value)
        if done % _PROGRESS == 0:
            on_progress(done, total)
    writer.flush()
    if not played.sent and not played.resumed:
        raise PlayError("nothing to play: no message of a source", where=str(recording.path), code="PLAY_EMPTY")
    on_progress(total, total)
    return played


def record(
    history: "kafka.KafkaHistory", out: Path, stretch: Stretch, *, topics: tuple[str, ...] | None = None,
    final: bool = False, on_progress: Progress = lambda done, total: None,
) -> dict[str, int]:  # fmt: skip
    """Turn what lies on Kafka into a recording; returns how many records of each topic.

    topics: only these; all without, except manifests of snapshots, which mean nothing elsewhere. final: as for the log
    of `up`. Raises PlayError, RecordingError, TransportError.
    """
    existing = history.partitions()
    if missing := sorted(set(topics or ()) - set(existing)):
        raise PlayError(f"there is no topic '{missing[0]}'", todo=f"Topics on Kafka: {', '.join(existing) or 'none'}")
    wanted = [name for name in existing if (topics is None and name != sc.SNAPSHOTS) or name in (topics or ())]
    total = sum(extent.end - extent.low for extent in history.extents(wanted).values())
    counts: Counter[str] = Counter()
    newest: dict[tuple[str, int], tuple[int, int]] = {}
    with RecordingWriter(out, created_by=f"tidegate {__version__} record") as writer:
        for message in history.messages(wanted, stretch):
            writer.append(message)
            counts[message.topic] += 1
            place = message.topic, message.partition
            newest[place] = message.offset + 1, max(message.received_ns, newest.get(place, (0, 0))[1])
            if counts.total() % _PROGRESS == 0:
                on_progress(counts.total(), total)
        for mark in final_marks(newest) if final else ():
            writer.append(mark)
            counts[mark.topic] += 1
    return dict(counts)


def _partitions(history: "kafka.KafkaHistory", names: list[str]) -> dict[str, int]:
    existing = history.partitions()
    if missing := [name for name in names if name not in existing]:
        raise TransportError(
            f"topics are missing: {', '.join(missing)}", code="TOPIC_MISSING", todo="Run `tidegate topics create`"
        )
    return existing


def _placed(
    recording: Recording, names: list[str], partitions: Mapping[str, int], played: Played
) -> Iterator[tuple[Place, Message]]:
    """What is played, in its order, and where to; what is not is counted."""
    folded = {name for name in names if recording.topics()[name].partitions > partitions[name]}
    last: list[tuple[Place, Message]] = []
    for message in recording.messages(names):
        if message.topic in REFERENCE and _is_made_here(message):
            played.skipped[message.topic] += 1
            continue
        place = message.topic, message.partition % partitions[message.topic]
        if message.topic in folded and _is_final(message):
            last.append((place, message))
        else:
            yield place, message
    yield from last


def _done(
    recording: Recording, history: "kafka.KafkaHistory", names: list[str], partitions: Mapping[str, int]
) -> Counter[Place]:
    """How many messages of each place lie on Kafka already, by where its last message stands in the recording."""
    extents = history.extents(names)
    last = history.last(extents)
    seen: Counter[Place] = Counter()
    done: Counter[Place] = Counter()
    for place, message in _placed(recording, names, partitions, Played()):
        seen[place] += 1
        if place in last and _is_same(message, last[place]):
            held = extents[place].end - extents[place].low
            if not done[place] or seen[place] == held:  # where a message occurs more than once, the count decides
                done[place] = seen[place]
    if foreign := sorted(place for place in last if place[0] in SOURCE_TOPICS and not done[place]):
        raise PlayError(
            f"the last message of {foreign[0][0]}/{foreign[0][1]} is not one of this recording", code="PLAY_NOT_OURS",
            where=str(recording.path), todo="Play without --resume, or into topics where nobody else writes",
        )  # fmt: skip
    return done


def _is_same(one: Message, other: Message) -> bool:
    return one._replace(partition=0, offset=0) == other._replace(partition=0, offset=0)


def _is_made_here(message: Message) -> bool:
    return message.header("ce_source").startswith(_MADE_HERE)


def _is_final(message: Message) -> bool:
    if sc.record_type(message) != "watermark":
        return False
    mark = sc.read(message)
    return isinstance(mark, sc.Watermark) and mark.final
