"""Anomalies in, an incident with ranked hypotheses out. No clock, no network: what it says follows from the records."""

from diagnosis._briefing import Briefing, Known, brief
from diagnosis._briefing_page import as_html, as_markdown, bar
from diagnosis._contract import (
    MOST_BYTES,
    Answer,
    Candidate,
    Case,
    ChatReader,
    Context,
    Exhibit,
    Finding,
    HttpReader,
    Parameters,
    Query,
    QueryFailed,
    Reply,
    Speaks,
    Suspect,
    TopicsReader,
)  # fmt: skip
from diagnosis._correlate import Settings
from diagnosis._errors import DiagnosisError, StateInvalid
from diagnosis._evidence import EvidenceTable, evidence_matrix, evidence_table
from diagnosis._inquire import Mode
from diagnosis._kinds import KINDS
from diagnosis._rank import equal_weights, rank
from diagnosis._stage import Diagnose, DiagnoseState

__all__ = [
    "Answer", "Briefing", "Candidate", "Case", "ChatReader", "Context", "Diagnose", "DiagnoseState",
    "DiagnosisError", "EvidenceTable", "Exhibit", "Finding", "HttpReader", "KINDS", "Known", "MOST_BYTES", "Mode",
    "Parameters", "Query", "QueryFailed", "Reply", "Settings", "Speaks", "StateInvalid", "Suspect", "TopicsReader",
    "as_html", "as_markdown", "bar", "brief", "equal_weights", "evidence_matrix", "evidence_table", "rank",
]  # fmt: skip
