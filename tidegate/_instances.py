"""Instances that fell silent in a run: those that another goes on for, and those that nobody replaced."""

from collections.abc import Iterable
from typing import NamedTuple

import schemas as sc
from schemas.core import Message


class Lost(NamedTuple):
    """An instance of which series fell silent, and no other took its place."""

    entity_id: str
    series: int
    """How many of its series fell silent."""
    since_ns: int
    """When the first of them spoke last."""


class Silent(NamedTuple):
    replaced: list[sc.Succession]
    lost: list[Lost]

    def sentence(self) -> str:
        """For people; empty where nobody fell silent.

        >>> Silent([], [Lost("default/instance/cart/a1", 2, 0)]).sentence()
        '1 instance fell silent and was not replaced: cart/a1'
        """
        pairs = [f"{short(one.entity_id)} by {' or '.join(map(_name, one.aliases))}" for one in self.replaced]
        lost = [short(one.entity_id) for one in self.lost]
        parts = [
            f"{_many(len(pairs))} replaced: {_some(pairs)}" if pairs else "",
            f"{_many(len(lost), 'fell silent and ')} not replaced: {_some(lost)}" if lost else "",
        ]
        return "; ".join(filter(None, parts))


def silent_of(messages: Iterable[Message]) -> Silent:
    """By time. A series that fell silent more than once counts once."""
    replaced, lost = dict[str, sc.Succession](), dict[str, dict[str, int]]()
    for message in messages:
        if message.topic != sc.ANOMALIES or sc.record_type(message) not in ("gap", "succession"):
            continue
        record = sc.read(message)
        if isinstance(record, sc.Succession):
            replaced[record.id] = record
        elif not isinstance(record, sc.Gap) or record.is_over:
            continue
        elif record.entity_id.count("/") >= 3 and "/instance/" in record.entity_id:
            since = lost.setdefault(record.entity_id, {})
            since[record.series] = min(since.get(record.series, record.since_ns), record.since_ns)
    gone = {one.entity_id for one in replaced.values()}
    found = [Lost(who, len(since), min(since.values())) for who, since in lost.items() if who not in gone]
    return Silent(
        sorted(replaced.values(), key=lambda one: (one.last_ns, one.entity_id)),
        sorted(found, key=lambda one: (one.since_ns, one.entity_id)),
    )


def short(entity_id: str) -> str:
    """Service and name of an instance.

    >>> short("default/instance/cart/10.0.0.1:80")
    'cart/10.0.0.1:80'
    """
    return entity_id.split("/", 2)[-1]


def _name(entity_id: str) -> str:
    return entity_id.split("/", 3)[-1]


def _some(said: list[str]) -> str:
    return ", ".join([*said[:3], *(["..."] if len(said) > 3 else [])])


def _many(n: int, what: str = "") -> str:
    return f"{n} instance{'' if n == 1 else 's'} {what}{'was' if n == 1 else 'were'}"
