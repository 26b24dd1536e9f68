"""The topic table: every topic, its key, its kind of content, and what it may hold.

Telemetry topics hold Arrow batches; control topics hold CloudEvents in Kafka binary mode with JSON data. Beside the
data each partition carries marks (`watermark`, `coverage`) as CloudEvents, so time travels in-band.
"""

from typing import Literal, NamedTuple

from schemas._actions import ActionEvent, Approval, AuditLeaf, Checkpoint, Control, Feedback
from schemas._base import Record
from schemas._diagnosis import Anomaly, Diagnosis, Incident, Inquiry, Observation
from schemas._reference import CalendarEntry, Change, TopologyEdge
from schemas._telemetry import Coverage, DeadLetter, Gap, SeriesDef, SnapshotManifest, Watermark

Content = Literal["source", "frame", "histogram", "logs", "spans", "records", "dead"]


class Topic(NamedTuple):
    """One topic. `partitioned` ones have as many partitions as the deployment chose; the others have one."""

    name: str
    key: str
    content: Content
    partitioned: bool
    is_reference: bool
    records: tuple[type[Record], ...]


OTLP_METRICS = "otlp_metrics"
OTLP_LOGS = "otlp_logs"
OTLP_SPANS = "otlp_spans"
RAW = "tidegate.raw.v1"
FRAMES = "tidegate.frames.v1"
HISTOGRAMS = "tidegate.histograms.v1"
LOGS = "tidegate.logs.v1"
SPANS = "tidegate.spans.v1"
SERIES = "tidegate.series.v1"
CHANGES = "tidegate.changes.v1"
TOPOLOGY = "tidegate.topology.v1"
CALENDAR = "tidegate.calendar.v1"
ANOMALIES = "tidegate.anomalies.v1"
INCIDENTS = "tidegate.incidents.v1"
DIAGNOSES = "tidegate.diagnoses.v1"
INQUIRIES = "tidegate.inquiries.v1"
OBSERVATIONS = "tidegate.observations.v1"
ACTIONS = "tidegate.actions.v1"
APPROVALS = "tidegate.approvals.v1"
FEEDBACK = "tidegate.feedback.v1"
AUDIT = "tidegate.audit.v1"
CONTROL = "tidegate.control.v1"
SNAPSHOTS = "tidegate.snapshots.v1"
DEAD_LETTERS = "tidegate.dead-letters.v1"

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(OTLP_METRICS, "as sent", "source", True, False, ()),
        Topic(OTLP_LOGS, "as sent", "source", True, False, ()),
        Topic(OTLP_SPANS, "as sent", "source", True, False, ()),
        Topic(RAW, "source", "source", True, False, ()),
        Topic(FRAMES, "partition of the service", "frame", True, False, (Coverage, Gap)),
        Topic(HISTOGRAMS, "partition of the service", "histogram", True, False, (Coverage,)),
        Topic(LOGS, "partition of the service", "logs", True, False, (Coverage,)),
        Topic(SPANS, "partition of the trace", "spans", True, False, (Coverage,)),
        Topic(SERIES, "series id", "records", False, True, (SeriesDef,)),
        Topic(CHANGES, "entity", "records", False, True, (Change,)),
        Topic(TOPOLOGY, "edge", "records", False, True, (TopologyEdge,)),
        Topic(CALENDAR, "entity", "records", False, True, (CalendarEntry,)),
        Topic(ANOMALIES, "correlation domain", "records", False, False, (Anomaly, Gap)),
        Topic(INCIDENTS, "incident id", "records", False, True, (Incident,)),
        Topic(DIAGNOSES, "incident id", "records", False, False, (Diagnosis,)),
        Topic(INQUIRIES, "incident id", "records", False, False, (Inquiry,)),
        Topic(OBSERVATIONS, "incident id", "records", False, False, (Observation,)),
        Topic(ACTIONS, "target", "records", False, False, (ActionEvent,)),
        Topic(APPROVALS, "action id", "records", False, False, (Approval,)),
        Topic(FEEDBACK, "action id", "records", False, False, (Feedback,)),
        Topic(AUDIT, "one partition", "records", False, False, (AuditLeaf, Checkpoint)),
        Topic(CONTROL, "scope", "records", False, True, (Control,)),
        Topic(SNAPSHOTS, "stage", "records", False, False, (SnapshotManifest,)),
        Topic(DEAD_LETTERS, "source", "dead", False, False, (DeadLetter,)),
    )
}

MARKS: tuple[type[Record], ...] = (Watermark, Coverage)
RECORDS: dict[str, type[Record]] = {
    record.TYPE: record for record in (*(r for t in TOPICS.values() for r in t.records), *MARKS)
}  # fmt: skip
