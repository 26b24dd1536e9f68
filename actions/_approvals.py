"""Approvals: people's signatures over exactly one proposed change, counted by person, checked twice.

An approval counts if its envelope has the one form, its type and deployment are ours, every digest is that of the
change as it is now, its key is known, strong enough and not revoked, the signature fits, its time has come and not
gone, its nonce was issued for this action and never used, and the person has a role that may decide, has not decided
before and is neither proposer nor agent. The checks come in that order, so a verdict names the first that fails. One
valid rejection is a veto, for good. Right before the action everything is checked again (`standing`), with the keys,
roles, digests and the time of that moment: what was revoked, has expired or was signed for an older plan is gone.
Source of the order: RFC 8032 and DSSE for what is signed; dual authorisation, NIST SP 800-53 AC-3(2).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from actions._envelope import Opened, Unreadable, is_signed_by, open_envelope
from actions._errors import ApprovalsError
from actions._keyring import STRENGTH, Grade, KeyRing
from schemas import Approval, sha256

Reason = Literal[
    "ACCEPTED", "VETOED", "MALFORMED", "WRONG_TYPE", "WRONG_AUDIENCE", "OTHER_ACTION", "OTHER_DIGEST", "OTHER_TARGET",
    "KEY_UNKNOWN", "KEY_REVOKED", "OTHER_PERSON", "GRADE_TOO_LOW", "BAD_SIGNATURE", "NOT_YET_VALID", "EXPIRED",
    "LIVES_TOO_LONG", "NONCE_UNKNOWN", "NONCE_USED", "ROLE_MISSING", "SELF_APPROVAL", "DUPLICATE_PERSON",
]  # fmt: skip
LONGEST_S = 900
"""An approval lives at most so long; where it cannot be undone, 300 (`Ask.lifetime_s`)."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be approved, as it is now, and by whom.

    barred: people and agents who may not decide on it, the proposer first. quorum: how many different people, at least
    1. required: of them at least so many in each role. roles: who may decide at all. grade: the weakest that counts.
    """

    aud: str
    action_id: str
    action_digest: str
    plan_digest: str
    dryrun_digest: str
    policy_digest: str
    target_uid: str
    target_version: str
    barred: frozenset[str]
    roles: frozenset[str]
    quorum: int = 1
    required: Mapping[str, int] = field(default_factory=dict)
    grade: Grade = "A"
    lifetime_s: int = LONGEST_S

    def __post_init__(self) -> None:
        empty = [
            n for n in ("aud", "action_id", "action_digest", "policy_digest", "target_uid") if not getattr(self, n)
        ]
        if empty or not self.barred or not self.roles:
            raise ApprovalsError(
                "it is not said what is approved or by whom", where=", ".join(empty) or "barred, roles"
            )
        if not 1 <= self.quorum <= 20 or not 1 <= self.lifetime_s <= LONGEST_S:
            raise ApprovalsError(f"quorum {self.quorum} or lifetime {self.lifetime_s} s is out of bounds")


class Vote(NamedTuple):
    """An accepted approval: who, in which role, with which key, and the envelope, to be checked again."""

    person: str
    role: str
    kid: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Panel:
    """What was said about one action so far. issued: nonces given out for it; spent: nonce to digest of envelope."""

    issued: frozenset[str] = frozenset()
    spent: Mapping[str, str] = field(default_factory=dict)
    votes: tuple[Vote, ...] = ()
    vetoed_by: str = ""


class Verdict(NamedTuple):
    """What became of one envelope. `text` is for people; the version is that of the key ring it was judged by."""

    reason: Reason
    text: str
    person: str
    kid: str
    ring_version: int

    @property
    def is_accepted(self) -> bool:
        return self.reason in ("ACCEPTED", "VETOED")


class Standing(NamedTuple):
    """Whether the action may go on. lost: approvals that counted when they came and do not now, with the reason."""

    state: Literal["waiting", "approved", "rejected"]
    people: tuple[str, ...]
    missing: tuple[str, ...]
    lost: tuple[tuple[str, Reason], ...]


def challenge(
    ask: Ask, person: str, role: str, kid: str, nonce: str, now_s: int, decision: str = "approve"
) -> Approval:
    """What the person is to sign. The nonce, 32 hex digits by chance, must be put into `Panel.issued` before."""
    return Approval.model_validate({
        "aud": ask.aud, "action_id": ask.action_id, "action_digest": ask.action_digest, "plan_digest": ask.plan_digest,
        "dryrun_digest": ask.dryrun_digest, "policy_digest": ask.policy_digest, "target_uid": ask.target_uid,
        "target_version": ask.target_version, "decision": decision, "approver": person, "role": role, "kid": kid,
        "nonce": nonce, "issued_s": now_s, "not_before_s": now_s, "expires_s": now_s + ask.lifetime_s,
    })  # fmt: skip


def issue_nonce(panel: Panel, nonce: str) -> Panel:
    """The panel that knows the nonce. Raises ApprovalsError if it is not 32 hex digits or was given out before."""
    if len(nonce) != 32 or not set(nonce) <= set("0123456789abcdef"):
        raise ApprovalsError("a nonce is 32 hex digits", todo="Use 16 random bytes")
    if nonce in panel.issued:
        raise ApprovalsError("this nonce was given out before")
    return replace(panel, issued=panel.issued | {nonce})


def cast_approval(
    panel: Panel, envelope: bytes, ask: Ask, ring: KeyRing, *, now_s: int, audited_s: int
) -> tuple[Panel, Verdict]:
    """One envelope, judged. audited_s: the time of the last audit entry; a clock before it is not believed.

    The panel and the audit entry belong into one transaction with the nonce, which is spent as soon as signature and
    time are right, whatever comes after. Never raises, whatever the envelope is.
    """
    opened = open_envelope(envelope)
    if isinstance(opened, Unreadable):
        return panel, Verdict(_reason(opened.code), opened.text, "", "", ring.version)
    a = opened.approval

    def verdict(reason: Reason, text: str = "") -> Verdict:
        return Verdict(reason, text, a.approver, a.kid, ring.version)

    fault = _document_fault(opened, ask, ring, max(now_s, audited_s))
    if fault:
        return panel, verdict(*fault)
    if a.nonce not in panel.issued:
        return panel, verdict("NONCE_UNKNOWN", "the nonce was not given out for this action")
    if a.nonce in panel.spent:
        return panel, verdict("NONCE_USED", "an approval with this nonce came before")
    panel = replace(panel, spent={**panel.spent, a.nonce: sha256(envelope)})
    fault = _person_fault(a, ask, ring)
    if fault:
        return panel, verdict(*fault)
    if a.decision == "reject":
        return replace(panel, vetoed_by=panel.vetoed_by or a.approver), verdict("VETOED")
    if a.approver in standing(panel, ask, ring, now_s=now_s, audited_s=audited_s).people:
        return panel, verdict("DUPLICATE_PERSON", f"{a.approver} has approved before")
    others = tuple(vote for vote in panel.votes if vote.person != a.approver)
    return replace(panel, votes=(*others, Vote(a.approver, a.role, a.kid, envelope))), verdict("ACCEPTED")


def standing(panel: Panel, ask: Ask, ring: KeyRing, *, now_s: int, audited_s: int) -> Standing:
    """Whether there is a quorum now; everything is checked again, each envelope from its bytes."""
    people: dict[str, str] = {}
    nonces: set[str] = set()
    lost: list[tuple[str, Reason]] = []
    for vote in panel.votes:
        opened = open_envelope(vote.envelope)
        if isinstance(opened, Unreadable):
            lost.append((vote.person, _reason(opened.code)))
            continue
        a = opened.approval
        fault = _document_fault(opened, ask, ring, max(now_s, audited_s)) or _person_fault(a, ask, ring)
        if fault:
            lost.append((a.approver, fault[0]))
        elif panel.spent.get(a.nonce) != sha256(vote.envelope) or a.nonce in nonces or a.decision != "approve":
            lost.append((a.approver, "NONCE_USED"))
        elif a.approver in people:
            lost.append((a.approver, "DUPLICATE_PERSON"))
        else:
            people[a.approver] = a.role
            nonces.add(a.nonce)
    roles = list(people.values())
    missing = [role for role, n in sorted(ask.required.items()) for _ in range(n - roles.count(role))]
    missing += ["anyone"] * (ask.quorum - len(people) - len(missing))
    state: Literal["waiting", "approved", "rejected"]
    state = "rejected" if panel.vetoed_by else "waiting" if missing else "approved"
    return Standing(state, tuple(people), tuple(missing), tuple(lost))


_Fault = tuple[Reason, str]


def _document_fault(opened: Opened, ask: Ask, ring: KeyRing, now_s: int) -> _Fault | None:
    """What is wrong with what was signed, by which key, when."""
    a = opened.approval
    if a.aud != ask.aud:
        return "WRONG_AUDIENCE", f"signed for '{a.aud}'"
    if a.action_id != ask.action_id:
        return "OTHER_ACTION", f"signed for action {a.action_id}"
    for name in ("action_digest", "plan_digest", "dryrun_digest", "policy_digest"):
        if getattr(a, name) != getattr(ask, name):
            return "OTHER_DIGEST", f"{name} is not the one of the change as it is now"
    if (a.target_uid, a.target_version) != (ask.target_uid, ask.target_version):
        return "OTHER_TARGET", "the target is another one, or has changed since"
    key = ring.keys.get(a.kid)
    if key is None:
        return "KEY_UNKNOWN", f"no key '{a.kid}' is enrolled"
    if key.revoked_s is not None:
        return "KEY_REVOKED", f"the key '{a.kid}' was revoked"
    if a.approver not in key.people():
        return "OTHER_PERSON", f"the key '{a.kid}' does not speak for {a.approver}"
    if STRENGTH[key.grade] < STRENGTH[ask.grade]:
        return "GRADE_TOO_LOW", f"a key of grade {key.grade} where {ask.grade} is wanted"
    if not is_signed_by(opened, key):
        return "BAD_SIGNATURE", "the signature does not fit"
    return _time_fault(a, ask, now_s, key.enrolled_s)


def _time_fault(a: Approval, ask: Ask, now_s: int, enrolled_s: int) -> _Fault | None:
    if now_s < max(a.not_before_s, a.issued_s) or a.issued_s < enrolled_s:
        return "NOT_YET_VALID", "signed for a later time, or before its key was enrolled"
    if now_s >= a.expires_s:
        return "EXPIRED", f"it has expired {now_s - a.expires_s} s ago"
    if a.expires_s - min(a.issued_s, a.not_before_s) > ask.lifetime_s:
        return "LIVES_TOO_LONG", f"it would live longer than {ask.lifetime_s} s"
    return None


def _person_fault(a: Approval, ask: Ask, ring: KeyRing) -> _Fault | None:
    if a.role not in ask.roles or a.role not in ring.roles.get(a.approver, frozenset()):
        return "ROLE_MISSING", f"{a.approver} has not the role '{a.role}', or it may not decide on this"
    if a.approver in ask.barred:
        return "SELF_APPROVAL", f"{a.approver} proposed it or acts on it"
    return None


def _reason(code: str) -> Reason:
    return "WRONG_TYPE" if code == "WRONG_TYPE" else "MALFORMED"
