"""The house: who may import whom, and how large a file may be. Each failure says the rule in a sentence."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("streams", "detectors", "diagnosis", "actions")
MAY_IMPORT = {
    "schemas": set(),
    **{room: {"schemas"} for room in ROOMS},
    "learning": {"schemas", *ROOMS},
    "simulation": {"schemas", *ROOMS, "learning"},
    "tidegate": {"schemas", *ROOMS, "learning", "simulation"},
}
FOLDERS = set(MAY_IMPORT)
FILES = sorted(f for folder in FOLDERS for f in (ROOT / folder).rglob("*.py"))
IMPURE = {"time", "random", "datetime.now", "os.environ", "socket", "urllib", "http", "threading", "asyncio", "secrets"}
SHELLS = {
    "streams/_embedded.py", "streams/_log.py", "streams/_recording.py", "streams/_import.py", "streams/importers",
    "streams/sources", "streams/_kafka", "actions/executors", "tidegate",
}  # fmt: skip


def imports_of(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_a_room_imports_only_the_floors_below_and_their_public_faces(file):
    folder = file.relative_to(ROOT).parts[0]
    for name in imports_of(file):
        top, *rest = name.split(".")
        if top not in FOLDERS or top == folder:
            continue
        assert top in MAY_IMPORT[folder], f"{folder} imports {top}: only {sorted(MAY_IMPORT[folder])} are below it"
        private = rest and rest[0].startswith("_") and folder not in ("tidegate", "learning", "simulation")
        assert not private, f"{file.name} imports {name}: use what {top}/__init__.py names"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_a_core_reads_no_clock_network_environment_or_chance(file):
    place = str(file.relative_to(ROOT))
    if any(place.startswith(shell) for shell in SHELLS):
        return
    for name in imports_of(file):
        assert name.split(".")[0] not in IMPURE, (
            f"{place} imports {name}: time comes in the event, effects go out as commands"
        )


def test_no_file_is_over_500_lines_and_half_are_under_150():
    sizes = {str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in FILES}
    assert {name: n for name, n in sizes.items() if n > 500} == {}
    assert statistics.median(sizes.values()) <= 150


PLUGINS = ["streams/sources", "streams/importers", "detectors", "actions/verbs", "actions/executors"]


@pytest.mark.parametrize("folder", PLUGINS)
def test_an_unprefixed_file_is_a_plug_in(folder):
    for file in (ROOT / folder).glob("[!_]*.py"):
        assert "PLUGIN = " in file.read_text(), f"{file.name} has no PLUGIN; machinery begins with an underscore"


def test_what_the_system_says_is_told_without_its_number_and_the_path_once_more():
    """`str()` of an OSError is `[Errno 2] No such file or directory: 'x'`, and a sentence has named x already."""
    of_the_system = {"OSError", "SSLError", "URLError", "ClientError", "TimeoutError"}
    for file in FILES:
        for caught in ast.walk(ast.parse(file.read_text())):
            if not isinstance(caught, ast.ExceptHandler) or caught.name is None or caught.type is None:
                continue
            if not of_the_system & {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(caught.type)}:
                continue
            for node in ast.walk(caught):
                told = node.value if isinstance(node, ast.FormattedValue) else None
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("str", "repr"):
                    told = node.args[0]
                is_bare = isinstance(told, ast.Name) and told.id == caught.name
                assert not is_bare, f"{file.name}:{getattr(node, 'lineno', 0)} tells {caught.name}: use schemas.why"


def test_nothing_is_swallowed():
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ExceptHandler):
                quiet = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
                assert not quiet, f"{file.name}:{node.lineno} swallows an error: say what happens with it"
                assert node.type is not None, f"{file.name}:{node.lineno} catches everything: name what you expect"
