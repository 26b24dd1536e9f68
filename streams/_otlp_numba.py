"""One pass over the bytes of an OTLP metrics request: number points to columns, strings left alone (needs numba).

The identity of a point is a 64-bit hash over its bytes: the header of each level around it (every field of the
level but its repeated children, unknown fields too) and the attributes. A key that was seen before stands for a row
of the caller's table; only for a new key are strings decoded, by the plain decoder, which also checks them. So each
byte of an accepted message was either checked then, or is a time, value or flag read here. Whatever is unusual (an
empty level, two `data` in a metric, a group, a broken length) makes the kernel give up, and the plain decoder answers.

The hash is the 8-byte round of XXH64: fast and well spread, not secret, so callers keep one table a tenant and nobody
can make a key meet another tenant's. Wire format: protobuf encoding guide; fields: opentelemetry-proto `metrics.proto`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.core import F64, I64, U64, Bool
from streams._jit import inlined, jit

Bytes = NDArray[np.uint8]
I32 = NDArray[np.int32]

OK, UNUSUAL, FULL = 0, 1, 2
MISS_COLUMNS = 13
"""point, key, then start and end of: resource level, scope level, metric; data field; start and end of data, point."""
SLOW_COLUMNS = 7
"""points before it, then start and end of: resource level, scope level, metric."""
RESOURCE_CHILDREN = SCOPE_CHILDREN = 1 << 2
METRIC_CHILDREN = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 11
DATA_CHILDREN = 1 << 1
"""Bit sets of the field numbers that hold the next level."""

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_SIGN = np.uint64(1 << 63)
_TIME_MAX = np.int64(2**63 - 1)


@inlined
def _field(buf: Bytes, at: int, end: int) -> tuple[Any, int, Any]:
    """Tag, start and stop of the content of the field at a position; stop is -1 if it is broken or unusual."""
    tag: Any = np.int64(buf[np.uint64(at)])
    at += 1
    if tag >= 0x80:
        tag &= 0x7F
        shift = 7
        while True:
            if at >= end or shift > 28:
                return 0, 0, -1
            byte: Any = np.int64(buf[np.uint64(at)])
            at += 1
            tag |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
    if tag < 8 or tag >= 1 << 32:
        return 0, 0, -1
    wire = tag & 7
    if wire == 2:
        length: Any = np.int64(0)
        shift = 0
        while True:
            if at >= end or shift > 28:
                return 0, 0, -1
            byte = np.int64(buf[np.uint64(at)])
            at += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        stop = at + length
    elif wire == 1:
        stop = at + 8
    elif wire == 5:
        stop = at + 4
    elif wire == 0:
        stop = at
        while True:
            if stop >= end or stop - at >= 10:
                return 0, 0, -1
            byte = np.int64(buf[np.uint64(stop)])
            stop += 1
            if byte < 0x80:
                break
        if stop - at == 10 and byte > 1:
            return 0, 0, -1
    else:
        return 0, 0, -1
    if stop > end:
        return 0, 0, -1
    return tag, at, stop


@inlined
def _word(buf: Bytes, at: int) -> Any:
    """Eight bytes as a little-endian uint64; the compiler makes one load of it."""
    i = np.uint64(at)
    return (
        np.uint64(buf[i])
        | np.uint64(buf[i + np.uint64(1)]) << np.uint64(8)
        | np.uint64(buf[i + np.uint64(2)]) << np.uint64(16)
        | np.uint64(buf[i + np.uint64(3)]) << np.uint64(24)
        | np.uint64(buf[i + np.uint64(4)]) << np.uint64(32)
        | np.uint64(buf[i + np.uint64(5)]) << np.uint64(40)
        | np.uint64(buf[i + np.uint64(6)]) << np.uint64(48)
        | np.uint64(buf[i + np.uint64(7)]) << np.uint64(56)
    )


@inlined
def _mix(h: Any, word: Any) -> Any:
    word *= _P2
    word = word << np.uint64(31) | word >> np.uint64(33)
    h ^= word * _P1
    return (h << np.uint64(27) | h >> np.uint64(37)) * _P1 + _P4


@inlined
def _hash(buf: Bytes, start: int, end: int, h: Any) -> Any:
    """Take a run of bytes and its length into a hash."""
    size = end - start
    h = _mix(h, np.uint64(size))
    at = start
    while at + 8 <= end:
        h = _mix(h, _word(buf, at))
        at += 8
    if at < end:
        if size >= 8:
            return _mix(h, _word(buf, end - 8))
        tail = np.uint64(0)
        while at < end:
            tail = tail << np.uint64(8) | np.uint64(buf[np.uint64(at)])
            at += 1
        h = _mix(h, tail)
    return h


@inlined
def _finish(h: Any) -> Any:
    h ^= h >> np.uint64(33)
    h *= _P2
    h ^= h >> np.uint64(29)
    h *= _P3
    h ^= h >> np.uint64(32)
    return h if h != np.uint64(0) else np.uint64(1)


@jit
def _level(buf: Bytes, start: int, end: int, children: int, h: Any) -> tuple[Any, int, int, int, int]:
    """Hash of a level's header, number of children (-1 if unusual), and field, start and stop of the last child."""
    h = _mix(h, np.uint64(children))
    at, run, count, field, first, last = start, start, 0, 0, 0, 0
    while at < end:
        tag, body, stop = _field(buf, at, end)
        if stop < 0:
            return h, -1, 0, 0, 0
        if tag & 7 == 2 and tag < 512 and children >> (tag >> 3) & 1:
            if run < at:
                h = _hash(buf, run, at, h)
            run = stop
            count += 1
            field, first, last = tag >> 3, body, stop
        at = stop
    if run < end:
        h = _hash(buf, run, end, h)
    return h, count, field, first, last


@jit
def header(buf: Bytes, start: int, end: int, children: int, out: Bytes) -> int:
    """Copy a level (that `scan` accepted) without its children to `out`, uint8 (>= end - start,); returns the size."""
    at, size = start, 0
    while at < end:
        tag, _, stop = _field(buf, at, end)
        if not (tag & 7 == 2 and tag < 512 and children >> (tag >> 3) & 1):
            out[size : size + stop - at] = buf[at:stop]
            size += stop - at
        at = stop
    return size


@inlined
def _find(keys: U64, rows: I32, key: Any) -> Any:
    """The row of a key, or -1."""
    mask = np.uint64(len(keys) - 1)
    slot = key & mask
    while keys[slot] != np.uint64(0):
        if keys[slot] == key:
            return rows[slot]
        slot = slot + np.uint64(1) & mask
    return -1


@jit
def insert(keys: U64, rows: I32, new_keys: U64, new_rows: I32) -> None:
    """Put keys (none 0) into an open-addressed table; its length is a power of two and it must keep a free slot."""
    mask = np.uint64(len(keys) - 1)
    for i in range(len(new_keys)):
        slot = new_keys[i] & mask
        while keys[slot] != np.uint64(0) and keys[slot] != new_keys[i]:
            slot = slot + np.uint64(1) & mask
        keys[slot] = new_keys[i]
        rows[slot] = new_rows[i]


@jit
def scan(
    buf: Bytes, keys: U64, rows: I32, by_row: U64, row: I32, t: I64, value: F64, bits: U64, miss: I64, slow: I64,
    exemplar: I64,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Read one request: status, and how many points, misses, slow metrics and exemplars were written.

    by_row: the key of each row. Senders repeat themselves, so the row after the last one is looked at first: that is
    a step in memory and not a jump.

    row, t, value (cap,) are written, in the order of the message; `bits` is the memory of `value` as uint64. row is
    -1 for a key that the table (keys, rows) does not hold; then a line of miss (cap, 13) says where the point lies.
    slow (m, 7): metrics that are not numbers. exemplar (m, 2): start and end of exemplars, which are not checked here.
    """
    n = misses = slows = exemplars = 0
    found: Any = np.int64(len(by_row))
    end = len(buf)
    at = 0
    while at < end:
        tag, r0, r1 = _field(buf, at, end)
        if r1 < 0 or tag != 10:
            return UNUSUAL, 0, 0, 0, 0
        at = r1
        h_resource, count, _, _, _ = _level(buf, r0, r1, RESOURCE_CHILDREN, np.uint64(0))
        if count < 1:
            return UNUSUAL, 0, 0, 0, 0
        r_at = r0
        while r_at < r1:
            tag, s0, s1 = _field(buf, r_at, r1)
            r_at = s1
            if tag != 18:
                continue
            h_scope, count, _, _, _ = _level(buf, s0, s1, SCOPE_CHILDREN, h_resource)
            if count < 1:
                return UNUSUAL, 0, 0, 0, 0
            s_at = s0
            while s_at < s1:
                tag, m0, m1 = _field(buf, s_at, s1)
                s_at = m1
                if tag != 18:
                    continue
                h_metric, count, field, d0, d1 = _level(buf, m0, m1, METRIC_CHILDREN, h_scope)
                if count != 1:
                    return UNUSUAL, 0, 0, 0, 0
                if field > 7:
                    if slows == len(slow):
                        return FULL, 0, 0, 0, 0
                    slow[slows, 0] = n
                    slow[slows, 1], slow[slows, 2], slow[slows, 3] = r0, r1, s0
                    slow[slows, 4], slow[slows, 5], slow[slows, 6] = s1, m0, m1
                    slows += 1
                    continue
                h_data, count, _, _, _ = _level(buf, d0, d1, DATA_CHILDREN, _mix(h_metric, np.uint64(field)))
                if count < 1:
                    return UNUSUAL, 0, 0, 0, 0
                if n + count > len(t):
                    return FULL, 0, 0, 0, 0
                d_at = d0
                while d_at < d1:
                    tag, p0, p1 = _field(buf, d_at, d1)
                    d_at = p1
                    if tag != 10:
                        continue
                    h = h_data
                    time_ns = np.int64(0)
                    run = p_at = p0
                    is_missing, has_value = False, False
                    while p_at < p1:
                        tag, body, stop = _field(buf, p_at, p1)
                        if stop < 0:
                            return UNUSUAL, 0, 0, 0, 0
                        if tag == 17 or tag == 25 or tag == 33 or tag == 49 or tag == 64 or tag == 42:
                            if run < p_at:
                                h = _hash(buf, run, p_at, h)
                            run = stop
                            if tag == 25:
                                word = _word(buf, body)
                                time_ns = _TIME_MAX if word & _SIGN else np.int64(word)
                            elif tag == 33:
                                bits[n] = _word(buf, body)
                                has_value = True
                            elif tag == 49:
                                value[n] = np.float64(np.int64(_word(buf, body)))
                                has_value = True
                            elif tag == 64:
                                is_missing = buf[body] & 1 == 1
                            elif tag == 42:
                                if exemplars == len(exemplar):
                                    return FULL, 0, 0, 0, 0
                                exemplar[exemplars, 0], exemplar[exemplars, 1] = body, stop
                                exemplars += 1
                        p_at = stop
                    if run < p1:
                        h = _hash(buf, run, p1, h)
                    if is_missing or not has_value:
                        value[n] = np.nan
                    t[n] = time_ns
                    key = _finish(h)
                    found += 1
                    if found >= len(by_row) or by_row[found] != key:
                        found = np.int64(_find(keys, rows, key))
                    row[n] = found
                    if found < 0:
                        found = np.int64(len(by_row))
                        miss[misses, 0], miss[misses, 1] = n, np.int64(key)
                        miss[misses, 2], miss[misses, 3], miss[misses, 4] = r0, r1, s0
                        miss[misses, 5], miss[misses, 6], miss[misses, 7] = s1, m0, m1
                        miss[misses, 8], miss[misses, 9], miss[misses, 10] = field, d0, d1
                        miss[misses, 11], miss[misses, 12] = p0, p1
                        misses += 1
                    n += 1
    return OK, n, misses, slows, exemplars


LABELS_MAX = 64


@inlined
def _is_plain(buf: Bytes, start: int, end: int) -> bool:
    """Whether text stands in JSON as it is: printable ASCII without quotes and backslash."""
    for i in range(start, end):
        byte = buf[np.uint64(i)]
        if byte < 0x20 or byte > 0x7E or byte == 0x22 or byte == 0x5C:
            return False
    return True


@inlined
def _compared(buf: Bytes, a0: int, a1: int, b0: int, b1: int) -> int:
    """Negative, 0 or positive as text a stands before, at or behind text b."""
    for i in range(min(a1 - a0, b1 - b0)):
        if buf[a0 + i] != buf[b0 + i]:
            return -1 if buf[a0 + i] < buf[b0 + i] else 1
    return (a1 - a0) - (b1 - b0)


@jit
def labels(buf: Bytes, miss: I64, extra: I64, out: Bytes, ends: I64, ok: Bool) -> None:
    """The labels of points as JSON objects with sorted keys, one after the other.

    miss (n, 13): where points lie, as `scan` says. extra (n, 4): start and end of key and value of one more label, or
    -1. out: room for them. ends (n,), ok (n,), written: where each ends; False where the plain decoder must be asked,
    because a point has unknown fields or values that are not plain text, a key twice, or more than 64 labels.
    """
    pair = np.empty((LABELS_MAX, 4), np.int64)
    size = 0
    for i in range(len(miss)):
        ok[i] = False
        ends[i] = size
        n = 0
        if extra[i, 0] >= 0:
            pair[0] = extra[i]
            n = 1
        at, end = miss[i, 11], miss[i, 12]
        is_good = True
        while at < end and is_good:
            tag, body, stop = _field(buf, at, end)
            at = stop
            if tag == 58:
                tag, k0, k1 = _field(buf, body, stop) if body < stop else (0, 0, -1)
                if tag != 10 or k1 < 0 or k1 >= stop:
                    is_good = False
                    break
                tag, v0, v1 = _field(buf, k1, stop)
                if tag != 18 or v1 != stop or v0 >= v1:
                    is_good = False
                    break
                tag, v0, v1 = _field(buf, v0, v1)
                if tag != 10 or v1 != stop or n == LABELS_MAX:
                    is_good = False
                    break
                j = n
                while j > 0:
                    order = _compared(buf, k0, k1, pair[j - 1, 0], pair[j - 1, 1])
                    if order > 0:
                        break
                    if order == 0:
                        is_good = False
                        break
                    pair[j] = pair[j - 1]
                    j -= 1
                pair[j, 0], pair[j, 1], pair[j, 2], pair[j, 3] = k0, k1, v0, v1
                n += 1
                is_good = is_good and _is_plain(buf, k0, k1) and _is_plain(buf, v0, v1)
            elif tag != 17 and tag != 25 and tag != 33 and tag != 49 and tag != 64 and tag != 42:
                is_good = False
        if not is_good:
            continue
        out[size] = 0x7B
        size += 1
        for j in range(n):
            if j > 0:
                out[size] = 0x2C
                size += 1
            for part in range(2):
                if part == 1:
                    out[size] = 0x3A
                    size += 1
                out[size] = 0x22
                size += 1
                for k in range(pair[j, 2 * part], pair[j, 2 * part + 1]):
                    out[size] = buf[k]
                    size += 1
                out[size] = 0x22
                size += 1
        out[size] = 0x7D
        size += 1
        ends[i], ok[i] = size, True
