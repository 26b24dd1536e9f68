"""What is committed in `schemas/generated/` is what the models say."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import schemas
from schemas._render import ASYNCAPI, asyncapi, json_schema, render

FOLDER = Path(schemas.__file__).parent
MEND = "Run `tidegate schema render` and commit what it writes."


def test_committed_files_are_what_is_rendered() -> None:
    committed = {str(p.relative_to(FOLDER)): p.read_text() for p in (FOLDER / "generated").glob("*.json")}
    rendered = render()
    differing = sorted(p for p in committed.keys() | rendered.keys() if committed.get(p) != rendered.get(p))
    assert differing == [], MEND


def test_rendering_twice_gives_the_same_bytes() -> None:
    assert render() == render()


@pytest.mark.parametrize("record", schemas.RECORDS.values(), ids=lambda r: r.TYPE)
def test_a_schema_is_valid_and_named_as_the_header_says(record: type[schemas.Record]) -> None:
    schema = json_schema(record)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:tidegate:schema:{record.TYPE}:{record.VERSION}"
    assert record.model_json_schema(mode="serialization") == record.model_json_schema(mode="validation")


def test_only_signed_records_are_closed() -> None:
    closed = {r.TYPE for r in schemas.RECORDS.values() if '"additionalProperties": false' in json.dumps(json_schema(r))}
    assert closed == {"approval", "audit", "checkpoint", "control", "signed-approval"}


def test_every_topic_is_a_channel_and_every_reference_resolves() -> None:
    document = asyncapi()
    assert set(document["channels"]) == set(schemas.TOPICS)
    for pointer in _references(document):
        node: Any = document
        for part in pointer.removeprefix("#/").split("/"):
            node = node[part]


def test_a_channel_lists_its_records_and_the_marks_of_time() -> None:
    channels = asyncapi()["channels"]
    assert list(channels[schemas.ACTIONS]["messages"]) == ["action", "follow-up", "watermark", "coverage"]
    assert schemas.FRAMES in channels[schemas.FRAMES]["messages"]


def test_arrow_topics_describe_their_columns() -> None:
    payload = json.loads(render()[ASYNCAPI])["components"]["messages"][schemas.FRAMES]["payload"]
    assert payload["x-arrow-columns"] == [
        {"name": "series", "type": "uint64"},
        {"name": "t", "type": "timestamp[ns]"},
        {"name": "value", "type": "double"},
    ]


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for item in node for found in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for value in node.values() for found in _references(value)]
