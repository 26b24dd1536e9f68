"""Investigators on Kafka: the one file that knows Faust. One agent a subsystem takes inquiries into the pool.

Faust 0.15 is given no promise to keep. It acknowledges an event whose handler raised or was cancelled, and loses events
with `concurrency` above one; so an agent only hands over, which never waits, and what is lost with the process is asked
again by the diagnose stage. It holds no tables and no windows, starts no leader and no web server.
Faust's own watchdog only logs, so this one ends the process when offsets or answers stop moving.
"""

import asyncio
import atexit
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import faust
import structlog
from aiokafka.codec import has_zstd  # type: ignore[import-untyped]
from faust.auth import OAuthCredentials
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

import schemas as sc
from diagnosis import Context, Query
from schemas.core import NS, Message
from streams import KafkaSettings, TransportError, real_name
from streams._kafka_asyncio import aiokafka_arguments
from tidegate._investigate import Pool, emitted

STALLED_S = 60.0
STOP_S = 5.0
"""A SIGTERM while the group is joined may never reach the consumer's thread; Faust would wait a minute for it."""
BUFFER = 64
log = structlog.get_logger()


class Investigators:
    """A Faust app around a pool. subsystems: whose inquiries it takes; processes with the same ones share the work.

    Raises TransportError if the settings of Kafka cannot be used.
    """

    def __init__(
        self, settings: KafkaSettings, subsystems: Sequence[str], queries: Mapping[str, Query], context: Context, *,
        at_once: int = 16, most_waiting: int = 10_000, now_s: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._settings, self._now_s = settings, now_s
        self.subsystems = tuple(sorted(set(subsystems)))
        self.app = _app(settings, self.subsystems)
        self._pool_of = queries, context, at_once, most_waiting
        self.pool: Pool | None = None
        self.stale = 0
        """Inquiries that had been waiting on the topic for longer than their deadline."""
        self._asked_ns: dict[str, int] = {}
        self._offset = -1
        self._watch = Watch(STALLED_S)
        raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
        inquiries = self.app.topic(real_name(sc.INQUIRIES, settings.prefix), **raw)
        self._observations = self.app.topic(real_name(sc.OBSERVATIONS, settings.prefix), **raw)
        for subsystem in self.subsystems:
            self.app.agent(inquiries, name=f"investigate.{subsystem}", concurrency=1)(self._agent(subsystem))
        self.app.task(self._work)
        self.app.timer(10.0)(self._check)

    def run(self, loglevel: str = "WARNING") -> None:
        """Until SIGTERM or SIGINT; ends the process."""
        AIOKafkaConsumerThread.shutdown_timeout = STOP_S
        worker = faust.Worker(self.app, loglevel=loglevel, redirect_stdouts=False, quiet=True)
        worker.execute_from_commandline()

    async def _work(self) -> None:
        queries, context, at_once, most_waiting = self._pool_of
        self.pool = Pool(queries, context, self._send, size=at_once, most_waiting=most_waiting)
        log.info("investigators started", subsystems=list(self.subsystems), queries=sorted(queries))
        await self.pool.run()

    def _agent(self, subsystem: str) -> Callable[[Any], Any]:
        async def take(stream: Any) -> None:
            async for event in stream.events():
                while self.pool is None:
                    await asyncio.sleep(0.05)
                self._take(self.pool, subsystem, event.message)

        return take

    def _take(self, pool: Pool, subsystem: str, kafka: Any) -> None:
        self._offset = max(self._offset, kafka.offset)
        message = _message(kafka)
        if sc.record_type(message) != "inquiry":
            return  # marks
        try:
            inquiry = sc.Inquiry.from_bytes(message.value)
        except sc.RecordInvalid as error:
            log.warning("inquiry unreadable", offset=kafka.offset, what=str(error))
            return
        if inquiry.subsystem != subsystem:
            return
        if self._now_s() - kafka.timestamp > (inquiry.deadline_ns - inquiry.asked_ns) / NS:
            self.stale += 1
            return
        self._asked_ns[inquiry.id] = inquiry.asked_ns
        pool.submit(inquiry)

    async def _send(self, observation: sc.Observation) -> None:
        record = emitted(observation, self._asked_ns.pop(observation.inquiry_id, 0))
        headers = [("tidegate-at", b"%d" % record.event_ns), *record.headers]
        await (await self._observations.send(key=record.key, value=record.value, headers=headers))
        log.info("inquiry answered", inquiry_id=observation.inquiry_id, incident_id=observation.incident_id,
                 status=observation.status, reason=observation.reason, age_s=round(observation.age_s, 3))  # fmt: skip

    async def _check(self) -> None:
        """Crash rather than sit: whoever supervises starts the process again."""
        is_behind, read = await self._lag()
        pool = self.pool
        is_busy = pool is not None and (pool.waiting > 0 or pool.running > 0)
        progress = (self._offset, read, sum(pool.counts.values()) if pool else 0)
        if self._watch.is_stalled(self._now_s(), is_behind or is_busy, progress):
            await self.app.crash(
                TransportError(
                    f"nothing moved for {STALLED_S:.0f} s although there is work", where=self._settings.brokers,
                    code="INVESTIGATORS_STALLED", todo="The process ends so that its supervisor starts it again",
                )
            )  # fmt: skip

    async def _lag(self) -> tuple[bool, int]:
        """Whether something lies on the topic or in a buffer that no agent took; and how far was read."""
        consumer, is_behind, read = self.app.consumer, False, 0
        for place in consumer.assignment() if consumer else ():
            at, end = await consumer.position(place) or 0, consumer.highwater(place) or 0
            is_behind = is_behind or end > at or (self._offset >= 0 and at - 1 > self._offset)
            read += at
        return is_behind, read


class Watch:
    """Notices that nothing moves although there is work. Pure: the clock is an argument."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._last: object = None
        self._since_s: float | None = None

    def is_stalled(self, now_s: float, has_work: bool, progress: object) -> bool:
        """progress: anything that changes when something was done."""
        if not has_work or progress != self._last or self._since_s is None:
            self._last, self._since_s = progress, now_s
            return False
        return now_s - self._since_s >= self._after_s


def _app(settings: KafkaSettings, subsystems: Sequence[str]) -> Any:
    if not has_zstd():
        raise TransportError(
            "the asyncio client of Kafka cannot unpack zstd: cramjam is not installed", code="KAFKA_MISSING",
            todo="pip install 'tidegate[kafka]'",
        )  # fmt: skip
    arguments = aiokafka_arguments(settings)
    session_s = max(settings.session_timeout_ms / 1000, 6.0)
    return faust.App(
        f"{settings.prefix}.investigate.{'-'.join(subsystems)}",
        broker=";".join(f"kafka://{address}" for address in arguments["bootstrap_servers"]),
        broker_credentials=_credentials(settings, arguments),
        broker_client_id=settings.prefix,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 3,
        broker_rebalance_timeout=session_s,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        producer_linger=0,
        stream_buffer_maxsize=BUFFER,
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        store="memory://",
        datadir=_own_place(),
        autodiscover=False,
    )  # fmt: skip


def _own_place() -> str:
    """Faust makes directories for tables where it is started. It has none here, so they go away with the process."""
    place = tempfile.mkdtemp(prefix="tidegate-investigate-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def _credentials(settings: KafkaSettings, arguments: Mapping[str, Any]) -> Any:
    """The same security as librdkafka has, in Faust's words."""
    security, context = settings.security, arguments.get("ssl_context")
    if security.mechanism == "oauthbearer":
        return OAuthCredentials(oauth_cb=arguments["sasl_oauth_token_provider"], ssl_context=context)
    if security.has_sasl:
        return faust.SASLCredentials(
            username=security.username, password=security.password, ssl_context=context,
            mechanism=arguments["sasl_mechanism"],
        )  # fmt: skip
    return faust.SSLCredentials(context) if security.has_tls else None


def _message(kafka: Any) -> Message:
    found = kafka.headers.items() if isinstance(kafka.headers, Mapping) else kafka.headers or ()
    headers = tuple((name, value or b"") for name, value in found)
    return Message(kafka.topic, kafka.partition, kafka.offset, kafka.key or b"", kafka.value or b"", headers, 0, 0)
