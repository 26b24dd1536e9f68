"""Bytes of a stage's state: a JSON document, named arrays and blobs in a zip. No pickle, so a snapshot from a stranger
cannot run code; the shell checksums it. Arrays are compressed one by one, so that a snapshot costs little memory while
it is made: the state of 100,000 series lies there once, not once more for every layer around it.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from streams._errors import SnapshotError


def pack(
    document: Any, arrays: Mapping[str, NDArray[Any]] | None = None, blobs: Mapping[str, bytes] | None = None
) -> bytes:
    """The same state always packs to the same bytes."""
    sink, packer = io.BytesIO(), zstandard.ZstdCompressor(level=1)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("document.json"), json.dumps(document, sort_keys=True, separators=(",", ":")))
        for name, array in sorted((arrays or {}).items()):
            archive.writestr(zipfile.ZipInfo(f"array/{name}"), _packed(np.ascontiguousarray(array), packer))
        for name, blob in sorted((blobs or {}).items()):
            archive.writestr(zipfile.ZipInfo(f"blob/{name}"), blob)
    return sink.getvalue()


def _packed(array: NDArray[Any], packer: zstandard.ZstdCompressor) -> bytes:
    """As `numpy.lib.format.write_array` has it, compressed where it lies: with 100,000 series a copy is 40 MB."""
    if array.dtype.hasobject:
        raise TypeError("an array of objects is no state")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    body = array.reshape(-1).view(np.uint8).data if array.size else b""
    sink = packer.compressobj(size=head.tell() + len(body))
    return b"".join((sink.compress(head.getvalue()), sink.compress(body), sink.flush()))


def unpack(data: bytes) -> tuple[Any, dict[str, NDArray[Any]], dict[str, bytes]]:
    """Document, arrays (writable), blobs. Raises SnapshotError if the bytes are not a packed state."""
    unpacker = zstandard.ZstdDecompressor()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            document = json.loads(archive.read("document.json"))
            arrays = {
                name.removeprefix("array/"): np.lib.format.read_array(
                    io.BytesIO(unpacker.decompress(archive.read(name))), allow_pickle=False
                )
                for name in archive.namelist()
                if name.startswith("array/")
            }
            blobs = {n.removeprefix("blob/"): archive.read(n) for n in archive.namelist() if n.startswith("blob/")}
    except (zipfile.BadZipFile, zstandard.ZstdError, KeyError, ValueError, EOFError) as error:
        raise SnapshotError(
            f"not a packed state: {error}", todo="Delete the snapshot; it is rebuilt from the log"
        ) from error
    return document, arrays, blobs
