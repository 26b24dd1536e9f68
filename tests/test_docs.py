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


UNTIL_TOLD = {"serve", "investigate", "act gateway", "act worker", "act supervise"}


def commands(command, path=()):
    inner = getattr(command, "commands", None)
    if inner is None:
        return {" ".join(path): command}
    return {name: one for key, found in inner.items() for name, one in commands(found, (*path, key)).items()}


def test_every_command_that_ends_by_itself_takes_json():
    found = commands(get_command(app))
    without = {name for name, one in found.items() if not any("--json" in option.opts for option in one.params)}
    assert without == UNTIL_TOLD


def test_no_page_gives_an_option_to_a_command_that_has_none_of_that_name():
    found = commands(get_command(app)) | {name: one for name, one in get_command(app).commands.items()}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for said in re.findall(r"(?:^|[`\s/])tidegate ((?:[^`\n#|;]|\\\|)*)", page.read_text()):
            words = re.findall(r"[\w-]+", said)[:2]
            command = found.get(" ".join(words)) or found.get(words[0] if words else "")
            known = {option for one in _with_inner(command) for param in one.params for option in param.opts}
            unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", said)) - known - {"--help", "--version"}
            assert command is None or not unknown, f"{page.name}: tidegate {said}: {unknown}"


def _with_inner(command):
    return [] if command is None else [command, *getattr(command, "commands", {}).values()]


def test_every_page_stands_in_the_index():
    index = (ROOT / "docs/README.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


def test_no_link_of_a_page_leads_nowhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for place in re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text()):
            assert place.startswith("http") or (page.parent / place).exists(), f"{page.name} leads to {place}"


def test_no_page_names_a_file_of_the_repository_that_is_not_there():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(
            r"`((?:tests|docs|streams|detectors|diagnosis|actions|tidegate|bench|schemas)/[\w./-]+)`", page.read_text()
        ):
            assert (ROOT / name.rstrip("/")).exists(), f"{page.name} names {name}"
