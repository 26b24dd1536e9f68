"""Records are told a schema registry at start; what does not fit is refused with its field. The registry is a double
of ours that speaks the interface over HTTP: none could be had that runs.
"""

import json
from collections.abc import Iterator

import pytest
import yaml
from support.schema_registry import FakeRegistry, serving
from typer.testing import CliRunner

import schemas as sc
from tidegate._errors import SchemaRegistryError
from tidegate._gateway_kafka import run_gateway
from tidegate._schema_registry import SchemaRegistry, ours, register_all
from tidegate._settings import Settings
from tidegate.cli import app

CHANGE = "tidegate.change.v1"


@pytest.fixture
def registry() -> Iterator[tuple[FakeRegistry, str]]:
    fake = FakeRegistry()
    with serving(fake) as url:
        yield fake, url


def altered(**fields: object) -> str:
    """The schema of a change as another version may have registered it."""
    schema = json.loads(json.dumps(ours("tidegate")[CHANGE]))
    schema["properties"].update(fields)
    return json.dumps(schema)


def test_every_record_is_registered_once_and_known_the_next_time(registry: tuple[FakeRegistry, str]) -> None:
    fake, url = registry
    first, second = (register_all(SchemaRegistry(url), ours("tidegate")) for _ in range(2))
    assert set(fake.versions) == {f"tidegate.{r.TYPE}.v{r.VERSION}" for r in sc.RECORDS.values()}
    assert all(row.is_new for row in first) and not any(row.is_new for row in second)
    assert [row.id for row in first] == [row.id for row in second]


def test_a_field_that_is_new_and_optional_becomes_a_version(registry: tuple[FakeRegistry, str]) -> None:
    fake, url = registry
    older = json.loads(altered())
    del older["properties"]["title"]["description" if "description" in older["properties"]["title"] else "title"]
    fake.versions[CHANGE] = [json.dumps(older)]
    rows = {row.subject: row for row in register_all(SchemaRegistry(url), ours("tidegate"))}
    assert rows[CHANGE].is_new and len(fake.versions[CHANGE]) == 2


def test_what_does_not_fit_is_refused_with_its_field_and_nothing_is_registered(
    registry: tuple[FakeRegistry, str],
) -> None:
    fake, url = registry
    fake.versions[CHANGE] = [altered(at_ns={"type": "string"})]
    with pytest.raises(SchemaRegistryError, match=r"tidegate\.change\.v1 at_ns: .*integer.*") as error:
        register_all(SchemaRegistry(url), ours("tidegate"))
    assert error.value.code == "SCHEMA_INCOMPATIBLE" and set(fake.versions) == {CHANGE}


def test_the_registrys_own_rule_counts_as_well(registry: tuple[FakeRegistry, str]) -> None:
    fake, url = registry
    fake.refuses = lambda subject: subject == CHANGE
    with pytest.raises(SchemaRegistryError, match="answers 409: Schema being registered is incompatible") as error:
        register_all(SchemaRegistry(url), ours("tidegate"))
    assert error.value.code == "SCHEMA_INCOMPATIBLE"


def test_a_registry_that_refuses_us_or_is_not_there_is_a_sentence(registry: tuple[FakeRegistry, str]) -> None:
    fake, url = registry
    fake.authorization = "Bearer secret"
    with pytest.raises(SchemaRegistryError, match="answers 401: Unauthorized"):
        register_all(SchemaRegistry(url, secret="other"), ours("tidegate"))
    assert register_all(SchemaRegistry(url, secret="secret"), ours("tidegate"))
    with pytest.raises(SchemaRegistryError, match="cannot be reached"):
        register_all(SchemaRegistry("http://127.0.0.1:1"), ours("tidegate"))


def test_a_schema_of_somebody_else_is_not_ours(registry: tuple[FakeRegistry, str]) -> None:
    fake, url = registry
    fake.versions[CHANGE] = ['{"type": "object", "properties": {"title": {"$ref": "#/definitions/x"}}}']
    with pytest.raises(SchemaRegistryError, match="a schema that Tidegate did not write"):
        register_all(SchemaRegistry(url), ours("tidegate"))


def test_the_gateway_does_not_start_beside_what_does_not_fit(registry: tuple[FakeRegistry, str]) -> None:
    fake, url = registry
    fake.versions[CHANGE] = [altered(at_ns={"type": "string"})]
    settings = Settings.model_validate({"kafka": {"brokers": "127.0.0.1:1", "registry": {"url": url}}})
    with pytest.raises(SchemaRegistryError, match="at_ns"):
        run_gateway(settings, port=0)


def test_the_command_says_what_was_registered(registry: tuple[FakeRegistry, str], tmp_path) -> None:
    _, url = registry
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({"kafka": {"prefix": "shop", "registry": {"url": url}}}))
    found = CliRunner().invoke(app, ["schema", "register", "--settings", str(path)])
    assert found.output.strip() == f"{len(sc.RECORDS)} subjects, {len(sc.RECORDS)} of them with a new version"
