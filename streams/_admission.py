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
        trust: int = 1,
    ) -> I16:
        """Shard int16 (n,) of each point; -1 where the series is new and a limit is reached.

        Of the new ones those with the smallest ids are let in. Their definitions go to `framing` and to `out`, with the
        trust class of who brought them first.
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
            texts.append(entry.text if trust == 1 else _trusted(entry.text, trust))
            owners.append(_shard_of(entry.tenant, entry.service, settings.shards))
        shards.add(fresh, np.array(owners, np.int16))
        clock.series += len(ids)
        framing.define(owners, texts)
        names = [text[7:23] for text in texts]  # the id, in sixteen digits
        out += sc.emit_texts(sc.SERIES, sc.SeriesDef, texts, names, source=self._source, event_ns=at_ns)
        found[unknown] = shards.find(series[unknown])
        return found


def _trusted(text: bytes, trust: int) -> bytes:
    """A definition with another trust class: the last field, and one that a decoder does not know."""
    return text.removesuffix(b'"trust":1}') + b'"trust":%d}' % trust if text.endswith(b'"trust":1}') else text
