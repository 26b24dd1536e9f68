"""A stretch of history: which records lie in it, and when a partition has nothing more for it.

A record belongs to the stretch if its event time does, whatever its offset, so the same stretch is the same set of
records each time. Reference data is taken from its beginning, because it holds for later times too. A partition of a
source is over when it is well past the end; one of ours when all who write there have declared the end complete,
because a task that was down catches up with old records behind newer ones of others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import schemas as sc
from schemas.core import NS, Message
from streams._task import Place

MARGIN_NS = 600 * NS
"""How far out of order records of a source may lie in their partition."""
_MARKS = ("watermark", "coverage")


@dataclass(slots=True)
class Stretch:
    """[from_ns, to_ns); 0 is no bound. `time_of` gives the event time of a message."""

    from_ns: int = 0
    to_ns: int = 0
    time_of: Callable[[Message], int] = lambda message: message.event_ns
    _through: dict[Place, dict[bytes, int]] = field(default_factory=dict)
    """What the writers of each partition have declared complete."""

    def begins_at(self, topic: str) -> bool:
        """Whether records of the topic before the stretch stay outside."""
        return self.from_ns > 0 and not is_reference(topic)

    def admits(self, message: Message) -> bool:
        """Whether it lies in the stretch; earlier marks do too, because what they say still holds."""
        at = self.time_of(message) if self.from_ns or self.to_ns else 0
        if self.to_ns and at >= self.to_ns:
            return False
        if not self.begins_at(message.topic) or at >= self.from_ns:
            return True
        return is_mark(message)

    def is_over(self, message: Message) -> bool:
        """Whether nothing of the stretch can follow this message in its partition; ask for each in its order."""
        if not self.to_ns or is_reference(message.topic):
            return False
        if message.topic not in sc.TOPICS or sc.TOPICS[message.topic].content == "source":
            return self.time_of(message) >= self.to_ns + MARGIN_NS
        if sc.record_type(message) != "watermark":
            return False
        writers = self._through.setdefault((message.topic, message.partition), {})
        writers[message.key] = message.event_ns
        return message.event_ns >= self.to_ns and min(writers.values()) >= self.to_ns


def is_reference(topic: str) -> bool:
    return topic in sc.TOPICS and sc.TOPICS[topic].is_reference


def is_mark(message: Message) -> bool:
    return sc.record_type(message) in _MARKS
