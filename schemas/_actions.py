"""The life of an action, from proposal to outcome, and everything that people or keys say about it."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from schemas._base import Json, Record
from schemas._diagnosis import Hypothesis
from schemas._selectors import parameters_fault, target_fault
from schemas._telemetry import EvidencePointer

Effect = Literal["permit", "require_approval", "advise", "deny"]
ActionState = Literal[
    "proposed", "gated", "denied", "advised", "shadowed", "awaiting_approval", "expired", "rejected", "approved",
    "reserved", "executing", "executed", "unknown", "failed_not_applied", "verifying", "compensating",
    "succeeded", "rolled_back", "escalated", "failed_safe",
]  # fmt: skip


class ProposedChange(Record):
    """Exactly what would be done, and its undo. `digest` is SHA-256 over the RFC 8785 form of all other fields."""

    TYPE: ClassVar[str] = "proposed-change"
    verb: str
    target: str
    """Entity id of the target; never empty, never a wildcard."""
    parameters: dict[str, Json]
    undo_verb: str | None = None
    undo_parameters: dict[str, Json] = {}
    is_reversible: bool
    runbook: str
    revert_after_s: int | None = Field(default=None, ge=60, exclude_if=lambda found: found is None)
    """The change is temporary: so long after its success it is taken back, once the target has been well as long."""
    digest: str

    @model_validator(mode="after")
    def _selects_exactly(self) -> Self:
        fault = target_fault(self.target)
        if fault:
            raise ValueError(f"the target {self.target!r} does not name exactly one entity: {fault}")
        for told in (self.parameters, self.undo_parameters):
            fault = parameters_fault(told)
            if fault:
                raise ValueError(f"the parameter {fault}")
        return self


class Decision(Record):
    """The result of the policies over one snapshot, with a named reason."""

    TYPE: ClassVar[str] = "decision"
    effect: Effect
    reason: str
    """A stable code: CRITICAL_SERVICE, UNCALIBRATED, POLICY_ERROR, NO_RULE, ..."""
    policies: list[str] = []
    """Ids of the rules that matched, the winner first."""
    obligations: list[str] = []
    """What must be done for it to hold: `quorum:2`, `role:senior:2`, `verify`, `ticket`, `notify:owner`."""
    strategy: Literal["priority", "majority", "cost"] = Field(
        default="priority", exclude_if=lambda said: said == "priority"
    )
    """How rules of equal standing that disagree are resolved; left out where it is `priority`."""
    resolution: str = Field(default="", exclude_if=lambda said: not said)
    """In words how a disagreement was resolved, or why nothing could be judged; left out where there is nothing to
    say."""
    policy_digest: str
    snapshot_digest: str


class LaterStep(Record):
    """A step of a plan after the first, with what the policies saw and said of it by itself."""

    TYPE: ClassVar[str] = "later-step"
    change: ProposedChange
    decision: Decision | None = None
    snapshot: dict[str, Json] = Field(default={}, exclude_if=lambda said: not said)


class ActionEvent(Record):
    """One step in the life of an action; `sequence` counts per target and CloudEvents source without holes."""

    TYPE: ClassVar[str] = "action"
    id: str
    action_id: str
    incident_id: str
    diagnosis_id: str
    tenant: str = "default"
    sequence: int = Field(ge=0)
    state: ActionState
    at_ns: int
    """Event time of the decision, from the diagnosis; not a wall clock."""
    change: ProposedChange
    then: list[LaterStep] = Field(default=[], exclude_if=lambda found: not found)
    """The steps after it, in order: one action, verified after the last and undone in reverse. `decision` is the
    strictest of all steps; decision and snapshot of each stand in the event `gated` only."""
    hypothesis: Hypothesis
    evidence: list[EvidencePointer] = []
    decision: Decision | None = None
    snapshot: dict[str, Json] = Field(default={}, exclude_if=lambda said: not said)
    """What the policies saw, in the event `gated` only; its digest is that of the decision."""
    reason: str = Field(default="", exclude_if=lambda found: not found)
    """Why it moved, a stable code; said by the action worker."""
    idempotency_key: str = Field(default="", exclude_if=lambda found: not found)
    """Names the physical change and its generation, whoever asked for it; said by the action worker."""
    settles_ns: int | None = Field(default=None, exclude_if=lambda found: found is None)
    """Until then what is seen at the target may be our own doing and opens no incident; said with an effect."""


class FollowUp(Record):
    """What was still, or newly, wrong at a target when an action was verified: a problem of its own."""

    TYPE: ClassVar[str] = "follow-up"
    id: str
    action_id: str
    incident_id: str
    tenant: str = "default"
    sequence: int = Field(ge=0)
    """Counts with the events of the action, per target and source."""
    target: str
    indicators: list[str]
    at_ns: int


class Approval(Record):
    """The payload a person signs (DSSE, Ed25519): exactly one proposed change, once, for a short time."""

    TYPE: ClassVar[str] = "approval"
    typ: Literal["tidegate.approval/v1"] = "tidegate.approval/v1"
    aud: str
    action_id: str
    action_digest: str
    plan_digest: str
    dryrun_digest: str
    policy_digest: str
    target_uid: str
    target_version: str
    decision: Literal["approve", "reject"]
    approver: str
    role: str
    kid: str
    nonce: str
    issued_s: int
    not_before_s: int
    expires_s: int


class EnvelopeSignature(Record):
    """One signature of an envelope: whose key, and Ed25519 over the pre-authentication encoding, in base64."""

    TYPE: ClassVar[str] = "envelope-signature"
    keyid: str
    sig: str


class SignedApproval(Record):
    """An approval as it is handed in: a DSSE envelope around the RFC 8785 bytes of an `Approval`, in base64."""

    TYPE: ClassVar[str] = "signed-approval"
    payload: str
    payloadType: Literal["application/vnd.tidegate.approval+json"] = "application/vnd.tidegate.approval+json"
    signatures: list[EnvelopeSignature]


class Feedback(Record):
    """What a person said about a diagnosis or an action: a label for learning."""

    TYPE: ClassVar[str] = "feedback"
    id: str
    incident_id: str
    action_id: str | None = None
    verdict: Literal["right", "wrong", "partly", "no_fault"]
    true_cause: str | None = None
    said_by: str
    said_ns: int


class AuditLeaf(Record):
    """One entry of the audit chain; `prev` is the hash of the entry before. It holds no free text and no secret."""

    TYPE: ClassVar[str] = "audit"
    index: int = Field(ge=0)
    at_ns: int
    """When it was written, by the writer's clock, never earlier than the entry before."""
    prev: str
    """`sha256:` and the RFC 6962 leaf hash of the entry before; 64 zeros in the first."""
    action_id: str
    """Empty where the entry is about no action, as the revocation of a key."""
    from_state: str
    """Empty at the start of an action; equal to `to_state` where something happened and the state stayed."""
    to_state: str
    actor: str
    policy_digest: str
    inputs_digest: str
    body_digest: str
    """Salted digest of what lies in the body store: evidence, versions, people. The body can be erased, this stays."""


class Checkpoint(Record):
    """A signed head of the audit tree: size and RFC 6962 root (C2SP signed note in `note`)."""

    TYPE: ClassVar[str] = "checkpoint"
    origin: str
    size: int = Field(ge=0)
    root: str
    note: str


class Control(Record):
    """A signed order: kill switch, autonomy level, revocation. Unsigned ones are refused by every reader."""

    TYPE: ClassVar[str] = "control"
    id: str
    kind: Literal["kill", "resume", "autonomy", "revoke", "serve"]
    scope: str
    level: Literal["shadow", "advise", "approve", "act"] | None = None
    generation: str | None = None
    """`serve`: whose incidents, diagnoses and actions are published."""
    from_ns: int | None = None
    """`serve`: from this event time on."""
    issued_ns: int
    issuer: str
    signature: str = Field(min_length=1)
