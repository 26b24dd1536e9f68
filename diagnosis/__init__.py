"""Anomalies in, an incident with ranked hypotheses out. No clock, no network: what it says follows from the records."""

from diagnosis._briefing import Briefing, Found, Known, brief
from diagnosis._briefing_page import as_html, as_markdown, bar
from diagnosis._confidence import Standing, confidence_of, knownness
from diagnosis._contract import (
    MOST_BYTES,
    Answer,
    Candidate,
    Case,
    ChatReader,
    Context,
    Exhibit,
    Finding,
    GitReader,
    HttpReader,
    Onset,
    Parameters,
    Query,
    QueryFailed,
    Reply,
    Speaks,
    SqlReader,
    Suspect,
    TopicsReader,
)  # fmt: skip
from diagnosis._contract_rules import Judgement, Rule, Said, Scene
from diagnosis._correlate import Settings
from diagnosis._errors import DiagnosisError, StateInvalid
from diagnosis._evidence import EvidenceTable, evidence_table
from diagnosis._foresee import LEAST_MARGIN, Ahead, Foresee, ForeseeState, Limit
from diagnosis._inquire import Mode
from diagnosis._kinds import KINDS
from diagnosis._rank import Circumstances, Ranking, equal_weights, rank, ranking
from diagnosis._rules import judgements, scene_of
from diagnosis._signs import History, Shown, Signs, missing_signals, signs_of
from diagnosis._stage import Diagnose
from diagnosis._state import DiagnoseState
from diagnosis._trial import TAKEN_BACK_AT, Diagnosing, Trial, TrialState
from diagnosis._unheard import may_show

__all__ = [
    "Ahead", "Answer", "Briefing", "Candidate", "Case", "ChatReader", "Circumstances", "Context", "History",
    "Judgement", "Ranking", "Rule", "Said", "Scene", "Shown", "Signs", "Standing", "confidence_of", "judgements",
    "knownness", "missing_signals", "ranking", "scene_of", "signs_of", "Diagnose", "DiagnoseState",
    "DiagnosisError", "EvidenceTable", "Exhibit", "Finding", "Foresee", "ForeseeState", "Found", "GitReader",
    "HttpReader", "KINDS", "Known", "LEAST_MARGIN", "Limit", "MOST_BYTES", "Mode", "Onset", "Parameters", "Query",
    "QueryFailed", "Reply", "Settings", "Speaks", "SqlReader", "StateInvalid", "Suspect", "TopicsReader", "as_html",
    "as_markdown", "bar", "brief", "equal_weights", "evidence_table", "rank", "TAKEN_BACK_AT",
    "Diagnosing", "Trial", "TrialState", "may_show",
]  # fmt: skip
