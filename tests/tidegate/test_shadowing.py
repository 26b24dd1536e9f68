"""The plain names of the rooms could belong to somebody else; importing Tidegate finds out."""

import subprocess
import sys
from pathlib import Path

import tidegate


def test_every_package_is_ours():
    assert tidegate.shadowed(Path(tidegate.__file__).resolve().parent.parent) == {}


def test_a_foreign_package_of_the_same_name_is_named_with_what_to_do(tmp_path):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import tidegate"],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"package 'schemas' comes from {tmp_path / 'schemas'}" in done.stderr
    assert "environment of its own" in done.stderr
