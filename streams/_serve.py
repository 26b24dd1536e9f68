"""Which generation of the pipeline is public, and when: the pure part of upgrades.

Two generations of the pipeline work side by side on the same input. What each says of an instant is published, or not,
by the generation that is in force at that event time. A cut-over lies in the future of both, so no record is published
twice or left out; going back is another cut-over.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import schemas as sc
from schemas.core import Emit, Message
from streams._task import FROM, SEQ

PUBLIC = (sc.INCIDENTS, sc.DIAGNOSES, sc.ACTIONS)
GENERATION = "tidegate-generation"
"""Header of what is published: whose it is."""
NAME = "serve"


@dataclass(slots=True)
class Serving:
    """State. cuts: from when which generation is in force, ascending. through: by generation and topic."""

    cuts: list[tuple[int, str]]
    through: dict[tuple[str, str], int] = field(default_factory=dict)
    held: dict[tuple[str, str], dict[str, Message]] = field(default_factory=dict)
    finals: set[tuple[str, str]] = field(default_factory=set)
    orders: dict[str, int] = field(default_factory=dict)
    """Orders that were taken, by id, with their time of issue."""

    @classmethod
    def start(cls, generation: str) -> "Serving":
        return cls([(0, generation)])

    def at(self, event_ns: int) -> str:
        """The generation in force at an event time."""
        return next(name for since, name in reversed(self.cuts) if since <= event_ns)

    @property
    def passed_ns(self) -> int:
        """Event time before which something may have been published; a cut-over must lie later."""
        return max(self.through.values(), default=0)

    def order(self, order: sc.Control) -> str:
        """Take a verified order; returns why it is not followed, or an empty string. The same order twice is one."""
        if order.kind != "serve" or order.generation is None or order.from_ns is None:
            return "NOT_FOR_US"
        if order.id in self.orders:
            return ""
        if order.issued_ns <= max(self.orders.values(), default=0):
            return "OLDER_THAN_THE_LAST"
        if order.from_ns <= max(self.passed_ns, self.cuts[-1][0]):
            return "TOO_LATE"
        self.orders[order.id] = order.issued_ns
        self.cuts.append((order.from_ns, order.generation))
        return ""

    def take(self, generation: str, messages: Iterable[Message]) -> list[Emit]:
        """Records of one generation's public topics; returns what is to be published, in order of event time."""
        touched = set()
        for message in messages:
            key = (generation, message.topic)
            if sc.record_type(message) == "watermark":
                mark = sc.read(message)
                assert isinstance(mark, sc.Watermark)
                self.through[key] = max(self.through.get(key, 0), mark.through_ns)
                if mark.final:
                    self.finals.add(key)
                touched.add(key)
            elif message.event_ns >= self.through.get(key, 0):
                self.held.setdefault(key, {})[message.header("ce_id")] = message
        out: list[Emit] = []
        for key in sorted(touched):
            out += self._release(key)
        return out

    def _release(self, key: tuple[str, str]) -> list[Emit]:
        generation, topic = key
        through, final = self.through[key], key in self.finals
        held = self.held.get(key, {})
        due = sorted(((m.event_ns, identity) for identity, m in held.items() if m.event_ns < through or final))
        out = []
        for at, identity in due:
            message = held.pop(identity)
            if self.at(at) == generation:
                ours = tuple(h for h in message.headers if h[0] not in (FROM, SEQ))
                headers = (*ours, (GENERATION, generation.encode()))
                out.append(Emit(topic, message.key, message.value, headers, at))
        if self.at(through) == generation:
            mark = sc.Watermark(stage=NAME, through_ns=through, final=final)
            identity = sc.record_id("watermark", NAME, topic, through, str(final))
            one = sc.emit(topic, mark, id=identity, key=NAME, source=f"tidegate/{NAME}", event_ns=through)
            out.append(Emit(topic, one.key, one.value, (*one.headers, (GENERATION, generation.encode())), through))
        return out
