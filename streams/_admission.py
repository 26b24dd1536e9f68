"""Which series may come in: the shard of each, limits on how many, and the record by which a new one is announced."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

import schemas as sc
from schemas.core import U64, Emit
from streams._clocks import SourceClock
from streams._decoded import rendered
from streams._framing import Framing
from streams._id_table import I16, IdTable
from streams._senders import NOBODY, STRANGER, Senders, Who, signed
from streams._settings import StreamSettings

_shard_of = lru_cache(65_536)(sc.shard_of)


class Admission:
    """`shards` is the table of series admitted so far."""

    def __init__(self, settings: StreamSettings, source: str) -> None:
        self._settings, self._source = settings, source

    def admit(
        self,
        shards: IdTable,
        clock: SourceClock,
        series: U64,
        definitions: Mapping[int, sc.SeriesDef],
        framing: Framing,
        at_ns: int,
        out: list[Emit],
        senders: Senders,
        who: Who = NOBODY,
    ) -> I16:
        """Shard int16 (n,) of each point; -1 where the series is new and a limit is reached.

        Of the new ones those with the smallest ids are let in. Their definitions go to `framing` and to `out`, with the
        trust class and the name of who brought them first.
        """
        found = shards.find(series)
        unknown = found < 0
        if not unknown.any():
            return found
        settings = self._settings
        room = min(settings.max_series - len(shards), settings.max_series_per_source - clock.series)
        fresh = np.unique(series[unknown])[: max(room, 0)]
        if not len(fresh):
            return found
        ids = fresh.tolist()
        texts, owners = [], []
        for entry in rendered(definitions, ids):
            texts.append(signed(entry.text, who))
            owners.append(_shard_of(entry.tenant, entry.service, settings.shards))
        shards.add(fresh, np.array(owners, np.int16))
        clock.series += len(ids)
        senders.brings(fresh, who)
        framing.define(owners, texts)
        names = [text[7:23] for text in texts]  # the id, in sixteen digits
        out += sc.emit_texts(sc.SERIES, sc.SeriesDef, texts, names, source=self._source, event_ns=at_ns)
        found[unknown] = shards.find(series[unknown])
        return found

    def say_again(
        self, shards: IdTable, series: U64, definitions: Mapping[int, sc.SeriesDef], framing: Framing,
        senders: Senders, who: Who,
    ) -> None:  # fmt: skip
        """Announce series that others brought and that this sender writes to as well, once each."""
        if strangers := senders.strangers(series, who):
            said = who._replace(name=who.name or STRANGER)
            texts = [signed(entry.text, said) for entry in rendered(definitions, strangers)]
            framing.define(shards.find(np.array(strangers, np.uint64)).tolist(), texts)
