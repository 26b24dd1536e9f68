"""One pass over the bytes of a remote write request: samples to columns, labels left alone (needs numba).

The identity of a series is a 64-bit hash over its labels: their bytes in 1.0; in 2.0 the hashes of the symbols that it
refers to, each made once a request, with type and unit. A key that was seen before stands for a row of the caller's
table. Whatever is unusual makes the kernel give up, and the plain decoder (`_remote_wire`) answers.
"""

from typing import Any

import numpy as np

from schemas.core import F64, I64, U64
from streams._jit import inlined, jit
from streams._otlp_numba import FULL, I32, OK, UNUSUAL, Bytes, _field, _find, _finish, _hash, _mix, _word

MISS_COLUMNS = 5
"""First point, point behind the last, key, start and end of the series."""
_MS = np.int64(1_000_000)
_MAX_MS = np.int64((2**63 - 1) // 1_000_000)


@inlined
def _number(buf: Bytes, at: int, stop: int) -> Any:
    """A varint that `_field` found to be whole, as uint64."""
    value = np.uint64(0)
    shift = np.uint64(0)
    for i in range(at, stop):
        value |= (np.uint64(buf[np.uint64(i)]) & np.uint64(0x7F)) << shift
        shift += np.uint64(7)
    return value


@jit
def symbols(buf: Bytes, places: I64, hashes: U64) -> tuple[int, int, bool]:
    """Symbols of a 2.0 request: status, how many, whether one is not ASCII. places (cap, 2), hashes (cap,), written."""
    n = 0
    is_high = False
    at, end = 0, len(buf)
    while at < end:
        tag, body, stop = _field(buf, at, end)
        if stop < 0:
            return UNUSUAL, 0, False
        number = tag >> 3
        if number == 1 or number == 3 or ((number == 4 or number == 5) and tag & 7 != 2):
            return UNUSUAL, 0, False
        if number == 4:
            if n == len(hashes):
                return FULL, 0, False
            for i in range(body, stop):
                is_high = is_high or buf[np.uint64(i)] >= 0x80
            places[n, 0], places[n, 1] = body, stop
            hashes[n] = _hash(buf, body, stop, np.uint64(n == 0))
            n += 1
        at = stop
    if n > 0 and places[0, 0] != places[0, 1]:
        return UNUSUAL, 0, False
    return OK, n, is_high


@jit
def scan(
    buf: Bytes, is_second: bool, hashes: U64, keys: U64, rows: I32, by_row: U64, row: I32, t: I64, value: F64,
    bits: U64, miss: I64, slow: I64,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Read one request: status, and how many points, misses, series with native histograms and exemplars there are.

    is_second: 2.0; hashes: of its symbols. row, t, value (cap,) are written, in the order of the message; `bits` is the
    memory of `value`. miss (cap, 5): series that the table does not hold, with points or without. slow (cap, 2).
    """
    n = misses = slows = exemplars = 0
    series_tag = 42 if is_second else 10
    exemplar_number, histogram_number = (4, 3) if is_second else (3, 4)
    found: Any = np.int64(len(by_row))
    at, end = 0, len(buf)
    while at < end:
        tag, s0, s1 = _field(buf, at, end)
        if s1 < 0:
            return UNUSUAL, 0, 0, 0, 0
        at = s1
        if tag != series_tag:
            number = tag >> 3
            if not is_second and (number == 1 or number == 4 or number == 5):
                return UNUSUAL, 0, 0, 0, 0
            continue
        h = np.uint64(7) if is_second else np.uint64(3)
        references = 0
        type_, unit = np.uint64(0), np.uint64(0)
        is_slow = False
        first = n
        p = s0
        while p < s1:
            tag, body, stop = _field(buf, p, s1)
            if stop < 0:
                return UNUSUAL, 0, 0, 0, 0
            p = stop
            number = tag >> 3
            if number > 5 or (number == 5 and not is_second):
                continue
            if tag & 7 != 2:
                return UNUSUAL, 0, 0, 0, 0
            if number == 2:
                if n == len(t):
                    return FULL, 0, 0, 0, 0
                value[n] = 0.0
                t[n] = 0
                q = body
                while q < stop:
                    tag, a, b = _field(buf, q, stop)
                    if b < 0:
                        return UNUSUAL, 0, 0, 0, 0
                    q = b
                    if tag == 9:
                        bits[n] = _word(buf, a)
                    elif tag == 16:
                        ms = np.int64(_number(buf, a, b))
                        t[n] = min(max(ms, -_MAX_MS), _MAX_MS) * _MS
                    elif tag >> 3 == 1 or tag >> 3 == 2:
                        return UNUSUAL, 0, 0, 0, 0
                if value[n] != value[n]:
                    value[n] = np.nan  # the stale marker is a signalling NaN
                n += 1
            elif number == 1 and not is_second:
                h = _hash(buf, body, stop, h)
            elif number == 1:
                q = body
                while q < stop:
                    b = q
                    while b < stop and buf[np.uint64(b)] >= 0x80:
                        b += 1
                    if b >= stop or b - q >= 5:
                        return UNUSUAL, 0, 0, 0, 0
                    reference = np.int64(_number(buf, q, b + 1))
                    if reference >= len(hashes):
                        return UNUSUAL, 0, 0, 0, 0
                    h = _mix(h, hashes[reference])
                    references += 1
                    q = b + 1
            elif number == exemplar_number:
                exemplars += 1
            elif number == histogram_number:
                is_slow = True
            else:
                type_, unit = np.uint64(0), np.uint64(0)
                q = body
                while q < stop:
                    tag, a, b = _field(buf, q, stop)
                    if b < 0:
                        return UNUSUAL, 0, 0, 0, 0
                    q = b
                    if tag == 8:
                        type_ = _number(buf, a, b)
                    elif tag == 32:
                        unit = _number(buf, a, b)
                        if unit >= np.uint64(len(hashes)):
                            return UNUSUAL, 0, 0, 0, 0
                        unit = hashes[np.int64(unit)]
                    elif tag != 24 and (tag >> 3 == 1 or tag >> 3 == 3 or tag >> 3 == 4):
                        return UNUSUAL, 0, 0, 0, 0
        if is_second:
            if references & 1:
                return UNUSUAL, 0, 0, 0, 0
            h = _mix(_mix(h, type_), unit)
        if is_slow:
            if slows == len(slow):
                return FULL, 0, 0, 0, 0
            slow[slows, 0], slow[slows, 1] = s0, s1
            slows += 1
        key = _finish(h)
        found += 1
        if found >= len(by_row) or by_row[found] != key:
            found = np.int64(_find(keys, rows, key))
        for i in range(first, n):
            row[i] = found
        if found < 0:
            if misses == len(miss):
                return FULL, 0, 0, 0, 0
            found = np.int64(len(by_row))
            miss[misses, 0], miss[misses, 1], miss[misses, 2] = first, n, np.int64(key)
            miss[misses, 3], miss[misses, 4] = s0, s1
            misses += 1
    return OK, n, misses, slows, exemplars
