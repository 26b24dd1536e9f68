"""Telemetry in: sources, importers, frames, event time, windows, logs, replay. The names here are its face.

What needs the Kafka libraries is behind `streams.kafka`, loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streams import _dead as dead_letters
from streams._decoded import NO_HISTOGRAMS, NO_POINTS, Decoded, HistogramPoints, Points, Rejected, Source
from streams._derive_logs import DeriveLogs
from streams._derive_spans import DeriveSpans
from streams._embedded import EmbeddedLog
from streams._engine import SOURCES, Engine, Runner
from streams._errors import ImportError_, RecordingError, SnapshotError, SourceError, StreamsError, TransportError
from streams._histograms import HistogramState, HistogramWindower
from streams._id_table import IdTable
from streams._import import Importer, import_
from streams._intake import (
    HTTP,
    TRUST,
    Intake,
    NamingSchemas,
    Reached,
    Reply,
    Replying,
    Signature,
    json_of,
    trust_of,
)  # fmt: skip
from streams._kafka_acl import Access
from streams._kafka_names import deployment_of, real_name, topic_of
from streams._kafka_settings import KafkaSecurity, KafkaSettings, OAuth
from streams._ledger import Ledger, imbalance, report, summed
from streams._live_time import LiveTime, sender_of, still_after_ns
from streams._log import Log, MemoryLog, Stored
from streams._made_of import made_of
from streams._normalise import CLOCK, KIND, SOURCE, Normalise
from streams._plan import StagePlan, plan
from streams._recording import Recording, RecordingWriter
from streams._schema_urls import is_known as is_known_schema
from streams._serve import GENERATION, PUBLIC, Serving
from streams._settings import PANE_NS, StreamSettings
from streams._snapshots import SnapshotStore
from streams._split import part_of_histograms, part_of_logs, part_of_windows, rows_of
from streams._state import pack, unpack
from streams._stretch import Stretch, is_reference
from streams._task import FROM, SEQ, Place, Task, writer_of
from streams._window_state import STATE_BYTES_PER_SERIES, WindowState
from streams._windows import Windower

if TYPE_CHECKING:
    from streams import _kafka as kafka

__all__ = [
    "CLOCK", "FROM", "GENERATION", "HTTP", "KIND", "NO_HISTOGRAMS", "NO_POINTS", "PANE_NS", "PUBLIC", "SEQ",
    "SOURCE", "SOURCES", "STATE_BYTES_PER_SERIES", "TRUST", "Access", "Decoded", "DeriveLogs", "DeriveSpans",
    "EmbeddedLog", "Engine", "HistogramPoints", "HistogramState", "HistogramWindower", "IdTable", "ImportError_",
    "Importer", "Intake", "KafkaSecurity", "KafkaSettings", "Ledger", "LiveTime", "Log", "MemoryLog",
    "NamingSchemas", "Normalise", "OAuth", "Place", "Points", "Reached", "Recording", "RecordingError",
    "RecordingWriter",
    "Rejected", "Reply", "Replying", "Runner", "Serving", "Signature", "SnapshotError", "SnapshotStore",
    "Source", "SourceError", "StagePlan", "Stored", "StreamSettings", "StreamsError", "Stretch", "Task",
    "TransportError", "WindowState", "Windower", "dead_letters", "deployment_of", "imbalance", "import_",
    "is_known_schema", "is_reference", "json_of", "kafka", "made_of", "pack", "part_of_histograms", "part_of_logs",
    "part_of_windows", "plan", "real_name", "report", "rows_of", "sender_of", "still_after_ns", "summed",
    "topic_of", "trust_of", "unpack", "writer_of",
]  # fmt: skip

if not TYPE_CHECKING:  # a checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name != "kafka":
            raise AttributeError(f"module 'streams' has no attribute '{name}'")
        try:
            return import_module("streams._kafka")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "confluent_kafka":
                raise
            raise TransportError(
                "the Kafka libraries are not installed", code="KAFKA_MISSING", todo="pip install 'tidegate[kafka]'"
            ) from error
