"""Snappy's block format, undone within a limit: by `cramjam` where it is installed, else slower with the same answer.

A block says first how large it becomes, so one that is too large costs nothing.
Source: google/snappy, format_description.txt.
"""

import importlib.util

from streams._errors import SourceError

_HAS_CRAMJAM = importlib.util.find_spec("cramjam") is not None


def decompress(block: bytes, limit: int, *, plain: bool = False) -> bytes:
    """The bytes in a block. plain: without compiled code.

    Raises SourceError SNAPPY_TOO_LARGE (it says it is larger than `limit`), SNAPPY_INVALID.
    """
    size, at = _size(block)
    if size > limit:
        raise SourceError(
            f"the snappy block holds {size} bytes, the limit is {limit}", code="SNAPPY_TOO_LARGE",
            todo="Send smaller batches (max_samples_per_send)",
        )  # fmt: skip
    if plain or not _HAS_CRAMJAM:
        return _plain(block, at, size)
    import cramjam  # here, because it is optional

    try:
        out = bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise _invalid(str(error)) from error
    if len(out) != size:
        raise _invalid(f"it holds {len(out)} bytes and says {size}")
    return out


def _size(block: bytes) -> tuple[int, int]:
    size = 0
    for at, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            if size >= 1 << 32:
                break
            return size, at + 1
    raise _invalid("its length is no length")


def _plain(block: bytes, at: int, size: int) -> bytes:
    out, end = bytearray(), len(block)
    while at < end:
        tag = block[at]
        at += 1
        kind = tag & 3
        if kind == 0:
            length = tag >> 2
            if length >= 60:
                width = length - 59
                length = int.from_bytes(block[at : at + width], "little")
                at += width
            length += 1
            if at + length > end:
                raise _invalid("it ends inside a literal")
            out += block[at : at + length]
            at += length
        else:
            width = (0, 1, 2, 4)[kind]
            if at + width > end:
                raise _invalid("it ends inside a copy")
            offset = int.from_bytes(block[at : at + width], "little")
            at += width
            if kind == 1:
                length, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | offset
            else:
                length = (tag >> 2) + 1
            start = len(out) - offset
            if offset == 0 or start < 0:
                raise _invalid("a copy reaches before its beginning")
            if offset >= length:
                out += out[start : start + length]
            else:  # the copy runs into itself
                out += (bytes(out[start:]) * (length // offset + 1))[:length]
        if len(out) > size:
            break
    if len(out) != size:
        raise _invalid(f"it does not hold the {size} bytes that it says")
    return bytes(out)


def _invalid(why: str) -> SourceError:
    todo = "Send snappy's block format, not the framed one"
    return SourceError(f"not a snappy block: {why}", todo=todo, code="SNAPPY_INVALID")
