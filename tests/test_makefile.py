"""`make help` is the list of targets that people have: all of them, each once."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_make_help_lists_every_target_once():
    targets = re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    assert listed == targets and len(set(targets)) == len(targets)
    assert all(len(line.split(maxsplit=1)) == 2 for line in done.stdout.splitlines())


def test_no_target_is_taken_for_a_file():
    text = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split()
    assert phony == re.findall(r"^([a-z][a-z0-9-]*):", text, re.MULTILINE)


def test_no_page_names_a_target_that_is_not_there():
    text = (ROOT / "Makefile").read_text()
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(r"`make ([a-z][a-z0-9-]*)", page.read_text()):
            assert re.search(rf"^{name}:", text, re.MULTILINE), f"{page.name} names make {name}"
