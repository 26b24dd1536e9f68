"""OTLP attribute values as text, and attributes as labels.

Labels are strings because an identity is made of strings: numbers and booleans are rendered, arrays and maps become
compact JSON with sorted keys, so that the same value always gives the same label.
Source: opentelemetry-proto `common.proto`; numbers as in RFC 8785.
"""

import base64
import json
import math
from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from streams._entities import ATTRIBUTES, Origin, origin_of

TIME_MAX_NS = 2**63 - 1
"""A time above this is one that no int64 holds; it is clamped, and then quarantined as far in the future."""


def text_of(value: AnyValue) -> str:
    """One value as text; an unset value is the empty string."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind is None:
        return ""
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "int_value":
        return str(value.int_value)
    if kind == "double_value":
        return number_text(value.double_value)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind in ("array_value", "kvlist_value"):
        return json.dumps(_json(value), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return ""


def number_text(value: float) -> str:
    """The shortest decimal that reads back as the same float64; whole numbers without a point.

    >>> number_text(0.99), number_text(1.0), number_text(float("nan"))
    ('0.99', '1', 'NaN')
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return repr(value).removesuffix(".0")


def origin_from(attributes: Iterable[KeyValue], tenant: str) -> Origin:
    """The origin of a resource; only the attributes that matter are rendered."""
    return origin_of({a.key: text_of(a.value) for a in attributes if a.key in ATTRIBUTES}, tenant)


def whole_number(value: AnyValue) -> int:
    """An integer that was sent as a number or as digits, else 0."""
    if value.WhichOneof("value") == "int_value":
        return value.int_value
    text = text_of(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _json(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_json(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _json(item.value) for item in value.kvlist_value.values}
    if kind in ("bool_value", "int_value"):
        return getattr(value, kind)
    if kind == "double_value" and math.isfinite(value.double_value):
        return value.double_value
    return None if kind is None else text_of(value)
