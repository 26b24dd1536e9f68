"""The ground floor: records that cross topics, their ids, topics and codecs. In-memory types are in `schemas.core`."""

from schemas._actions import (
    ActionEvent, ActionState, Approval, AuditLeaf, Checkpoint, Control, Decision, Effect, EnvelopeSignature, Feedback,
    FollowUp, LaterStep, ProposedChange, SignedApproval,
)  # fmt: skip
from schemas._artefacts import Artefact, CalibrationMap, EvidenceHistory, Pattern, RankerWeights, TailFit
from schemas._base import Json, Record
from schemas._diagnosis import (
    Anomaly, AnomalyKind, BusinessMoved, Cause, ConfidenceState, Diagnosis, Evidence, Hypothesis, Incident, Inquiry,
    ObjectiveMissed, Observation, Standing, Unknown,
)  # fmt: skip
from schemas._errors import FrameInvalid, Incompatible, RecordInvalid, SchemaError, sentence, why
from schemas._events import emit, emit_texts, headers_of, read, record_type, rfc3339
from schemas._frames import (
    FRAME_FIELDS, HISTOGRAM_FIELDS, LOG_FIELDS, SPAN_FIELDS, Frame, HistogramFrame, Order, decode_frame,
    decode_histograms, decode_rows, encode_frame, encode_histograms, encode_rows,
)  # fmt: skip
from schemas._ids import EntityId, SeriesId, canonical, record_id, rounded, series_hash, series_id, sha256, shard_of
from schemas._labels import Basis, Label, Verdict
from schemas._reference import Alert, CalendarEntry, Change, ChangeKind, Intent, TopologyEdge
from schemas._series import SeriesDefs
from schemas._services import Objective, ServiceBook, ServiceFacts
from schemas._silences import Matcher, Silence, pattern_fault
from schemas._telemetry import (
    Coverage, DeadLetter, Entity, EvidencePointer, Gap, InForce, SeriesDef, Signal, SnapshotManifest, Succession,
    Watermark, SIGNAL_TOTALS,
)  # fmt: skip
from schemas._topics import (
    ACTIONS, ALERTS, ANOMALIES, APPROVALS, AUDIT, CALENDAR, CHANGES, CONTROL, DEAD_LETTERS, DIAGNOSES, FEEDBACK,
    FORECASTS, FOREVER, FRAMES, HISTOGRAMS, INCIDENTS, INQUIRIES, LOGS, MARKS, OBSERVATIONS, OTLP_LOGS, OTLP_METRICS,
    OTLP_SPANS, RAW, RECORDS, SERIES, SNAPSHOTS, SPANS, TOPICS, TOPOLOGY, VERDICTS, Content, Topic,
)  # fmt: skip
from schemas._forecasts import Forecast
from schemas._verdicts import ChangeFinding, ChangeVerdict, IntentOutcome, Judgement

__all__ = [
    "ACTIONS", "ALERTS", "ANOMALIES", "APPROVALS", "AUDIT", "CALENDAR", "CHANGES", "CONTROL", "DEAD_LETTERS",
    "DIAGNOSES", "FEEDBACK", "FOREVER", "FRAMES", "FRAME_FIELDS", "HISTOGRAMS", "HISTOGRAM_FIELDS", "INCIDENTS",
    "INQUIRIES", "LOGS", "LOG_FIELDS", "MARKS", "OBSERVATIONS", "OTLP_LOGS", "OTLP_METRICS", "OTLP_SPANS", "RAW",
    "RECORDS", "SERIES", "SIGNAL_TOTALS", "SNAPSHOTS", "SPANS", "SPAN_FIELDS", "TOPICS", "TOPOLOGY",
    "ActionEvent", "ActionState",
    "Alert", "Anomaly", "AnomalyKind", "Approval", "Artefact", "AuditLeaf", "CalendarEntry", "CalibrationMap", "Cause",
    "Change", "ChangeKind", "Checkpoint", "ConfidenceState", "Content", "Control", "Coverage", "DeadLetter", "Decision",
    "Diagnosis", "Effect", "Entity", "EntityId", "EnvelopeSignature", "Evidence", "EvidenceHistory", "EvidencePointer",
    "Feedback", "FollowUp", "Frame", "FrameInvalid", "Gap", "HistogramFrame", "Hypothesis", "Incident", "Incompatible",
    "Inquiry", "Json", "LaterStep", "Observation", "Order", "Pattern", "ProposedChange", "RankerWeights", "Record",
    "RecordInvalid", "SchemaError",
    "SeriesDef", "SeriesDefs", "SeriesId", "Signal", "SignedApproval", "SnapshotManifest", "TailFit", "Topic",
    "TopologyEdge", "Unknown", "Watermark",
    "Basis", "BusinessMoved", "Label", "Matcher", "Objective", "ObjectiveMissed", "ServiceBook", "ServiceFacts",
    "InForce", "Silence", "Standing", "Succession", "Verdict",
    "FORECASTS", "Forecast", "VERDICTS", "ChangeFinding", "ChangeVerdict", "Intent", "IntentOutcome", "Judgement",
    "canonical",
    "decode_frame", "decode_histograms", "decode_rows", "emit", "emit_texts", "encode_frame", "encode_histograms",
    "encode_rows",
    "headers_of", "pattern_fault", "read", "record_id", "record_type", "rounded", "rfc3339", "series_hash",
    "sentence", "series_id", "sha256", "why",
    "shard_of",
]  # fmt: skip
