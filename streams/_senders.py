"""Who brought which series, so that a forger can be told from two who agree.

A sender is known by the name that the gateway proved. It stands in the definition of each series that it brings; where
a second one writes to the same series, the definition is said again with that one's name, because either may have
said what comes of it. Almost always there is one sender, or each has series of its own; so what is kept are the series
of all but the first, and which of them were written to by whom else.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.core import I64, U64, Message
from streams._id_table import IdTable
from streams._intake import TRUST, trust_of

_MOST = 32_000
"""Senders that are told apart; all further ones are nobody."""


class Who(NamedTuple):
    """name: proved by the gateway, else empty. number: of that name."""

    name: str = ""
    trust: int = 1
    number: int = 0


NOBODY = Who()
SENDER = "tidegate-sender"
"""Header of a batch of log lines or spans: the proved name of who sent them; absent where nobody proved one."""
STRANGER = "?"
"""Who wrote to a series of another and proved no name."""


def proved(message: Message, sender: str) -> str:
    """The name that the gateway added, empty for whoever proved none."""
    return sender.partition("/")[0] if trust_of(message) and message.header(TRUST) else ""


@dataclass(slots=True)
class Writers:
    """Who sent log lines or spans of each service, so that what is derived of them names its senders too."""

    names: dict[str, list[str]] = field(default_factory=dict)
    """By tenant and service, sorted."""

    def hear(self, batch: pa.RecordBatch, message: Message) -> None:
        """A batch with the columns `entity` and `service`, all of one sender."""
        name = message.header(SENDER) or STRANGER
        tenants = {str(entity).split("/", 1)[0] for entity in pc.unique(batch.column("entity")).to_pylist()}
        for service in pc.unique(batch.column("service")).to_pylist():
            for owner in (f"{tenant}\x1f{service}" for tenant in tenants):
                known = self.names.get(owner, [])
                if name not in known:
                    self.names[owner] = sorted([*known, name])

    def of(self, tenant: str, *services: str) -> str:
        """As `SeriesDef.sender`: of what is derived of all these services."""
        found = {name for service in services for name in self.names.get(f"{tenant}\x1f{service}", [STRANGER])}
        return "" if found == {STRANGER} else ",".join(sorted(found))


@dataclass(slots=True)
class Senders:
    names: list[str] = field(default_factory=list)
    owners: IdTable = field(default_factory=IdTable)
    """Number of who brought a series first; absent where it was sender 0."""
    shared: set[tuple[int, int]] = field(default_factory=set)
    """Series, and the number of who wrote to it beside its first sender."""

    def who(self, message: Message, sender: str) -> Who:
        """The sender of a message. Without the header that a gateway adds nobody has proved anything."""
        trust, name = trust_of(message), proved(message, sender)
        if name not in self.names:
            if len(self.names) >= _MOST:
                return Who("", trust, _MOST)
            self.names.append(name)
        return Who(name, trust, self.names.index(name))

    def brings(self, fresh: U64, who: Who) -> None:
        """These series are new, and this sender was the first."""
        if who.number:
            self.owners.add(fresh, np.full(len(fresh), who.number, np.int16))

    def strangers(self, series: U64, who: Who) -> list[int]:
        """Series that another brought and this sender writes to as well, each once in all time."""
        if len(self.names) < 2:
            return []
        owner = self.owners.find(series)
        at: I64 = np.flatnonzero(np.maximum(owner, 0) != who.number)
        if not len(at):
            return []
        found = [one for one in np.unique(series[at]).tolist() if (one, who.number) not in self.shared]
        self.shared.update((one, who.number) for one in found)
        return found

    def dump(self) -> dict[str, object]:
        ids, numbers = self.owners.items()
        return {"names": self.names, "owned": [ids.tolist(), numbers.tolist()], "shared": sorted(self.shared)}

    @classmethod
    def load(cls, kept: dict[str, Any] | None) -> "Senders":
        """None: of a snapshot of an earlier version, in which nobody was told apart."""
        if kept is None:
            return cls()
        ids, numbers = kept["owned"]
        return cls(
            list(kept["names"]), IdTable.of(np.array(ids, np.uint64), np.array(numbers, np.int16)),
            {(series, number) for series, number in kept["shared"]},
        )  # fmt: skip


def signed(text: bytes, who: Who) -> bytes:
    """A definition with the trust class and the name of its sender: fields at its end that no decoder knows."""
    if who.trust != 1 and text.endswith(b'"trust":1}'):
        text = text.removesuffix(b'"trust":1}') + b'"trust":%d}' % who.trust
    return text.removesuffix(b"}") + b',"sender":"%b"}' % who.name.encode() if who.name else text
