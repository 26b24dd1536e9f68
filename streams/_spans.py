"""Columns of spans for joining: one row a span, strings as codes, ids as 64-bit keys."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.core import F64, I64, U64, Bool


class Spans(NamedTuple):
    """All arrays (n,). service, name, version, peer: codes into the lists of the same name in plural.

    key: 64-bit of (trace id, span id). parent_key: of (trace id, parent id), 0 where there is no parent.
    Services of different tenants with the same name are different codes.
    """

    start: I64
    seconds: F64
    key: U64
    parent_key: U64
    service: I64
    name: I64
    version: I64
    kind: NDArray[np.int8]
    is_error: Bool
    status: NDArray[np.int16]
    peer: I64
    services: list[str]
    tenants: list[str]
    names: list[str]
    versions: list[str]
    peers: list[str]

    def parents(self) -> I64:
        """Row of each span's parent, -1 where it is not among these spans."""
        if not len(self.key):
            return np.zeros(0, np.int64)
        order = np.argsort(self.key, kind="stable")
        known = self.key[order]
        at = np.minimum(np.searchsorted(known, self.parent_key), len(known) - 1)
        found: I64 = np.where((known[at] == self.parent_key) & (self.parent_key != 0), order[at], -1)
        return found

    def repeated(self) -> Bool:
        """Mask of spans whose id was there in an earlier row."""
        mask = np.ones(len(self.key), bool)
        mask[np.unique(self.key, return_index=True)[1]] = False
        return mask


def columns_of(tables: list[pa.Table]) -> Spans:
    """Spans of several panes, in their order."""
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    start, end = (_numbers(table, name) for name in ("start", "end"))
    trace = _fold(table.column("trace_id"), 16)
    span, parent = _fold(table.column("span_id"), 8), _fold(table.column("parent_id"), 8)
    mixed = trace * np.uint64(0x9E3779B97F4A7C15)
    service, owners = _codes(
        [
            f"{str(e).split('/', 1)[0]}\x1f{s}"
            for e, s in zip(_texts(table, "entity"), _texts(table, "service"), strict=True)
        ]
    )
    name, names = _codes(_texts(table, "name"))
    version, versions = _codes(_texts(table, "version"))
    peer, peers = _codes(_texts(table, "peer"))
    return Spans(
        start=start, seconds=np.maximum(end - start, 0) / 1e9, key=span ^ mixed,
        parent_key=np.where(parent == 0, np.uint64(0), parent ^ mixed), service=service, name=name, version=version,
        kind=_numbers(table, "kind"), is_error=_numbers(table, "is_error"), status=_numbers(table, "status"), peer=peer,
        services=[owner.split("\x1f")[1] for owner in owners], tenants=[owner.split("\x1f")[0] for owner in owners],
        names=names, versions=versions, peers=peers,
    )  # fmt: skip


def _numbers(table: pa.Table, name: str) -> Any:
    column = table.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return column.to_numpy()


def _texts(table: pa.Table, name: str) -> list[str]:
    return [str(value) for value in table.column(name).cast(pa.string()).to_pylist()]


def _codes(texts: list[str]) -> tuple[I64, list[str]]:
    """Codes in the sorted order of the distinct texts, so they do not depend on the order of rows."""
    distinct = sorted(set(texts))
    code = {text: i for i, text in enumerate(distinct)}
    return np.fromiter((code[text] for text in texts), np.int64, len(texts)), distinct


def _fold(column: pa.ChunkedArray, width: int) -> U64:
    """Ids of `width` bytes as uint64, halves of longer ones combined; other lengths are cut or padded with zeros."""
    joined = b"".join(
        value[:width].ljust(width, b"\0") if len(value) != width else value for value in column.to_pylist()
    )
    words = np.frombuffer(joined, np.uint64).reshape(-1, width // 8)
    folded: U64 = words[:, 0].copy()
    for k in range(1, words.shape[1]):
        folded = folded * np.uint64(31) + words[:, k]
    return folded
