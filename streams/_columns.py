"""Samples as columns with the labels of their series beside them: how bulk history of Prometheus lies in a recording.

An Arrow IPC stream of one batch `(series int32, t int64 ns, value float64)`; the schema's metadata holds a JSON list of
`[labels, kind]`, one a series. So a month of thousands of series is read at the speed of columns, through the very
stages that live telemetry goes through.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas import why
from schemas.core import F64, I64
from streams._errors import SourceError

KIND = "prometheus_columns"
_FIELDS = [("series", pa.int32()), ("t", pa.int64()), ("value", pa.float64())]
_META = b"tidegate-series"
Series = tuple[Mapping[str, str], str]
"""Labels with `__name__`, and the kind that the metadata says, or nothing."""


def encode(series: Sequence[Series], which: NDArray[np.int32], t: I64, value: F64) -> bytes:
    """which: int32 (n,), positions in `series`; t int64 ns (n,), rising; value float64 (n,)."""
    text = json.dumps([[dict(labels), kind] for labels, kind in series], sort_keys=True).encode()
    schema = pa.schema(_FIELDS, metadata={_META: text})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([which, t, value], schema=schema))
    return bytes(sink.getvalue())


def decode(body: bytes) -> tuple[bytes, NDArray[np.int32], I64, F64]:
    """The JSON of the series, then the columns. Raises SourceError COLUMNS_INVALID."""
    try:
        with pa.ipc.open_stream(body) as reader:
            text = (reader.schema.metadata or {})[_META]
            table = reader.read_all().combine_chunks()
        which, t, value = (
            table.column(name).cast(kind).to_numpy().astype(dtype)
            for (name, kind), dtype in zip(_FIELDS, (np.int32, np.int64, np.float64), strict=True)
        )
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise SourceError(f"no columns of samples: {why(error)[:120]}", code="COLUMNS_INVALID") from error
    return text, which, t, value
