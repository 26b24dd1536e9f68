"""JSON documents of a file or of all files below a folder: one a line, or one a file; plain or gzip."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from streams._errors import ImportError_, unreadable

_ENDINGS = (".json", ".jsonl", ".ndjson", ".log", ".txt")


class Document(NamedTuple):
    """where: file and line. value: None with an error where it is no JSON object."""

    where: str
    raw: bytes
    value: Any
    error: str = ""


def files_of(path: Path) -> list[Path]:
    """The file, or the files of a folder by name. Raises ImportError_ if a folder has none."""
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.is_file() and p.name.removesuffix(".gz").endswith(_ENDINGS))
    if not found:
        what = f"no file here ends in {', '.join(_ENDINGS)}, with or without .gz"
        raise ImportError_(what, where=str(path), code="IMPORT_NOT_FOUND")
    return found


def text_of(file: Path) -> bytes:
    """Raises ImportError_ for what cannot be read to its end."""
    try:
        data = file.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError) as error:
        raise unreadable(file.name, error) from error


def documents(path: Path) -> Iterator[Document]:
    """A file that is one JSON value as a whole is one document, else every line that is not empty is one."""
    for file in files_of(path):
        data = text_of(file)
        whole = _read(data)
        if whole is not None:
            yield Document(file.name, data, whole)
            continue
        for number, line in enumerate(data.splitlines(), 1):
            if line.strip():
                value = _read(line)
                error = "" if value is not None else "not a JSON object"
                yield Document(f"{file.name}:{number}", line, value, error)


def _read(data: bytes) -> Any:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None
