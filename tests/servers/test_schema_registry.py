"""Records are told a real schema registry (Apicurio) over Confluent's interface; what does not fit is refused."""

import json
import urllib.request

import pytest
from support import apicurio

import schemas as sc
from tidegate._errors import SchemaRegistryError
from tidegate._schema_registry import SchemaRegistry, ours, register_all

CHANGE = "tidegate.change.v1"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with apicurio.running(tmp_path_factory.mktemp("apicurio")) as found:
        yield found


def ask(method, address, **body):
    request = urllib.request.Request(address, json.dumps(body).encode() if body else None, method=method)
    request.add_header("Content-Type", "application/vnd.schemaregistry.v1+json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def altered(**fields):
    """The schema of a change as another version may have registered it."""
    schema = json.loads(json.dumps(ours("tidegate")[CHANGE]))
    schema["properties"].update(fields)
    return json.dumps(schema)


def test_every_record_is_registered_once_and_known_the_next_time(url):
    first, second = (register_all(SchemaRegistry(url), ours("shop.tidegate")) for _ in range(2))
    subjects = {row.subject for row in first}
    assert subjects <= set(ask("GET", f"{url}/subjects")) and len(subjects) == len(sc.RECORDS)
    assert all(row.is_new for row in first) and not any(row.is_new for row in second)
    assert [row.id for row in first] == [row.id for row in second]


def test_what_the_registry_keeps_is_what_was_told(url):
    register_all(SchemaRegistry(url), ours("kept"))
    kept = ask("GET", f"{url}/subjects/kept.change.v1/versions/latest")
    assert json.loads(kept["schema"]) == ours("kept")["kept.change.v1"]
    assert kept["schemaType"] == "JSON"


def test_what_does_not_fit_is_refused_with_its_field_and_nothing_is_registered(url):
    ask("POST", f"{url}/subjects/{CHANGE}/versions", schemaType="JSON", schema=altered(at_ns={"type": "string"}))
    before = ask("GET", f"{url}/subjects")
    with pytest.raises(SchemaRegistryError, match=r"tidegate\.change\.v1 at_ns: .*integer.*") as error:
        register_all(SchemaRegistry(url), ours("tidegate"))
    assert error.value.code == "SCHEMA_INCOMPATIBLE"
    assert ask("GET", f"{url}/subjects") == before


def test_a_rule_of_apicurio_cannot_judge_our_draft_of_json_schema_and_that_is_told(url):
    subject = "ruled.change.v1"
    older = json.loads(altered())
    older["properties"]["title"]["title"] = "said otherwise"
    ask("POST", f"{url}/subjects/{subject}/versions", schemaType="JSON", schema=json.dumps(older))
    ask("PUT", f"{url}/config/{subject}", compatibility="FULL")
    with pytest.raises(SchemaRegistryError, match=r"answers 500: .*could not determine version"):
        register_all(SchemaRegistry(url), ours("ruled"))
    ask("PUT", f"{url}/config/{subject}", compatibility="NONE")
    assert {row.subject: row.is_new for row in register_all(SchemaRegistry(url), ours("ruled"))}[subject]
