"""Errors of the streams room; `code` is the dead-letter reason and the metric label.

StreamsError
├── SourceError        a message cannot be decoded at all (becomes a dead letter)
├── ImportError_       an importer cannot read what it was pointed at
├── RecordingError     a recording is missing, cut short or from a newer version
├── TransportError     a log cannot be opened, read or written
└── SnapshotError      a snapshot is corrupt, foreign or from the future
"""

from schemas import sentence


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


class RecordingError(StreamsError):
    code = "RECORDING_UNREADABLE"


class TransportError(StreamsError):
    code = "TRANSPORT_FAILED"


class SnapshotError(StreamsError):
    code = "SNAPSHOT_UNREADABLE"
