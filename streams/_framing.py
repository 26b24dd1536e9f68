"""Points that wait for their frame. All partitions wait together and are told apart once, when frames are cut.

A frame is bounded in points and in bytes of definitions, whatever a message brought, so that it fits into any broker's
idea of a message; definitions that do not fit beside the points go before them in frames of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import schemas as sc
from schemas.core import F64, I64, U64, Emit
from streams._id_table import I16

Arrange = Callable[[U64, I16, int, I64, I64, I64], tuple[int, I64]]
"""See `_framing_numba.arrange`."""

POINTS_MAX = 16_384
"""Points of one frame at most; 384 KiB."""
DEFINITIONS_MAX = 1 << 18
"""Bytes of definitions in one frame at most, or one definition."""


@dataclass(slots=True)
class Framing:
    """What waits. partitions: of the frames' topic."""

    partitions: int
    chunks: list[tuple[U64, I64, F64, I16]] = field(default_factory=list)
    """Series, time, value, shard of points."""
    points: int = 0
    texts: list[bytes] = field(default_factory=list)
    """Definitions that go along with the next frames of their partition."""
    owners: list[int] = field(default_factory=list)
    """Shard of each definition."""

    def add(self, series: U64, t: I64, value: F64, shards: I16) -> None:
        self.chunks.append((series, t, value, shards))
        self.points += len(series)

    def define(self, shards: Sequence[int], texts: Sequence[bytes]) -> None:
        self.texts += texts
        self.owners += shards

    @property
    def is_empty(self) -> bool:
        return not self.points and not self.texts

    def cut(self, at_ns: int, arrange: Arrange | None = None) -> list[Emit]:
        """Everything as frames, by partition. `at_ns`: time of frames that hold definitions alone.

        arrange: the kernel that finds the order of rows, if there is one; the order is the same without.
        """
        series, t, value, shards = self._columns()
        texts, owners = self.texts, self.owners
        self.chunks, self.points, self.texts, self.owners = [], 0, [], []
        if self.partitions == 1:
            return _frames(0, series, t, value, shards, texts, at_ns, arrange)
        owner = shards % self.partitions
        order = np.argsort(owner, kind="stable")
        bounds = np.searchsorted(owner[order], np.arange(self.partitions + 1)).tolist()
        defined: list[list[bytes]] = [[] for _ in range(self.partitions)]
        for shard, text in zip(owners, texts, strict=True):
            defined[shard % self.partitions].append(text)
        out = []
        for partition, (start, stop) in enumerate(pairwise(bounds)):
            mine = order[start:stop]
            if len(mine) or defined[partition]:
                columns = series[mine], t[mine], value[mine], shards[mine]
                out += _frames(partition, *columns, defined[partition], at_ns, arrange)
        return out

    def _columns(self) -> tuple[U64, I64, F64, I16]:
        if len(self.chunks) == 1:
            return self.chunks[0]
        if not self.chunks:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int16)
        series, t, value, shards = zip(*self.chunks, strict=True)
        return np.concatenate(series), np.concatenate(t), np.concatenate(value), np.concatenate(shards)

    def dump(self) -> tuple[dict[str, NDArray[Any]], dict[str, bytes]]:
        """Arrays and blobs for a snapshot."""
        series, t, value, shards = self._columns()
        arrays: dict[str, NDArray[Any]] = {
            "series": series,
            "t": t,
            "value": value,
            "shard": shards,
            "owners": np.array(self.owners, np.int16),
        }
        return {f"waiting/{k}": v for k, v in arrays.items()}, {"definitions": b"\n".join(self.texts)}

    @classmethod
    def load(cls, partitions: int, arrays: dict[str, NDArray[Any]], blobs: dict[str, bytes]) -> "Framing":
        framing = cls(partitions)
        columns = [arrays[f"waiting/{name}"] for name in ("series", "t", "value", "shard")]
        if len(columns[0]):
            framing.add(columns[0], columns[1], columns[2], columns[3])
        framing.texts = blobs["definitions"].split(b"\n") if blobs["definitions"] else []
        framing.owners = arrays["waiting/owners"].tolist()
        return framing


def _frames(
    partition: int, series: U64, t: I64, value: F64, shards: I16, texts: list[bytes], at_ns: int,
    arrange: Arrange | None,
) -> list[Emit]:  # fmt: skip
    """One frame, or several where one would be too large."""
    bunches: list[list[bytes]] = []
    size = 0
    for text in texts:
        if not bunches or size + len(text) > DEFINITIONS_MAX:
            bunches.append([])
            size = 0
        bunches[-1].append(text)
        size += len(text)
    pieces = [slice(start, start + POINTS_MAX) for start in range(0, len(series), POINTS_MAX)]
    alone = bunches[:-1] if pieces else bunches
    none = slice(0, 0)
    whole = [(none, bunch) for bunch in alone]
    whole += [(piece, bunches[-1] if bunches and not i else []) for i, piece in enumerate(pieces)]
    out = []
    for piece, defined in whole:
        columns, mine = (series[piece], t[piece], value[piece]), shards[piece]
        order = None if arrange is None else _order(arrange, columns[0], mine)
        data = sc.encode_frame(*columns, shards=mine, defs=sc.SeriesDefs(defined), order=order)
        event_ns = int(columns[1].min()) if len(mine) else at_ns
        out.append(Emit(sc.FRAMES, b"", data, (), event_ns, partition))
    return out


def _order(arrange: Arrange, series: U64, shards: I16) -> sc.Order | None:
    n = len(series)
    if not n:
        return None
    count = int(shards.max()) + 1
    rows, block = np.empty(n, np.int64), np.empty(n, np.int64)
    blocks, sizes = arrange(series, shards, count, np.empty(1 << (2 * n).bit_length(), np.int64), block, rows)
    if blocks == 1:
        return sc.Order(rows, [0], np.flatnonzero(sizes).tolist())
    groups = sizes.reshape(blocks, count)
    first = np.cumsum(groups.sum(1))[:-1].tolist()
    return sc.Order(rows, [0, *first], np.flatnonzero(groups.sum(0)).tolist())
