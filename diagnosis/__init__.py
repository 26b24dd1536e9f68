"""Anomalies in, an incident with ranked hypotheses out. No clock, no network: what it says follows from the records."""

from diagnosis._correlate import Settings
from diagnosis._errors import DiagnosisError, StateInvalid
from diagnosis._evidence import EvidenceTable, evidence_matrix, evidence_table
from diagnosis._kinds import KINDS
from diagnosis._rank import equal_weights, rank
from diagnosis._stage import Diagnose, DiagnoseState

__all__ = [
    "KINDS", "Diagnose", "DiagnoseState", "DiagnosisError", "EvidenceTable", "Settings", "StateInvalid",
    "equal_weights", "evidence_matrix", "evidence_table", "rank",
]  # fmt: skip
