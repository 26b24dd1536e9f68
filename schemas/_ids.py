"""Ids name what they identify, so computing something twice yields the same id and consumers can dedupe.

UUIDv5 (RFC 9562) over the parts, never uuid4, an offset or the wall clock. Series ids are 64-bit hashes of the
canonical labels: at a million series the chance of any collision is about 3e-8; a collision is detected when the
second definition arrives and the newcomer is rejected, counted.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any, NewType

import rfc8785
from pydantic_core import PydanticSerializationError, to_json

SeriesId = NewType("SeriesId", int)
EntityId = NewType("EntityId", str)

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:tidegate")
_NAMED = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)
"""Every id is hashed behind the namespace."""


def record_id(kind: str, *parts: str | int) -> str:
    """The id of a record: UUIDv5 over its kind and the parts that name it, in order.

    >>> record_id("incident", "shop", 5) == record_id("incident", "shop", 5)
    True
    """
    named = _NAMED.copy()
    named.update("\x1f".join((kind, *map(str, parts))).encode())
    digest = bytearray(named.digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x50, digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def series_id(tenant: str, entity_id: str, name: str, labels: Mapping[str, str]) -> SeriesId:
    """A 64-bit id of one series: BLAKE2b-8 over the RFC 8785 form of its identity; label order does not matter.

    >>> series_id("t", "e", "cpu", {"a": "1", "b": "2"}) == series_id("t", "e", "cpu", {"b": "2", "a": "1"})
    True
    """
    identity = _plain([tenant, entity_id, name, dict(labels)])
    return SeriesId(int.from_bytes(series_hash(identity).digest(), "big"))


def series_hash(start: bytes) -> "hashlib.blake2b":
    """The hash whose eight bytes are a series id, given the start of `["tenant","entity","name",{labels}]`.

    The whole is canonical JSON; who makes ids of many series of one metric hashes what they share once.
    """
    return hashlib.blake2b(start, digest_size=8)


_EXACT = 1 << 53
"""Integers from here on are no exact JSON numbers."""
_LEAST = -_EXACT
_ENCODE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def _plain(value: list[Any]) -> bytes:
    """RFC 8785 bytes of strings in lists and objects. In ASCII the library's order and escapes are those of Python."""
    text = _ENCODE(value)
    return text.encode() if text.isascii() else rfc8785.dumps(value)


def shard_of(tenant: str, service: str, shards: int) -> int:
    """The shard that owns all series of one service, so that a numerator and its denominator always meet."""
    digest = hashlib.blake2b(f"{tenant}\x1f{service}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


def sha256(data: bytes) -> str:
    """`sha256:` and the hex digest, the form in which every digest is written."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def canonical(value: object) -> bytes:
    """RFC 8785 bytes of a JSON value; what is hashed and signed.

    JSON numbers end at 2^53, nanoseconds do not: integers beyond are written as decimal strings.

    >>> canonical({"b": 2, "a": 1_674_987_610_000_000_001})
    b'{"a":"1674987610000000001","b":2}'
    """
    try:
        data = to_json(_simple(value))
    except (_NotSimpleError, PydanticSerializationError):  # the second: nested beyond its measure, or no text
        return rfc8785.dumps(_safe(value))  # type: ignore[arg-type]
    return data if data.isascii() else rfc8785.dumps(_safe(value))  # type: ignore[arg-type]


def rounded(value: object) -> object:
    """The value with every float at twelve significant digits: the form in which runs are compared.

    >>> rounded([0.1 + 0.2, {"a": 1}])
    [0.3, {'a': 1}]
    """
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


class _NotSimpleError(Exception):
    """There is a number that not all write alike, a key that is no text, or another type than those of JSON."""


def _simple(value: object) -> object:
    """As `_safe`, in order of keys, for text, whole numbers, lists and objects: what is then written as by RFC 8785."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return value if _LEAST < value < _EXACT else str(value)  # type: ignore[operator]
    if kind is dict:
        if not {str}.issuperset(map(type, value)):  # type: ignore[call-overload]
            raise _NotSimpleError
        simple = {}
        for key in sorted(value):  # type: ignore[call-overload]
            item = value[key]  # type: ignore[index]
            of = type(item)
            if of is str or item is None:  # most items are text or small: no call for each
                simple[key] = item
            elif of is int:
                simple[key] = item if _LEAST < item < _EXACT else str(item)
            elif of is float and 1e-4 <= item < 1e15 and not item.is_integer():
                simple[key] = item  # there all write a number alike: the shortest digits, without an exponent
            else:
                simple[key] = _simple(item)
        return simple
    if kind is list or kind is tuple:
        return [item if type(item) is str else _simple(item) for item in value]  # type: ignore[attr-defined]
    raise _NotSimpleError


def _safe(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _EXACT:
        return str(value)
    if isinstance(value, Mapping):
        return {key: _safe(item) for key, item in value.items()}
    return [_safe(item) for item in value] if isinstance(value, list | tuple) else value
