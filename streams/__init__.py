"""Telemetry in: sources, importers, frames, event time, windows, logs, replay. The names here are its face."""

from streams import _dead as dead_letters
from streams._decoded import NO_HISTOGRAMS, NO_POINTS, Decoded, HistogramPoints, Points, Source
from streams._derive_logs import DeriveLogs
from streams._derive_spans import DeriveSpans
from streams._embedded import EmbeddedLog
from streams._engine import SOURCES, Engine, Runner
from streams._errors import ImportError_, RecordingError, SnapshotError, SourceError, StreamsError, TransportError
from streams._histograms import HistogramState, HistogramWindower
from streams._import import Importer, import_
from streams._kafka_names import real_name, topic_of
from streams._kafka_settings import KafkaSecurity, KafkaSettings, OAuth
from streams._ledger import Ledger, imbalance, report, summed
from streams._live_time import LiveTime, sender_of, still_after_ns
from streams._log import Log, MemoryLog, Stored
from streams._normalise import CLOCK, KIND, SOURCE, Normalise
from streams._plan import StagePlan, plan
from streams._recording import Recording, RecordingWriter
from streams._settings import PANE_NS, StreamSettings
from streams._snapshots import SnapshotStore
from streams._state import pack, unpack
from streams._task import FROM, SEQ, Place, Task, writer_of
from streams._window_state import STATE_BYTES_PER_SERIES, WindowState
from streams._windows import Windower

__all__ = [
    "CLOCK",
    "Decoded",
    "DeriveLogs",
    "DeriveSpans",
    "EmbeddedLog",
    "Engine",
    "FROM",
    "HistogramPoints",
    "HistogramState",
    "HistogramWindower",
    "ImportError_",
    "Importer",
    "KIND",
    "KafkaSecurity",
    "KafkaSettings",
    "Ledger",
    "LiveTime",
    "Log",
    "MemoryLog",
    "NO_HISTOGRAMS",
    "NO_POINTS",
    "Normalise",
    "OAuth",
    "PANE_NS",
    "Place",
    "Points",
    "Recording",
    "RecordingError",
    "RecordingWriter",
    "Runner",
    "SEQ",
    "SOURCE",
    "SOURCES",
    "STATE_BYTES_PER_SERIES",
    "SnapshotError",
    "SnapshotStore",
    "Source",
    "SourceError",
    "StagePlan",
    "Stored",
    "StreamSettings",
    "StreamsError",
    "Task",
    "TransportError",
    "WindowState",
    "Windower",
    "dead_letters",
    "imbalance",
    "import_",
    "pack",
    "plan",
    "real_name",
    "report",
    "sender_of",
    "still_after_ns",
    "summed",
    "topic_of",
    "unpack",
    "writer_of",
]
