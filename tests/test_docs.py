"""Docs that hold: every setting, command and plug-in stands where people look for it."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.main import get_command

from tidegate._settings import Settings
from tidegate.cli import app

ROOT = Path(__file__).resolve().parent.parent


def keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += keys(inner, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}")
    return found


@pytest.mark.parametrize("key", keys(Settings))
def test_every_setting_is_documented(key):
    assert f"`{key}`" in (ROOT / "docs/settings.md").read_text()


def test_no_documented_setting_is_gone():
    documented = re.findall(r"^\| `([a-z_.]+)`", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(keys(Settings))


@pytest.mark.parametrize("name", sorted(get_command(app).commands))
def test_every_command_is_documented(name):
    assert f"`tidegate {name}" in (ROOT / "docs/cli.md").read_text()


def test_no_page_names_a_file_of_the_repository_that_is_not_there():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(
            r"`((?:tests|docs|streams|detectors|diagnosis|actions|tidegate|bench|schemas)/[\w./-]+)`", page.read_text()
        ):
            assert (ROOT / name.rstrip("/")).exists(), f"{page.name} names {name}"
