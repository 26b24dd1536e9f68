"""What is deployed fits its schema and the program: nothing here needs a container engine."""

import json
import re
from pathlib import Path

import yaml
from jsonschema import Draft7Validator

from tidegate._settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def test_the_compose_file_fits_the_compose_specification():
    """tests/data/compose_spec.json is the schema of docker/compose 1.29.2 (Apache-2.0)."""
    schema = json.loads((ROOT / "tests/data/compose_spec.json").read_text())
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert [error.message for error in Draft7Validator(schema).iter_errors(document)] == []


def test_every_file_that_the_compose_file_mounts_is_there_and_is_read_by_the_program():
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = [v.split(":")[0] for v in document["services"]["tidegate"]["volumes"] if v.startswith("./")]
    assert mounts == ["./deploy/settings.yaml"]
    settings = Settings.read(ROOT / mounts[0])
    secrets = {f"/run/secrets/{name}" for name in document["secrets"]}
    assert {str(token.token_file) for token in settings.gateway.tokens} == secrets  # listening to all wants a token


def test_the_image_runs_the_version_of_uv_that_the_makefile_pins():
    pinned = re.search(r"UV_VERSION := (\S+)", (ROOT / "Makefile").read_text()).group(1)
    assert f"uv=={pinned}" in (ROOT / "Dockerfile").read_text()


def test_the_image_runs_as_nobody_in_particular():
    assert "USER 10001" in (ROOT / "Dockerfile").read_text()
