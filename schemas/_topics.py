"""The topic table: every topic, its key, its kind of content, and what it may hold.

Telemetry topics hold Arrow batches; control topics hold CloudEvents in Kafka binary mode with JSON data. Beside the
data each partition carries marks (`watermark`, `coverage`) as CloudEvents, so time travels in-band.

What Kafka is told of each topic stands here too. Logs are kept for a time; reference data is `compact,delete` and what
must never be forgotten (definitions of series, kill switch and autonomy, audit) has no end. Compaction waits for the
replay horizon, because a replay joins reference data as of event time and needs the older revisions.
"""

from typing import Literal, NamedTuple

from schemas._actions import ActionEvent, Approval, AuditLeaf, Checkpoint, Control, Feedback, FollowUp, SignedApproval
from schemas._base import Record
from schemas._diagnosis import Anomaly, Diagnosis, Incident, Inquiry, Observation
from schemas._forecasts import Forecast
from schemas._labels import Label
from schemas._reference import Alert, CalendarEntry, Change, TopologyEdge
from schemas._silences import Silence
from schemas._telemetry import Coverage, DeadLetter, Gap, InForce, SeriesDef, SnapshotManifest, Succession, Watermark
from schemas._verdicts import ChangeVerdict

Content = Literal["source", "frame", "histogram", "logs", "spans", "records", "dead"]
Cleanup = Literal["delete", "compact,delete", "compact"]

FOREVER = -1
MIB = 1 << 20


class Topic(NamedTuple):
    """One topic. `partitioned` ones have as many partitions as the deployment chose; the others have one.

    keep_days: how long records stay (at least the replay horizon); FOREVER is without end. max_message_bytes: of one
    message or compressed batch.
    """

    name: str
    key: str
    content: Content
    partitioned: bool
    is_reference: bool
    records: tuple[type[Record], ...]
    keep_days: int
    max_message_bytes: int = MIB
    cleanup: Cleanup = "delete"

    @property
    def is_compacted(self) -> bool:
        return "compact" in self.cleanup


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
ALERTS = "tidegate.alerts.v1"
ANOMALIES = "tidegate.anomalies.v1"
INCIDENTS = "tidegate.incidents.v1"
VERDICTS = "tidegate.verdicts.v1"
FORECASTS = "tidegate.forecasts.v1"
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
        Topic(OTLP_METRICS, "as sent", "source", True, False, (), 7, 8 * MIB),
        Topic(OTLP_LOGS, "as sent", "source", True, False, (), 7, 8 * MIB),
        Topic(OTLP_SPANS, "as sent", "source", True, False, (), 7, 8 * MIB),
        Topic(RAW, "source", "source", True, False, (), 7, 24 * MIB),
        Topic(FRAMES, "partition of the service", "frame", True, False, (Coverage, Gap), 7, 8 * MIB),
        Topic(HISTOGRAMS, "partition of the service", "histogram", True, False, (Coverage,), 7, 8 * MIB),
        Topic(LOGS, "partition of the service", "logs", True, False, (Coverage,), 7, 8 * MIB),
        Topic(SPANS, "partition of the trace", "spans", True, False, (Coverage,), 7, 8 * MIB),
        Topic(SERIES, "series id", "records", False, True, (SeriesDef,), FOREVER, MIB, "compact,delete"),
        Topic(CHANGES, "entity", "records", False, True, (Change,), 400, MIB, "compact,delete"),
        Topic(TOPOLOGY, "edge", "records", False, True, (TopologyEdge,), 400, MIB, "compact,delete"),
        Topic(CALENDAR, "entity", "records", False, True, (CalendarEntry, Silence), 400, MIB, "compact,delete"),
        Topic(ALERTS, "alert id", "records", False, True, (Alert,), 400, MIB, "compact,delete"),
        Topic(ANOMALIES, "correlation domain", "records", False, False, (Anomaly, Gap, Succession), 30),
        Topic(FORECASTS, "series id", "records", False, False, (Forecast,), 30),
        Topic(VERDICTS, "change id", "records", False, False, (ChangeVerdict,), 400),
        Topic(INCIDENTS, "incident id", "records", False, True, (Incident,), 400, MIB, "compact,delete"),
        Topic(DIAGNOSES, "incident id", "records", False, False, (Diagnosis,), 400),
        Topic(INQUIRIES, "incident id", "records", False, False, (Inquiry,), 30),
        Topic(OBSERVATIONS, "incident id", "records", False, False, (Observation,), 30),
        Topic(ACTIONS, "target", "records", False, False, (ActionEvent, FollowUp), 400),
        Topic(APPROVALS, "action id", "records", False, False, (Approval, SignedApproval), 400),
        Topic(FEEDBACK, "action id", "records", False, False, (Feedback, Label), FOREVER),
        Topic(AUDIT, "one partition", "records", False, False, (AuditLeaf, Checkpoint), FOREVER),
        Topic(CONTROL, "scope", "records", False, True, (Control,), FOREVER, MIB, "compact,delete"),
        Topic(SNAPSHOTS, "stage", "records", False, False, (SnapshotManifest, InForce), FOREVER, MIB, "compact"),
        Topic(DEAD_LETTERS, "source", "dead", False, False, (DeadLetter,), 30, 25 * MIB),
    )
}  # fmt: skip

MARKS: tuple[type[Record], ...] = (Watermark, Coverage)
RECORDS: dict[str, type[Record]] = {
    record.TYPE: record for record in (*(r for t in TOPICS.values() for r in t.records), *MARKS)
}  # fmt: skip
