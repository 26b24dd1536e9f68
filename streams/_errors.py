"""Errors of the streams room; `code` is the dead-letter reason and the metric label.

StreamsError
├── SourceError        a message cannot be decoded at all (becomes a dead letter)
├── ImportError_       an importer cannot read what it was pointed at
├── RecordingError     a recording is missing, cut short or from a newer version
├── TransportError     a log cannot be opened, read or written
└── SnapshotError      a snapshot is corrupt, foreign or from the future
"""

from schemas import sentence, why


class StreamsError(Exception):
    """Fields say what happened, where, and what to do; `code` is stable."""

    code = "STREAMS_ERROR"

    def __init__(self, what: str, *, where: str = "", todo: str = "", code: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        self.code = code or type(self).code
        super().__init__(sentence(what, where, todo))


class SourceError(StreamsError):
    code = "SOURCE_UNREADABLE"


class ImportError_(StreamsError):
    code = "IMPORT_UNREADABLE"


def unreadable(name: str, error: Exception) -> ImportError_:
    """Of an input that the system does not let us read, or that ends before its end."""
    if isinstance(error, OSError) and error.errno:
        what, todo = f"cannot be read: {why(error)}", "Give a file that can be read"
        return ImportError_(what, where=name, todo=todo, code="IMPORT_UNREADABLE")
    what = f"cannot be read to its end: {why(error)}"
    return ImportError_(what, where=name, todo="Copy the file again", code="IMPORT_CUT_SHORT")


class RecordingError(StreamsError):
    code = "RECORDING_UNREADABLE"


class TransportError(StreamsError):
    code = "TRANSPORT_FAILED"


class SnapshotError(StreamsError):
    code = "SNAPSHOT_UNREADABLE"
