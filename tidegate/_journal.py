"""What a replay has to be given before the rest: the journals of its stages.

A journal holds what a stage decided by the moment at which something came, for example from when on an answer counts
(ADR 8). It was written down later than the telemetry around it was received, so in the order of reception it would come
too late; each entry says itself from when on it holds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from schemas.core import Message, Stage


def journals(stages: Iterable[Stage[Any]]) -> tuple[str, ...]:
    """Topics that a stage both reads and writes, without marks, and waits for nobody on."""
    return tuple(dict.fromkeys(topic for stage in stages for topic in getattr(stage, "journal", ())))


def journals_first(
    stages: Iterable[Stage[Any]], topics: Iterable[str], read: Callable[[Sequence[str]], Iterator[Message]]
) -> Iterator[Message]:
    """Everything of the topics: journals wholly, then the others. `read` gives the messages of some topics in order."""
    first = journals(stages)
    known = list(topics)
    early, rest = [t for t in known if t in first], [t for t in known if t not in first]
    return chain(read(early) if early else iter(()), read(rest))
