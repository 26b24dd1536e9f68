"""Messages put on Kafka at the pace of the clock, in a thread: what senders do while something is measured."""

import threading
import time
from collections.abc import Iterable

from schemas.core import NS, Message
from streams import KafkaSettings, real_name
from streams._kafka_client import producer
from streams._kafka_messages import Headers, played_headers


class Player(threading.Thread):
    """Sends each message when `start_ns + speed * (time since start)` has reached its event time; older ones at once.

    speed: event time in wall time. is_live: speed is 1, `start_ns` is a moment of the wall clock, now or soon, and
    messages carry Kafka's time as the time at which they were received, not their event time.
    """

    def __init__(
        self, kafka: KafkaSettings, messages: Iterable[Message], start_ns: int, speed: float, *, is_live: bool = False
    ) -> None:  # fmt: skip
        super().__init__(daemon=True)
        self._kafka, self._messages, self._start_ns, self._speed = kafka, messages, start_ns, speed
        self._is_live, self._over = is_live, threading.Event()
        self.sent = 0
        self.event_ns = start_ns
        """Of the last message."""
        self.late_s = 0.0
        """By how much the latest message since `start_ns` was sent too late."""

    def run(self) -> None:
        sender = producer(self._kafka)
        began = time.monotonic() + (max(self._start_ns - time.time_ns(), 0) / NS if self._is_live else 0)
        for message in self._messages:
            due = began + (message.event_ns - self._start_ns) / NS / self._speed
            while (wait := due - time.monotonic()) > 0:
                sender.poll(0)
                if self._over.wait(min(wait, 0.2)):
                    break
            if self._over.is_set():
                break
            if message.event_ns >= self._start_ns:
                self.late_s = max(self.late_s, -wait)
            headers: Headers = [*message.headers] if self._is_live else list(played_headers(message))
            while True:
                try:
                    sender.produce(
                        real_name(message.topic, self._kafka.prefix), message.value, message.key, message.partition,
                        headers=headers,
                    )  # fmt: skip
                    break
                except BufferError:
                    sender.poll(0.1)
            self.sent, self.event_ns = self.sent + 1, message.event_ns
        sender.flush(30)

    def stop(self) -> None:
        """Send nothing more; what was handed over is written."""
        self._over.set()
        if self.is_alive():
            self.join(40)
