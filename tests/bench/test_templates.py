"""The benchmark of log templates: what it counts, what it finds in folders and archives, what it says without data."""

import tarfile
from pathlib import Path

import pytest

from bench.detection import loghub2k, sets
from bench.detection._lines import fresh
from bench.detection.loghub2k import grouping_accuracy


def test_a_group_that_lost_one_line_counts_for_nothing() -> None:
    assert grouping_accuracy([1, 1, 1, 2], "aabc") == 0.25
    assert grouping_accuracy([1, 1, 2, 2], "aaaa") == 0.0
    assert grouping_accuracy("xyz", "xyz") == 1.0


def test_fresh_digits_change_digits_only() -> None:
    plain = b"took 12 ms\nport 80 of x"
    text = fresh(plain, 5, 1)
    assert len(text.split(b"\n")) == 5 and text == fresh(plain, 5, 1) != fresh(plain, 5, 2)
    assert text.translate(None, b"0123456789").split(b"\n")[:2] == [b"took  ms", b"port  of x"]


def _written(folder: Path, name: str) -> Path:
    file = folder / name / f"{name}_2k.log_structured.csv"
    file.parent.mkdir(parents=True)
    file.write_text('LineId,Content,EventId\n1,"took 5 ms, ok",E1\n2,"took 7 ms, ok",E1\n3,gone,E2\n', "utf-8")
    return file


def test_systems_are_found_in_folders_and_in_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loghub2k, "speed", lambda systems, lines: ({"lines": lines}, {}))
    packed = _written(tmp_path / "other", "Packed")
    with tarfile.open(tmp_path / "data.tar.xz", "w:xz") as archive:
        archive.add(packed, "Packed/Packed_2k.log_structured.csv")
    packed.unlink()
    _written(tmp_path, "Plain")
    found = loghub2k.measure(tmp_path, lines=3)
    assert found["systems"] == {"Plain": 1.0, "Packed": 1.0} and found["grouping_accuracy"] == found["others"] == 1.0


def test_a_folder_without_systems_ends_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no"):
        loghub2k.measure(tmp_path)


def test_every_set_can_measure_and_print() -> None:
    known = sets()
    assert "loghub2k" in known
    assert all(callable(module.measure) and callable(module.table) for module in known.values())
