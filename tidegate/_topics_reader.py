"""Reads our own topics on Kafka for queries: a partition of frames by event time, definitions of series kept at hand.

The Kafka client blocks, so it reads in threads, few at a time; a read ends early when nobody waits for it any more.
Brokers that do not answer are asked again with fresh connections, as long as the question lasts: most outages are
shorter than that, and a question that has failed is not asked again.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import structlog

import schemas as sc
from diagnosis import QueryFailed
from schemas.core import F64, I64, NS, Message
from streams import KafkaSettings, Place, Stretch, TransportError, kafka

AT_ONCE = 4
SLACK_NS = 60 * NS  # a frame is named by its oldest point and may hold points of some panes more
PATIENCE_S = 5.0
ATTEMPTS = 3  # with PATIENCE_S this is less than the 20 s that a query has
SILENCE = frozenset({"KAFKA_SILENT", "KAFKA_UNREACHABLE"})
T = TypeVar("T")
log = structlog.get_logger("tidegate.topics")


class KafkaTopics:
    """A `diagnosis.TopicsReader`. shards, partitions: of the deployment, as the normalise stage has them.

    Keeps the definitions of all series, about 500 bytes each, from the first question on.
    """

    def __init__(self, settings: KafkaSettings, *, shards: int = 16) -> None:
        self._settings, self._shards = replace(settings, timeout_s=min(settings.timeout_s, PATIENCE_S)), shards
        self._at_once: asyncio.Semaphore | None = None
        self._definitions: dict[tuple[str, str, str], dict[str, bytes]] = {}
        self._read_to = 0
        self._lock = threading.Lock()

    async def definitions(self, tenant: str, service: str, name: str) -> Sequence[sc.SeriesDef]:
        """From the topic of definitions, read on to its end. Raises QueryFailed TOPICS_UNREADABLE."""

        def read(is_wanted: Callable[[], bool]) -> list[sc.SeriesDef]:
            with self._lock:
                self._read_definitions(is_wanted)
                found = self._definitions.get((tenant, service, name), {})
                return [sc.SeriesDef.from_bytes(found[identity]) for identity in sorted(found)]

        return await self._in_thread(read)

    async def points(
        self, tenant: str, service: str, series: Sequence[str], start_ns: int, end_ns: int
    ) -> Mapping[str, tuple[I64, F64]]:
        """From the frames of the partition that owns the service. Raises QueryFailed TOPICS_UNREADABLE."""
        wanted = np.unique(np.array([int(identity, 16) for identity in series], np.uint64))

        def read(is_wanted: Callable[[], bool]) -> dict[str, tuple[I64, F64]]:
            found: list[tuple[Any, I64, F64]] = []
            stretch = Stretch(start_ns - SLACK_NS, end_ns)
            with _Partition(self._settings, self._owner(tenant, service)) as history:
                for message in _while(is_wanted, history.messages([sc.FRAMES], stretch)):
                    if sc.record_type(message):
                        continue  # marks
                    frame = sc.decode_frame(message.value)
                    mine = np.isin(frame.series, wanted) & (frame.t >= start_ns) & (frame.t < end_ns)
                    if mine.any():
                        found.append((frame.series[mine], frame.t[mine], frame.value[mine]))
            return _by_series(found)

        return await self._in_thread(read)

    def _read_definitions(self, is_wanted: Callable[[], bool]) -> None:
        with _From(self._settings, self._read_to) as history:
            for message in _while(is_wanted, history.messages([sc.SERIES])):
                self._read_to = message.offset + 1
                if sc.record_type(message) == "series":
                    record = sc.SeriesDef.from_bytes(message.value)
                    place = record.tenant, record.service, record.name
                    self._definitions.setdefault(place, {})[record.id] = message.value

    def _owner(self, tenant: str, service: str) -> Callable[[int], int]:
        shard = sc.shard_of(tenant, service, self._shards)
        return lambda partitions: shard % partitions

    async def _in_thread(self, read: Callable[[Callable[[], bool]], T]) -> T:
        self._at_once = self._at_once or asyncio.Semaphore(AT_ONCE)
        async with self._at_once:
            gone = threading.Event()
            try:
                return await asyncio.to_thread(_patiently, read, gone)
            except TransportError as error:
                raise QueryFailed("TOPICS_UNREADABLE", str(error)) from error
            finally:
                gone.set()


def _patiently(read: Callable[[Callable[[], bool]], T], gone: threading.Event) -> T:
    """What is read, asked for again where brokers are silent. Raises TransportError."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return read(lambda: not gone.is_set())
        except TransportError as error:
            if error.code not in SILENCE or attempt == ATTEMPTS or gone.wait(0.2):
                raise
            log.warning("topics read again", attempt=attempt, code=error.code, what=str(error))
    raise AssertionError("the last attempt returns or raises")


def _while(is_wanted: Callable[[], bool], messages: Iterator[Message]) -> Iterator[Message]:
    for message in messages:
        if not is_wanted():
            return
        yield message


def _by_series(found: Iterable[tuple[Any, I64, F64]]) -> dict[str, tuple[I64, F64]]:
    columns = list(zip(*found, strict=True))
    if not columns:
        return {}
    series, t, value = (np.concatenate(column) for column in columns)
    out = {}
    for identity in np.unique(series).tolist():
        mine = series == identity
        order = np.argsort(t[mine], kind="stable")
        out[f"{identity:016x}"] = t[mine][order], value[mine][order]
    return out


class _Partition(kafka.KafkaHistory):
    """One partition of each topic, chosen by how many there are."""

    def __init__(self, settings: KafkaSettings, owner: Callable[[int], int]) -> None:
        super().__init__(settings, patience_s=PATIENCE_S)
        self._owner = owner

    def extents(self, topics: Iterable[str]) -> dict[Place, kafka.Extent]:
        found = super().extents(topics)
        counts: dict[str, int] = {}
        for topic, _ in found:
            counts[topic] = counts.get(topic, 0) + 1
        return {place: extent for place, extent in found.items() if place[1] == self._owner(counts[place[0]])}


class _From(kafka.KafkaHistory):
    """What lies behind an offset."""

    def __init__(self, settings: KafkaSettings, offset: int) -> None:
        super().__init__(settings, patience_s=PATIENCE_S)
        self._offset = offset

    def extents(self, topics: Iterable[str]) -> dict[Place, kafka.Extent]:
        found = super().extents(topics)
        return {
            place: extent._replace(low=min(max(extent.low, self._offset), extent.end))
            for place, extent in found.items()
        }
