"""The gate: a change of a record breaks nobody who is already out there, in either direction."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from jsonsubschema import isSubschema
from pydantic import Field, create_model

import schemas
from schemas._base import Record
from schemas._compat import check, gate
from schemas._render import ASYNCAPI, freeze, json_schema, render

FOLDER = Path(schemas.__file__).parent


def schema(**fields: Any) -> dict[str, Any]:
    return json_schema(create_model("Thing", __base__=Record, **fields))


BASE = {"id": (str, ...), "level": (Literal["low", "high"], ...), "ratio": (float, Field(ge=0, le=1)), "n": (int, 0)}

CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, set()),
    "an optional field is added": ({"more": (str | None, None)}, set()),
    "a list with a default is added": ({"more": (list[str], [])}, set()),
    "an optional field is removed": ({"n": None}, set()),
    "a required field is added": ({"more": (str, ...)}, {"backward"}),
    "a required field is removed": ({"id": None}, {"forward"}),
    "a field becomes required": ({"n": (int, ...)}, {"backward"}),
    "a required field becomes optional": ({"id": (str, "")}, {"forward"}),
    "a type is widened": ({"n": (float, 0)}, {"forward"}),
    "a type is narrowed": ({"ratio": (int, Field(ge=0, le=1))}, {"backward"}),
    "a type is exchanged": ({"id": (int, ...)}, {"backward", "forward"}),
    "a field becomes nullable": ({"id": (str | None, ...)}, {"forward"}),
    "an enum value is added": ({"level": (Literal["low", "high", "top"], ...)}, {"forward"}),
    "an enum value is removed": ({"level": (Literal["low"], ...)}, {"backward"}),
    "an enum is opened": ({"level": (str, ...)}, {"forward"}),
    "a bound is narrowed": ({"ratio": (float, Field(ge=0, le=0.5))}, {"backward"}),
    "a bound is removed": ({"ratio": (float, Field(ge=0))}, {"forward"}),
    "a bound becomes strict": ({"ratio": (float, Field(gt=0, le=1))}, {"backward"}),
    "a length is required": ({"id": (str, Field(min_length=1))}, {"backward"}),
    "a pattern is added": ({"id": (str, Field(pattern="^a"))}, {"backward"}),
    "a text becomes a list": ({"id": (list[str], ...)}, {"backward", "forward"}),
    "a description is added": ({"id": (str, Field(description="what it is"))}, set()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_breaks_exactly_the_readers_it_breaks(name: str) -> None:
    change, broken = CHANGES[name]
    after = {field: kind for field, kind in (BASE | change).items() if kind is not None}
    assert {p.direction for p in check(schema(**BASE), schema(**after))} == broken


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"a bound becomes strict"}))
def test_an_independent_subschema_checker_agrees_on_schemas_with_the_same_fields(name: str) -> None:
    """jsonsubschema judges closed validation, ours readers that ignore what they do not know: same fields only.

    It reads draft 4, in which `exclusiveMinimum` is a boolean, so that one case is left out.
    """
    change, broken = CHANGES[name]
    after = BASE | change
    if after.keys() != BASE.keys() or None in after.values():
        return
    old, new = ({k: v for k, v in schema(**f).items() if k != "$schema"} for f in (BASE, after))
    assert isSubschema(old, new) == ("backward" not in broken)
    assert isSubschema(new, old) == ("forward" not in broken)


def test_a_change_deep_inside_is_named_with_its_path() -> None:
    class Inner(Record):
        a: Literal["x"]

    class Wider(Record):
        a: Literal["x", "y"]

    old, new = schema(items=(list[Inner], [])), schema(items=(list[Wider], []))
    (problem,) = check(old, new)
    assert (problem.direction, problem.path, '"y"' in problem.what) == ("forward", "items[].a", True)


def test_values_of_a_map_are_compared() -> None:
    (problem,) = check(schema(m=(dict[str, int], {})), schema(m=(dict[str, float], {})))
    assert (problem.direction, problem.path) == ("forward", "m.*")


def test_a_signed_record_may_not_even_get_an_optional_field() -> None:
    old = json_schema(schemas.Control)
    new = json.loads(json.dumps(old))
    new["properties"]["note"] = {"type": "string", "default": ""}
    assert [(p.direction, p.path) for p in check(old, new)] == [("forward", "note")]


@pytest.mark.parametrize("path", sorted(set(render()) - {ASYNCAPI}))
def test_a_schema_is_compatible_with_itself(path: str) -> None:
    text = json.loads(render()[path])
    assert check(text, text) == []


def test_current_schemas_are_compatible_with_every_committed_version() -> None:
    committed = {str(p.relative_to(FOLDER)): p.read_text() for p in (FOLDER / "generated/history").glob("*.json")}
    assert committed and [str(problem) for problem in gate(render(), committed)] == []


def test_the_gate_names_the_version_that_is_broken() -> None:
    first = freeze({})
    text = json.loads(render()["generated/feedback.v1.json"])
    text["required"].append("action_id")
    problems = gate(render() | {"generated/feedback.v1.json": json.dumps(text)}, first)
    assert [p.path for p in problems] == ["generated/history/feedback.v1.0.json action_id"]


def test_a_record_that_vanished_is_a_problem() -> None:
    current = {path: text for path, text in render().items() if "feedback" not in path}
    assert [p.path for p in gate(current, freeze({}))] == ["generated/history/feedback.v1.0.json"]


def test_freezing_adds_a_version_only_of_what_changed() -> None:
    first = freeze({})
    assert freeze(first) == {}
    assert list(freeze(first | {"generated/history/gap.v1.0.json": "{}"})) == ["generated/history/gap.v1.1.json"]
