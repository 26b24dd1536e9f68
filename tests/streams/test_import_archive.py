"""An archive can hurt nobody: what reaches outside, is a link, or is cut short is refused, and nothing stays behind."""

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
from pathlib import Path

import pytest
import zstandard

from streams._errors import ImportError_
from streams.importers import _archive
from streams.importers._archive import unpacked


def archive(path: Path, *members: tarfile.TarInfo, size: int = 1000) -> Path:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for member in members:
            member.size = size if member.isfile() else 0
            tar.addfile(member, io.BytesIO(bytes(i * 7 % 251 for i in range(member.size))))
    pack = {".xz": lzma.compress, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.compress, ".tar": bytes}
    path.write_bytes(pack[path.suffix](raw.getvalue()))
    return path


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../evil.csv"), tarfile.TarInfo("a/../../evil.csv"), tarfile.TarInfo("/evil.csv"),
        tarfile.TarInfo("C:\\evil.csv"), link("a.csv", "/etc/passwd", tarfile.SYMTYPE),
        link("a.csv", "../b.csv", tarfile.LNKTYPE), link("a.csv", "", tarfile.CHRTYPE),
    ],
)  # fmt: skip
def test_a_member_that_reaches_outside_or_is_no_file_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    path = archive(tmp_path / "a.tar", tarfile.TarInfo("ok.csv"), member)
    with pytest.raises(ImportError_, match="Do not use this archive") as caught, unpacked(path, lambda name: True):
        pass
    assert caught.value.code == "ARCHIVE_UNSAFE"
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"] and not (tmp_path.parent / "evil.csv").exists()


@pytest.mark.parametrize("suffix", [".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tar.zst"])
def test_only_wanted_files_are_unpacked_and_the_directory_is_removed(tmp_path: Path, suffix: str) -> None:
    path = archive(tmp_path / f"a{suffix}", tarfile.TarInfo("d/a.csv"), tarfile.TarInfo("d/b.txt"))
    with unpacked(path, lambda name: name.suffix == ".csv") as root:
        assert [p.name for p in root.rglob("*") if p.is_file()] == ["a.csv"]
    assert not root.exists()


def test_a_directory_with_one_archive_and_notes_stands_for_the_archive(tmp_path: Path) -> None:
    archive(tmp_path / "a.tar.zst", tarfile.TarInfo("d/a.csv"))
    (tmp_path / "README.md").write_text("notes")
    with unpacked(tmp_path, lambda name: name.suffix == ".csv") as root:
        assert [p.name for p in root.rglob("*") if p.is_file()] == ["a.csv"]


def test_a_directory_with_two_archives_is_refused_and_names_them(tmp_path: Path) -> None:
    for name in ("b.tar", "a.tar.gz"):
        archive(tmp_path / name, tarfile.TarInfo("a.csv"))
    sentence = r"holds 2 archives: a.tar.gz, b.tar. Name one of them"
    with pytest.raises(ImportError_, match=sentence) as caught, unpacked(tmp_path, lambda name: name.suffix == ".csv"):
        pass
    assert caught.value.code == "ARCHIVES_SEVERAL"


@pytest.mark.parametrize("beside", ["c.csv", "d/c.csv"])
def test_a_directory_of_data_is_itself_whatever_archive_lies_beside(tmp_path: Path, beside: str) -> None:
    archive(tmp_path / "a.tar", tarfile.TarInfo("a.csv"))
    (tmp_path / beside).parent.mkdir(exist_ok=True)
    (tmp_path / beside).write_text("1")
    with unpacked(tmp_path, lambda name: name.suffix == ".csv") as root:
        assert root == tmp_path


@pytest.mark.parametrize("suffix", [".tar.xz", ".tar.gz", ".tar.bz2", ".tar.zst"])
def test_an_archive_cut_short_at_any_byte_is_refused(tmp_path: Path, suffix: str) -> None:
    path = archive(tmp_path / f"a{suffix}", tarfile.TarInfo("a.csv"), tarfile.TarInfo("b.csv"))
    data = path.read_bytes()
    for size in {*range(1, len(data), 37), len(data) - 1}:
        path.write_bytes(data[:size])
        with pytest.raises(ImportError_) as caught, unpacked(path, lambda name: True):
            pass
        assert caught.value.code in ("ARCHIVE_CUT_SHORT", "ARCHIVE_UNREADABLE")


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "_UNPACKED_BYTES", 1500)
    path = archive(tmp_path / "a.tar.zst", tarfile.TarInfo("a.csv"), tarfile.TarInfo("b.csv"))
    with pytest.raises(ImportError_, match="more than") as caught, unpacked(path, lambda name: True):
        pass
    assert caught.value.code == "ARCHIVE_TOO_LARGE"


def test_something_that_is_no_archive_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("hello " * 200)
    with pytest.raises(ImportError_, match="cannot be unpacked"), unpacked(tmp_path / "a.tar", lambda name: True):
        pass


def test_no_temporary_directory_stays_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.tar", tarfile.TarInfo("ok.csv"), tarfile.TarInfo("../evil.csv"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with pytest.raises(ImportError_), unpacked(path, lambda name: True):
        pass
    assert list((tmp_path / "tmp").iterdir()) == []
