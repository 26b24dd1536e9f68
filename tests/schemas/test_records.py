"""Records: written strictly, read tolerantly, with ids that name what they identify."""

import json
import math
import types
import uuid
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError
from pydantic.fields import FieldInfo

import schemas
from schemas import (
    Feedback,
    Hypothesis,
    Matcher,
    ProposedChange,
    Record,
    RecordInvalid,
    Silence,
    canonical,
    record_id,
    rfc3339,
    series_id,
    sha256,
)
from schemas._artefacts import CalibrationMap, EvidenceHistory, RankerWeights, TailFit
from schemas._services import ServiceBook

ALL = (*schemas.RECORDS.values(), CalibrationMap, EvidenceHistory, RankerWeights, ServiceBook, TailFit)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FEEDBACK = Feedback(id="f", incident_id="i", verdict="right", said_by="ada", said_ns=1)


def strategy(kind: Any, limits: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a field's type that JSON can hold; `limits` are ge, gt, le, min_length and pattern of the field."""
    if kind is JsonValue:
        return JSON
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return strategy(args[0], limits | limits_of(args[1:]))
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (Union, types.UnionType):
        return st.one_of([strategy(option, limits) for option in args])
    if origin is list:
        return st.lists(strategy(args[0], {}), max_size=2)
    if origin is tuple:
        return st.tuples(*(strategy(part, {}) for part in args))
    if origin is dict:
        return st.dictionaries(st.text(max_size=3), strategy(args[1], {}), max_size=2)
    if isinstance(kind, type) and issubclass(kind, Record):
        return records(kind)
    if kind is str:
        pattern = limits.get("pattern")
        return (
            st.from_regex(pattern, fullmatch=True)
            if pattern
            else st.text(min_size=limits.get("min_length", 0), max_size=5)
        )
    if kind is float:
        low, high = limits.get("ge", limits.get("gt", -1e300)), limits.get("le", 1e300)
        return st.floats(low, high, exclude_min="gt" in limits)
    if kind is int:
        return st.integers(limits.get("ge", -(2**63)), limits.get("le", 2**63 - 1))
    return {bool: st.booleans(), type(None): st.none()}[kind]


def limits_of(metadata: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in metadata:
        parts = item.metadata if isinstance(item, FieldInfo) else [item]
        for part in parts:
            names = ("ge", "gt", "le", "min_length", "pattern")
            found |= {name: getattr(part, name) for name in names if getattr(part, name, None) is not None}
    return found


_WORD = st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True)
_CHOSEN = st.dictionaries(_WORD, _WORD | st.integers(-9, 9) | st.booleans(), max_size=2)
EXACT: dict[type[Record], dict[str, Any]] = {
    ProposedChange: {
        "target": st.builds("t/service/{}".format, _WORD), "parameters": _CHOSEN, "undo_parameters": _CHOSEN,
    },
    Silence: {
        "matchers": st.lists(st.builds(Matcher, name=_WORD, value=_WORD), min_size=1, max_size=2),
        "start_ns": st.integers(-(2**63), 0), "end_ns": st.integers(0, 2**63 - 1),
    },
}  # fmt: skip
"""Fields whose values are held to more than their type."""


def records(kind: type[Record]) -> st.SearchStrategy[Record]:
    fields = {name: strategy(f.annotation, limits_of(f.metadata)) for name, f in kind.model_fields.items()}
    return st.builds(kind, **(fields | EXACT.get(kind, {})))


@pytest.mark.parametrize("kind", ALL, ids=lambda r: r.TYPE)
def test_reading_what_was_written_gives_the_same_record(kind: type[Record]) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(records(kind))
    def holds(record: Record) -> None:
        data = record.to_bytes()
        assert kind.from_bytes(data, strict=True) == record
        assert kind.from_bytes(data).to_bytes() == data

    holds()


@pytest.mark.parametrize("kind", ALL, ids=lambda r: r.TYPE)
def test_a_field_of_a_newer_writer_is_ignored_unless_read_strictly(kind: type[Record]) -> None:
    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
    @given(records(kind))
    def holds(record: Record) -> None:
        newer = json.dumps(json.loads(record.to_bytes()) | {"of_the_future": [1]}).encode()
        assert kind.from_bytes(newer) == record
        with pytest.raises(RecordInvalid, match="of_the_future"):
            kind.from_bytes(newer, strict=True)

    holds()


def test_an_unknown_field_cannot_be_written() -> None:
    with pytest.raises(ValidationError):
        Feedback.model_validate(FEEDBACK.model_dump() | {"more": 1})


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        setattr(FEEDBACK, "verdict", "wrong")  # noqa: B010


def test_a_bad_field_is_named() -> None:
    with pytest.raises(RecordInvalid, match=r"feedback: Feedback field 'verdict'"):
        Feedback.from_bytes(FEEDBACK.to_bytes().replace(b"right", b"maybe"))


def test_bytes_cut_short_are_refused_at_every_cut() -> None:
    data = FEEDBACK.to_bytes()
    for cut in range(len(data)):
        with pytest.raises(RecordInvalid):
            Feedback.from_bytes(data[:cut])


def test_an_unsigned_control_record_cannot_exist() -> None:
    unsigned = {"id": "c", "kind": "kill", "scope": "all", "issued_ns": 1, "issuer": "ada"}
    for body in (unsigned, unsigned | {"signature": ""}):
        with pytest.raises(RecordInvalid, match="signature"):
            schemas.Control.from_bytes(json.dumps(body).encode())


def test_a_value_that_is_not_finite_is_written_as_null_not_as_broken_json() -> None:
    cause = {"entity": "a", "entity_id": "t/service/a", "family": "cpu"}
    body = Hypothesis.model_validate({"cause": cause, "score": math.nan, "reason": ""}).to_bytes()
    assert json.loads(body)["score"] is None


def test_ids_are_stable() -> None:
    """Pinned: if one of these changes, everything that was ever stored gets another name."""
    assert record_id("incident", "shop", 5) == "a06ed3f1-c390-5e53-81df-6c2cd4b26b51"
    assert f"{series_id('t', 't/service/a', 'cpu', {'a': '1'}):016x}" == "5cbae86680fbb0e4"
    assert schemas.shard_of("default", "checkout", 16) == 4
    assert sha256(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.lists(st.text("ab\x1f", max_size=3), min_size=1, max_size=3), st.lists(st.text("ab", max_size=3), max_size=3))
def test_ids_differ_where_names_differ(left: list[str], right: list[str]) -> None:
    if "\x1f" not in "".join(left) and left != right:
        assert record_id("k", *left) != record_id("k", *right)


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=4))
def test_the_order_of_labels_does_not_matter(labels: dict[str, str]) -> None:
    backwards = dict(reversed(labels.items()))
    assert series_id("t", "e", "n", labels) == series_id("t", "e", "n", backwards)
    assert canonical(labels) == canonical(backwards)


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.sampled_from('\x00\b\x7f"\\/\u2028'), max_size=4))
def test_a_series_id_hashes_the_canonical_json_of_its_identity(labels: dict[str, str]) -> None:
    digest = schemas.series_hash(canonical(["t", "e", "n", labels])).digest()
    assert series_id("t", "e", "n", labels) == int.from_bytes(digest, "big")


HARD = st.recursive(
    JSON
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(0.00005, 2e15)
    | st.sampled_from('\x00\b\x1f\x7f"\\/\u2028\U0001f600\uffff'),
    lambda inner: st.tuples(inner) | st.dictionaries(st.sampled_from(["a", "B", "\uffff", "\U0001f600"]), inner),
)


@given(HARD)
def test_canonical_bytes_are_those_of_the_rfc_8785_library(value: Any) -> None:
    held = json.loads(json.dumps(value), parse_int=lambda text: int(text) if abs(int(text)) < 2**53 else text)
    assert canonical(value) == rfc8785.dumps(held)


def test_what_is_nested_deeply_has_canonical_bytes_too() -> None:
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    assert canonical({"b": deep, "a": 1}) == b'{"a":1,"b":' + b"[" * 300 + b'"x"' + b"]" * 300 + b"}"


@given(st.text(max_size=5), st.lists(st.text(max_size=5) | st.integers(), max_size=3))
def test_an_id_is_a_uuid_of_version_5_over_kind_and_parts(kind: str, parts: list[str | int]) -> None:
    name = "\x1f".join((kind, *map(str, parts)))
    assert record_id(kind, *parts) == str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "urn:tidegate"), name))


@pytest.mark.parametrize("value", [math.nan, {1: 2}, "\ud800", {3.5}, [b"x"]])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical(value)


@given(st.integers(0, 4_000_000_000), st.integers(0, 999_999_999))
def test_a_timestamp_keeps_its_nanoseconds(seconds: int, ns: int) -> None:
    text = rfc3339(seconds * 10**9 + ns)
    assert text.endswith(f".{ns:09d}Z") and len(text) == 30
