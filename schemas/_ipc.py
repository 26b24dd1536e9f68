"""Arrow IPC streams of one record batch of plain columns, written and read without Arrow's own overhead.

Such a stream is three parts: the schema, which depends on names, types and metadata; the head of the batch, which
depends on the number of rows alone; and the bytes of the columns. The first two are made by Arrow once and kept. A
stream that begins with exactly the bytes that Arrow itself would write is read by taking the columns out of it; every
other stream is left to Arrow. So it is Arrow's format in both ways, at a tenth of the time.
Source: Arrow columnar format, "IPC streaming format" (encapsulated messages, 8-byte alignment).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""How a stream ends; without it a cut in the last bytes would pass."""
_MARK = b"\xff\xff\xff\xff"
_HEADS, _SCHEMAS = 1024, 4096
"""How many heads (by rows) and schemas (by metadata) are kept; some 300 and 900 bytes each."""


class Layout:
    """The streams of one list of fields, all of them eight bytes a row."""

    def __init__(self, fields: dict[str, pa.DataType], key: bytes) -> None:
        self._schema, self._key = pa.schema(list(fields.items())), key
        self._numpy = [np.dtype(kind.to_pandas_dtype()) for kind in fields.values()]
        self._numpy = [np.dtype(np.int64) if kind.kind == "M" else kind for kind in self._numpy]
        self._width = 8 * len(fields)
        self._head = lru_cache(_HEADS)(self._made_head)
        self._prelude = lru_cache(_SCHEMAS)(self._made_prelude)
        self._known: dict[bytes, bytes] = {}
        self._head_size = len(self._head(1))

    def write(self, columns: Sequence[Any], meta: bytes, *, is_common: bool) -> bytes:
        """Columns (n,) of the types of the fields, contiguous. is_common: this metadata will come again."""
        prelude = self._prelude(meta) if is_common else self._made_prelude(meta)
        return b"".join((prelude, self._head(len(columns[0])), *columns, END))

    def read(self, data: bytes) -> tuple[list[Any], bytes] | None:
        """Columns (n,) that share the memory of `data`, and metadata; None if Arrow has to be asked."""
        if data[:4] != _MARK:
            return None
        start = 8 + int.from_bytes(data[4:8], "little")
        prelude = data[:start]
        meta = self._known.get(prelude)
        if meta is None:
            meta = self._learned(prelude)
        rows, rest = divmod(len(data) - start - self._head_size - len(END), self._width)
        body = start + self._head_size
        if meta is None or rest or rows < 1 or data[start:body] != self._head(rows) or data[-8:] != END:
            return None
        size = 8 * rows
        return [np.frombuffer(data, kind, rows, body + i * size) for i, kind in enumerate(self._numpy)], meta

    def _learned(self, prelude: bytes) -> bytes | None:
        """The metadata of a schema with our fields, else None; remembered where it is short and may come again."""
        try:
            schema = pa.ipc.read_schema(pa.py_buffer(prelude))
        except (pa.ArrowException, OSError):
            return None
        if not schema.equals(self._schema):
            return None
        meta: bytes = (schema.metadata or {}).get(self._key, b"")
        if len(meta) < 1000:
            if len(self._known) >= _SCHEMAS:
                self._known.clear()
            self._known[prelude] = meta
        return meta

    def _made_prelude(self, meta: bytes) -> bytes:
        return self._schema.with_metadata({self._key: meta}).serialize().to_pybytes()  # type: ignore[no-any-return]

    def _made_head(self, rows: int) -> bytes:
        empty = [pa.Array.from_buffers(f.type, rows, [None, pa.py_buffer(bytes(8 * rows))]) for f in self._schema]
        message: bytes = pa.record_batch(empty, schema=self._schema).serialize().to_pybytes()
        return message[: len(message) - self._width * rows]
