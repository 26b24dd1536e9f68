"""Archives, unpacked into a temporary directory that is removed again; an archive that reaches outside is refused.

Knows tar plain, gzip, bzip2, xz and zstd by their first bytes. Only the members asked for touch the disk.
"""

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, cast

import zstandard

from schemas import why
from streams._errors import ImportError_

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_UNPACKED_BYTES = 8 << 30  # beyond this an archive is taken for a bomb


@contextmanager
def unpacked(path: Path, wanted: Callable[[PurePosixPath], bool]) -> Iterator[Path]:
    """The directory itself, or the wanted files of an archive in a temporary directory.

    A directory of nothing but files, one of them an archive, stands for that archive, as data sets are downloaded.

    Raises ImportError_ with ARCHIVE_UNSAFE (a member outside, a link, a device), ARCHIVE_CUT_SHORT, ARCHIVE_TOO_LARGE,
    ARCHIVE_UNREADABLE or ARCHIVES_SEVERAL.
    """
    if path.is_dir():
        archives = _archives(path, wanted)
        if not archives:
            yield path
            return
        if len(archives) > 1:
            what = f"holds {len(archives)} archives: {', '.join(a.name for a in archives[:5])}"
            raise ImportError_(what, where=path.name, todo="Name one of them", code="ARCHIVES_SEVERAL")
        path = archives[0]
    with tempfile.TemporaryDirectory(prefix="tidegate-import-") as directory:
        _unpack(path, Path(directory), wanted)
        yield Path(directory)


def _archives(directory: Path, wanted: Callable[[PurePosixPath], bool]) -> list[Path]:
    entries = sorted(directory.iterdir())
    if any(entry.is_dir() or wanted(PurePosixPath(entry.name)) for entry in entries):
        return []
    return [entry for entry in entries if entry.name.endswith(_SUFFIXES)]


def _unpack(path: Path, into: Path, wanted: Callable[[PurePosixPath], bool]) -> None:
    again = "Copy or download the archive again"
    total = 0
    try:
        with _stream(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                name = _safe(member, path)
                total = _bounded(total + member.size, path)
                if member.isfile() and wanted(name):
                    target = into.joinpath(*name.parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as out:
                        shutil.copyfileobj(cast(IO[bytes], tar.extractfile(member)), out)
            while rest := stream.read(1 << 20):  # to the end of the packed stream, where its checksum stands
                total = _bounded(total + len(rest), path)
    except EOFError as error:
        raise ImportError_("is cut short", where=path.name, todo=again, code="ARCHIVE_CUT_SHORT") from error
    except (tarfile.TarError, lzma.LZMAError, zlib.error, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            again = "Give a file that can be read"
        code = "ARCHIVE_CUT_SHORT" if "unexpected end" in why(error) else "ARCHIVE_UNREADABLE"
        raise ImportError_(f"cannot be unpacked: {why(error)}", where=path.name, todo=again, code=code) from error


def _bounded(total: int, path: Path) -> int:
    if total > _UNPACKED_BYTES:
        what = f"would unpack to more than {_UNPACKED_BYTES >> 30} GiB"
        raise ImportError_(what, where=path.name, todo="Unpack it yourself", code="ARCHIVE_TOO_LARGE")
    return total


def _safe(member: tarfile.TarInfo, path: Path) -> PurePosixPath:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or PureWindowsPath(member.name).anchor:
        what = f"member '{member.name[:200]}' lies outside the archive"
    elif not (member.isfile() or member.isdir()):
        what = f"member '{member.name[:200]}' is a link or a device"
    else:
        return name
    raise ImportError_(what, where=path.name, todo="Do not use this archive", code="ARCHIVE_UNSAFE")


def _stream(path: Path) -> IO[bytes]:
    """The tar inside, unpacked on the fly. Not tarfile's own way, which takes a stream that was cut for its end."""
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return io.BufferedReader(_Zstd(path.open("rb")), 1 << 20)
    if magic.startswith(b"\xfd7zXZ\x00"):
        return cast(IO[bytes], lzma.open(path))
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(path))
    if magic.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(path))
    return path.open("rb")


class _Zstd(io.RawIOBase):
    """A zstd stream that says when it was cut short; the library's own reader ends silently."""

    def __init__(self, file: IO[bytes]) -> None:

        self._file, self._open = file, zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._ready = b""

    def close(self) -> None:
        self._file.close()
        super().close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            rest = self._frame.unused_data if self._frame is not None and self._frame.eof else b""
            packed = rest or self._file.read(1 << 17)
            if not packed:
                if self._frame is not None and not self._frame.eof:
                    raise EOFError("unexpected end of the zstd stream")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = self._open()
            try:
                self._ready = self._frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise OSError(f"zstd: {error}") from error
        part = self._ready[: len(buffer)]
        buffer[: len(part)] = part
        self._ready = self._ready[len(part) :]
        return len(part)
