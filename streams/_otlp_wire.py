"""Bytes of an OTLP export request, protobuf or JSON, to its message; everything unreadable is a SourceError.

Source: OpenTelemetry Protocol 1.x: binary protobuf, and JSON in protobuf's JSON mapping except that trace and span
ids are hex. Unknown fields are ignored in both.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Proto

from schemas.core import Message
from streams._errors import SourceError
from streams._intake import JSON_TYPE, PROTOBUF_TYPE, Intake, Reply
from streams._otlp_encode import varint

P = TypeVar("P", bound=Proto)

_HEX_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})
_SPACE: Final = b" \t\r\n"
_NEWLINE: Final = 0x0A  # also the first byte of nearly every protobuf export request: field 1, length-delimited
_NOT_JSON: Final = (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError, json_format.Error)


def otlp_intake(signal: str) -> Intake:
    """OTLP/HTTP of one signal. What cannot be decoded is kept: a sender would only drop what is refused."""
    return Intake(
        (f"/v1/{signal}",), (PROTOBUF_TYPE, JSON_TYPE), max_bytes=1 << 30, reads_first=False,
        brings_series=signal == "metrics", status=200, signal=signal,
    )  # fmt: skip


def otlp_reply(headers: Mapping[str, str]) -> Reply:
    """An empty export response in the encoding of the request."""
    is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == JSON_TYPE
    return Reply(200, body=b"{}", media_type=JSON_TYPE) if is_json else Reply(200, media_type=PROTOBUF_TYPE)


def parse(data: bytes, kind: type[P]) -> P:
    """Read an export request of the given kind.

    Raises SourceError with code OTLP_TRUNCATED (cut short), OTLP_INVALID (not protobuf of this kind) or
    OTLP_JSON_INVALID.
    """
    if not looks_like_json(data):
        return _parse_binary(data, kind)
    try:
        return _parse_json(data, kind)
    except SourceError as error:
        if data[0] != _NEWLINE:
            raise
        return _parse_binary_or(error, data, kind)


def looks_like_json(data: bytes) -> bool:
    """Whether the first byte that is no white space is an opening brace."""
    return data[:1] == b"{" or data[:64].lstrip(_SPACE)[:1] == b"{"


def located(error: SourceError, message: Message) -> SourceError:
    """The same error, with the place of the message in its log."""
    where = f"{message.topic}/{message.partition}@{message.offset}"
    return SourceError(error.what, where=where, todo=error.todo, code=error.code)


def wrap(field: int, body: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(field << 3 | 2) + varint(len(body)) + body


def _parse_binary(data: bytes, kind: type[P]) -> P:
    try:
        request: P = kind()
        request.ParseFromString(data)
        return request
    except DecodeError as error:
        if _is_cut_short(data):
            what = f"the protobuf message of {len(data)} bytes ends inside a field"
            raise SourceError(what, todo="Send it again whole", code="OTLP_TRUNCATED") from error
        what = f"{len(data)} bytes are not a protobuf {kind.DESCRIPTOR.name}"
        todo = "Check that the topic holds this signal, encoding otlp_proto or otlp_json"
        raise SourceError(what, todo=todo, code="OTLP_INVALID") from error


def _parse_binary_or(error: SourceError, data: bytes, kind: type[P]) -> P:
    """A protobuf request whose first part is 123 bytes long begins like JSON, "\\n{"; if it is none, `error` holds."""
    try:
        return _parse_binary(data, kind)
    except SourceError:
        raise error from None


def _is_cut_short(data: bytes) -> bool:
    """Whether a run of well-formed top-level fields is broken off by the end of the bytes."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint_at(data, at)
        if at < 0:
            return True
        if tag & 7 != 2 or tag >> 3 != 1:
            return False
        length, at = _varint_at(data, at)
        if at < 0 or at + length > end:
            return True
        at += length
    return False


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    """Value and position after it, or position -1 if the bytes end inside."""
    value = 0
    for i, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    return value, -1


def _parse_json(data: bytes, kind: type[P]) -> P:
    try:
        text = data.decode()
        tree = json.loads(text)
        if "\\ud" in text.lower():  # half a surrogate pair is no text, and protobuf does not always say so itself
            json.dumps(tree, ensure_ascii=False).encode()
        _hex_to_base64(tree)
        request: P = kind()
        json_format.ParseDict(tree, request, ignore_unknown_fields=True)
        return request
    except _NOT_JSON as error:  # json_format lets some of Python's own errors through for odd shapes
        what = f"not OTLP JSON: {str(error)[:200] or type(error).__name__}"
        raise SourceError(what, todo="See the OTLP/JSON encoding", code="OTLP_JSON_INVALID") from error


def _hex_to_base64(tree: Any) -> None:
    """Rewrite ids in place: OTLP has them in hex, protobuf's JSON mapping wants base64."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in _HEX_IDS and isinstance(value, str):
                tree[key] = base64.b64encode(_unhex(key, value)).decode()
            else:
                _hex_to_base64(value)
    elif isinstance(tree, list):
        for item in tree:
            _hex_to_base64(item)


def _unhex(key: str, value: str) -> bytes:
    try:
        return binascii.unhexlify(value)
    except ValueError as error:
        raise ValueError(f"{key} '{value[:40]}' is not hexadecimal") from error
