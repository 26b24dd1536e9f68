"""How many samples came too late, as two series a service and source: late ones, and all that the source brought.

What is late is judged when a sample comes, so it counts at the time to which its log had come, and a replay counts the
same. Nothing is said of services of which nothing was ever late. When something first is, all that the source had
brought before is said first and by itself, so that whoever judges the share knows how long nothing had been late; what
was late follows in the next pane. Samples that came in time are counted by source, not by service: that costs nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import schemas as sc
from schemas.core import Emit
from streams._derived import announced, series
from streams._framing import Framing
from streams._ledger import Ledger
from streams._own_series import LATE, SAMPLES
from streams._settings import PANE_NS, StreamSettings

MOST = 1000
"""Services of sources; lateness of further ones is in the ledger only."""
_COUNT = {"kind": "count", "temporality": "delta", "is_event": True, "unit": "{sample}"}


@dataclass(slots=True)
class Tardy:
    """brought: by source, samples since it was last said, and in all before. late: by source, tenant and service."""

    brought: dict[str, list[int]] = field(default_factory=dict)
    late: dict[tuple[str, str, str], int] = field(default_factory=dict)
    said: set[tuple[str, str, str]] = field(default_factory=set)
    """Of which both series are there."""

    def came(self, source: str, n: int) -> None:
        found = self.brought.get(source)
        if found is None:
            self.brought[source] = [n, 0]
        else:
            found[0] += n

    def were_late(self, source: str, definitions: Iterable[tuple[sc.SeriesDef, int]]) -> None:
        """Samples of each of these series."""
        for definition, n in definitions:
            key = source, definition.tenant, definition.service
            if key in self.late or len(self.late) < MOST:
                self.late[key] = self.late.get(key, 0) + n

    def say(
        self, framing: Framing, ledger: Ledger, stage: str, settings: StreamSettings, said_ns: int, through_ns: int
    ) -> list[Emit]:
        """Put what was counted into the pane of `said_ns`, once time has passed it; records of series that are new."""
        if not said_ns or said_ns // PANE_NS == through_ns // PANE_NS:
            return []
        out: list[Emit] = []
        for key in sorted(self.late):
            source, tenant, service = key
            now, before = self.brought[source]
            pair = _pair(source, tenant, service)
            shard = sc.shard_of(tenant, service, settings.shards)
            late = self.late[key] if key in self.said else 0
            if key not in self.said:
                self.said.add(key)
                framing.define([shard] * len(pair), [d.to_bytes() for d in pair])
                out += announced(list(pair), stage, said_ns)
                now += before
            else:
                self.late[key] = 0
            ids = np.array([int(d.id, 16) for d in pair], np.uint64)
            t, value = np.full(2, said_ns), np.array([now, late], float)
            framing.add(ids, t, value, np.full(2, shard, np.int16))
            ledger.add("derived.decoded", 2)
        for counts in self.brought.values():
            counts[:] = 0, counts[0] + counts[1]
        return out

    def dump(self) -> list[Any]:
        late = [[*key, n, key in self.said] for key, n in sorted(self.late.items())]
        return [sorted(self.brought.items()), late]

    @classmethod
    def load(cls, data: list[Any] | None) -> "Tardy":
        brought, late = data or ([], [])
        found = {(source, tenant, service): n for source, tenant, service, n, _ in late}
        said = {(source, tenant, service) for source, tenant, service, _, is_said in late if is_said}
        return cls({source: list(counts) for source, counts in brought}, found, said)


def _pair(source: str, tenant: str, service: str) -> tuple[sc.SeriesDef, sc.SeriesDef]:
    whole = series(service, tenant, SAMPLES, {"source": source}, **_COUNT)
    return whole, series(service, tenant, LATE, {"source": source}, denominator=whole.id, **_COUNT)
