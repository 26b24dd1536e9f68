"""Where snapshots lie: a directory, or an object store, by one address; the two newest of each task are kept.

A file is written under its own name and only then named by a manifest, so a reader never sees half of one. A path or
`file://` is a directory that every process that may take over a task can reach; `s3://bucket/path` and what else
`pyarrow.fs` knows are object stores.
"""

import hashlib

import zstandard
from pyarrow import fs

from schemas import why
from streams._errors import SnapshotError, TransportError

FORMAT = 1
"""Of what lies in a file: a zstd frame around a packed task. A newer one is refused."""
_KEPT = 2


class SnapshotStore:
    """Bytes by name below one address. Raises TransportError SNAPSHOT_STORE where it cannot be reached or written."""

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            if "://" in address:
                self._files, self._root = fs.FileSystem.from_uri(address)
            else:
                self._files, self._root = fs.LocalFileSystem(), address
            self._files.create_dir(self._root, recursive=True)
        except (OSError, ValueError) as error:
            raise self._failed("opened", error) from error

    def write(self, task: str, number: int, data: bytes) -> tuple[str, str, int]:
        """Keep a snapshot of a task; returns its name, its SHA-256 and its size as stored."""
        packed = zstandard.ZstdCompressor(level=1).compress(data)
        digest = hashlib.sha256(packed).hexdigest()
        folder = _folder(task)
        name = f"{folder}/{number:012d}-{digest[:12]}.snapshot"
        try:
            self._files.create_dir(f"{self._root}/{folder}", recursive=True)
            with self._files.open_output_stream(f"{self._root}/{name}.part") as out:
                out.write(packed)
            self._files.move(f"{self._root}/{name}.part", f"{self._root}/{name}")
        except OSError as error:
            raise self._failed("written", error) from error
        return name, digest, len(packed)

    def read(self, name: str, sha256: str) -> bytes:
        """The bytes of a snapshot. Raises SnapshotError (SNAPSHOT_MISSING, SNAPSHOT_CORRUPT)."""
        try:
            with self._files.open_input_stream(f"{self._root}/{name}") as source:
                packed = source.read()
        except OSError as error:
            raise SnapshotError(
                f"the snapshot cannot be read: {why(error)}", where=f"{self.address}/{name}", code="SNAPSHOT_MISSING",
                todo="Check shards.snapshots: every process must reach the same place; or start with --rebuild",
            ) from error  # fmt: skip
        if hashlib.sha256(packed).hexdigest() != sha256:
            raise SnapshotError(
                "the snapshot does not fit the checksum in its manifest", where=f"{self.address}/{name}",
                code="SNAPSHOT_CORRUPT", todo="Start with --rebuild: the state is made again from the topics",
            )  # fmt: skip
        data: bytes = zstandard.ZstdDecompressor().decompress(packed)
        return data

    def forget(self, task: str, below: int) -> None:
        """Delete what is older than the newest two before `below`."""
        folder = f"{self._root}/{_folder(task)}"
        try:
            found = self._files.get_file_info(fs.FileSelector(folder, allow_not_found=True))
            names = sorted(info.path for info in found if info.is_file and _number(info.base_name) < below)
            for path in names[:-_KEPT]:
                self._files.delete_file(path)
        except OSError as error:
            raise self._failed("cleaned", error) from error

    def _failed(self, what: str, error: Exception) -> TransportError:
        return TransportError(
            f"the snapshot store cannot be {what}: {why(error)}", where=self.address, code="SNAPSHOT_STORE",
            todo="Check shards.snapshots, its permissions and free space",
        )  # fmt: skip


def _folder(task: str) -> str:
    return task.replace("@", "/").replace(":", "-").rstrip("/")


def _number(name: str) -> int:
    head = name.split("-", 1)[0]
    return int(head) if head.isdigit() else 0
