"""The actions room: hypotheses to decisions to proposed changes. Verbs are plug-ins in `actions/verbs/`."""

from actions._autonomy import Earned, Trial
from actions._autonomy_kept import standings, trial_kept
from actions._ledger_open import open_ledger
from actions._ledger import Inbox, Keep, Ledger, Priority, Transaction
from actions._ports import Illness, Indicator, Look, Notice, Seen, Survey, Window
from actions._credit import Credit, CreditInvalid, Shown, drilled, open_credit, replayed, seal_credit
from actions._view import View
from actions._ports import Ports
from actions._worker import Worker, WorkerSettings
from actions._gatekeeper import PolicyGatekeeper
from actions._plans import NotAskable, asked_of
from actions._override import OVERRIDE, OverrideInvalid, is_override_by, override_kept, override_of, sign_override
from actions._safety import SafetySettings
from actions._machine_types import Approved, Rejected
from actions._drive import With
from actions._policies import PolicyEngine
from actions._telling import notice_row
from actions._permit import mint
from actions._worker import ORDER
from actions._approvals import Ask, Panel, Standing, Verdict, Vote, cast_approval, challenge, issue_nonce, standing
from actions._audit import NOTHING, Happening, Head, append_entry, body_digest, hash_text, leaf_of, parse_entry
from actions._audit_verify import Report, verify_log
from actions._checkpoint import LogKey, TreeHead, log_key, read_checkpoint, read_note, sign_head
from actions._contract import EffectClass, Parameters, Risk, Undo, Verb
from actions._decide import Decide, DecideSettings, judged
from actions._decide_state import DecideState
from actions._docket import (
    Docket,
    action_digest,
    approval_ids,
    asked_again,
    at_execution,
    dump_docket,
    faults_of,
    hear,
    hearing,
    invite,
    inviting,
    load_docket,
    opening,
    overridden,
    shown_of,
)
from actions._envelope import open_envelope, passkey_challenge, seal, seal_assertion
from actions._errors import (
    ActionsError,
    ApprovalsError,
    AuditInvalid,
    NoteInvalid,
    ParametersInvalid,
    PolicyError,
    ReferenceUnresolved,
    RunbookError,
    SelectorInvalid,
    StateInvalid,
    UnknownVerb,
)
from actions._executor import (
    MARK,
    Capabilities,
    Effect,
    Executor,
    ExecutorSettings,
    Mark,
    Reading,
    TargetAway,
    Written,
)
from actions._gateway import Trust
from actions._gateway_desk import GatewayDesk, Handled
from actions._gateway_store import GatewayStore, ModelGatewayStore, SqliteGatewayStore
from actions import _gateway_wire as gateway_wire
from actions._keyring import EnrolledKey, Grade, KeyRing, Passkey
from actions._people import NO_RECORD, PeopleHead, PersonRecord, append_record, read_people
from actions._merkle import Frontier, Tree, includes, is_consistent, leaf_hash
from actions._machine_types import Found, Mode
from actions._names import INVARIANTS, NAMES, NEUTRAL, HumanClass, Tier
from actions._kill import EVERYTHING, SUPERVISED_NS, is_revoked, is_supervised, order_of, stopped
from actions._machine_errors import LedgerFault
from actions._ports import Answer, DryRun, EffectRequest, ProbeRequest, Unavailable, Watch
from actions._policies import (
    Approvers,
    Obligation,
    Policies,
    Rule,
    approvers_of,
    snapshot_digest,
    snapshot_fault,
)
from actions._policy_check import Contradiction, Findings, check_policies
from actions._policy_files import Failure as PolicyFailure
from actions._policy_files import load_policies
from actions._policy_files import number_of_cases as policy_cases
from actions._policy_files import run_cases as run_policy_cases
from actions._policy_history import Flip, History, explain_decision, flips, names_read, simulate
from actions._runbook_check import overlaps as runbook_overlaps
from actions._runbooks import REFERENCES, Runbook, Runbooks, load_runbooks
from actions._runbooks import run_cases as run_runbook_cases
from actions._seal import Sealer
from actions._selectors import selector_fault, target_fault
from actions._services import SERVICE_FACTS, Hours, ServiceProfile
from actions._strategies import Costs, Strategy
from actions._verbs import Verbs, checked_target, digest_of, service_of
from actions._webauthn import assertion_bytes, need_library

__all__ = [
    "EVERYTHING",
    "ORDER",
    "notice_row",
    "With",
    "Credit",
    "CreditInvalid",
    "Shown",
    "drilled",
    "open_credit",
    "replayed",
    "seal_credit",
    "OVERRIDE",
    "OverrideInvalid",
    "is_override_by",
    "override_kept",
    "override_of",
    "sign_override",
    "Rejected",
    "Approved",
    "SafetySettings",
    "asked_of",
    "NotAskable",
    "PolicyGatekeeper",
    "WorkerSettings",
    "Worker",
    "Ports",
    "View",
    "Window",
    "Survey",
    "Seen",
    "Notice",
    "Look",
    "Indicator",
    "Illness",
    "Transaction",
    "Priority",
    "Ledger",
    "Keep",
    "Inbox",
    "MARK",
    "INVARIANTS",
    "NAMES",
    "NEUTRAL",
    "NOTHING",
    "NO_RECORD",
    "REFERENCES",
    "SERVICE_FACTS",
    "ActionsError",
    "Answer",
    "ApprovalsError",
    "Approvers",
    "Ask",
    "AuditInvalid",
    "Capabilities",
    "Contradiction",
    "Costs",
    "Decide",
    "DecideSettings",
    "DecideState",
    "Docket",
    "DryRun",
    "Earned",
    "Effect",
    "EffectClass",
    "EffectRequest",
    "EnrolledKey",
    "Executor",
    "ExecutorSettings",
    "Findings",
    "Flip",
    "Found",
    "Frontier",
    "GatewayDesk",
    "GatewayStore",
    "Grade",
    "Handled",
    "Happening",
    "Head",
    "History",
    "Hours",
    "HumanClass",
    "KeyRing",
    "LedgerFault",
    "LogKey",
    "Mark",
    "Mode",
    "ModelGatewayStore",
    "NoteInvalid",
    "Obligation",
    "Panel",
    "Parameters",
    "ParametersInvalid",
    "Passkey",
    "PeopleHead",
    "PersonRecord",
    "Policies",
    "PolicyEngine",
    "PolicyError",
    "PolicyFailure",
    "ProbeRequest",
    "Reading",
    "ReferenceUnresolved",
    "Report",
    "Risk",
    "Rule",
    "Runbook",
    "RunbookError",
    "Runbooks",
    "Sealer",
    "SelectorInvalid",
    "ServiceProfile",
    "SqliteGatewayStore",
    "Standing",
    "StateInvalid",
    "Strategy",
    "TargetAway",
    "Tier",
    "Tree",
    "TreeHead",
    "Trial",
    "Trust",
    "Unavailable",
    "Undo",
    "UnknownVerb",
    "Verb",
    "Verbs",
    "Verdict",
    "Vote",
    "Watch",
    "Written",
    "action_digest",
    "append_entry",
    "append_record",
    "approval_ids",
    "approvers_of",
    "asked_again",
    "assertion_bytes",
    "at_execution",
    "body_digest",
    "cast_approval",
    "challenge",
    "check_policies",
    "checked_target",
    "digest_of",
    "dump_docket",
    "explain_decision",
    "faults_of",
    "flips",
    "gateway_wire",
    "hash_text",
    "hear",
    "hearing",
    "includes",
    "invite",
    "inviting",
    "is_consistent",
    "issue_nonce",
    "judged",
    "leaf_hash",
    "leaf_of",
    "load_docket",
    "load_policies",
    "load_runbooks",
    "log_key",
    "mint",
    "names_read",
    "need_library",
    "open_envelope",
    "open_ledger",
    "opening",
    "SUPERVISED_NS",
    "is_revoked",
    "is_supervised",
    "order_of",
    "overridden",
    "parse_entry",
    "passkey_challenge",
    "policy_cases",
    "read_checkpoint",
    "read_note",
    "read_people",
    "run_policy_cases",
    "run_runbook_cases",
    "runbook_overlaps",
    "seal",
    "seal_assertion",
    "selector_fault",
    "service_of",
    "shown_of",
    "sign_head",
    "simulate",
    "snapshot_digest",
    "snapshot_fault",
    "standing",
    "standings",
    "stopped",
    "target_fault",
    "trial_kept",
    "verify_log",
]
