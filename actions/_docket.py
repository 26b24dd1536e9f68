"""What lies before people about one action: the ask, exactly what they are shown, and what was said so far.

One fact of the ledger, `docket/KEY`, so it changes in one transaction with the nonce and the audit entry. What is shown
carries everything that the digests of the ask are made of, so whoever signs can compute them and sees what the
signature covers (`faults_of`); a server that shows one thing and asks for another is found out by the client.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from actions._approvals import Ask, Panel, Standing, Verdict, Vote, cast_approval, challenge, issue_nonce, standing
from actions._errors import ApprovalsError
from actions._keyring import KeyRing
from actions._ledger import Keep, NonceIssue, Priority, Transaction
from actions._ports import DryRun
from actions._saga import Plan
from actions._verbs import digest_of
from schemas import Approval, Json, ProposedChange, canonical, sha256
from schemas.core import NS

PREFIX = "docket/"
MOST_CHALLENGES = 64
"""So many nonces are given out for one action; people need two or three."""
_SETS = ("barred", "roles")


@dataclass(frozen=True, slots=True)
class Docket:
    """shown: `changes`, `plan`, `diff`, `summary`. said: the body of each audit entry about it, oldest first."""

    ask: Ask
    shown: Mapping[str, Json]
    panel: Panel = field(default_factory=Panel)
    said: tuple[bytes, ...] = ()


def action_digest(plan: Plan) -> str:
    """Of the one change of a plan, or over those of all its steps."""
    digests: list[Json] = [step.change.digest for step in plan.steps]
    return str(digests[0]) if len(digests) == 1 else sha256(canonical(digests))


def shown_of(plan: Plan, dry_run: DryRun, summary: str) -> dict[str, Json]:
    """What people are shown of a plan, whose dry run is that of its first step."""
    changes: list[Json] = [step.change.model_dump(mode="json") for step in plan.steps]
    return {"changes": changes, "plan": plan.document, "diff": dry_run.diff, "summary": summary}


def faults_of(ask: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """Where what is shown is not what the digests of the ask are made of; empty is right. Raises nothing."""
    try:
        changes = [ProposedChange.model_validate(one) for one in shown["changes"]]
        digests: list[Json] = [one.digest for one in changes]
        diff = json.loads(shown["diff"])
        dry_run = sha256(canonical({**diff, "uid": ask["target_uid"]}))
        faults = {
            "a change has not the digest it says": all(digest_of(one) == one.digest for one in changes),
            "the changes are not those of the plan": [step[0] for step in shown["plan"][0]] == digests,
            "the plan is another": sha256(canonical(shown["plan"])) == ask["plan_digest"],
            "the change is another": ask["action_digest"]
            == (digests[0] if len(digests) == 1 else sha256(canonical(digests))),
            "the diff is another": dry_run == ask["dryrun_digest"],
            "the diff is of another target": diff["target"] == changes[0].target,
        }
    except (KeyError, IndexError, TypeError, ValueError) as error:
        return [f"what is shown cannot be read: {str(error)[:200]}"]
    return [text for text, is_right in faults.items() if not is_right]


def invite(
    docket: Docket, person: str, role: str, kid: str, nonce: str, now_s: int, decision: str = "approve"
) -> tuple[Docket, Approval]:
    """What the person is to sign, and the docket that waits for it. Raises ApprovalsError."""
    if len(docket.panel.issued) >= MOST_CHALLENGES:
        raise ApprovalsError(f"{MOST_CHALLENGES} challenges were given out", todo="Let the action be proposed again")
    if decision not in ("approve", "reject"):
        raise ApprovalsError(f"'{decision[:20]}' is no decision", todo="Say approve or reject")
    panel = issue_nonce(docket.panel, nonce)
    return replace(docket, panel=panel), challenge(docket.ask, person, role, kid, nonce, now_s, decision)


def hear(
    docket: Docket, envelope: bytes, ring: KeyRing, *, now_s: int, audited_s: int
) -> tuple[Docket, Verdict, Standing]:
    """One envelope: the docket after it, what became of it, and where the action stands."""
    panel, verdict = cast_approval(docket.panel, envelope, docket.ask, ring, now_s=now_s, audited_s=audited_s)
    after = replace(docket, panel=panel)
    return after, verdict, standing(panel, docket.ask, ring, now_s=now_s, audited_s=audited_s)


def at_execution(docket: Docket, ask: Ask, ring: KeyRing, *, now_s: int, audited_s: int) -> Standing:
    """Everything again, against the ask as it is at that moment: digests, target version, keys, roles, time."""
    return standing(docket.panel, ask, ring, now_s=now_s, audited_s=audited_s)


def approval_ids(docket: Docket, found: Standing) -> tuple[str, ...]:
    """Of the approvals that count: each serves one reservation (`Transaction.used_approvals`)."""
    return tuple(sha256(vote.envelope) for vote in docket.panel.votes if vote.person in found.people)


def asked_again(docket: Docket, ask: Ask, shown: Mapping[str, Json]) -> Docket:
    """The same action after its target or dry run has changed: what was signed before does not fit any more.

    Nonces that were used stay used, and a veto stays a veto. Raises ApprovalsError for another action.
    """
    if ask.action_id != docket.ask.action_id:
        raise ApprovalsError("another action has a docket of its own", where=ask.action_id)
    return replace(docket, ask=replace(ask, barred=ask.barred | docket.ask.barred), shown=shown)


def overridden(ask: Ask, by: str) -> Ask:
    """The ask for parameters that `by` has put in: who chose them has proposed them, so cannot approve them."""
    return replace(ask, barred=ask.barred | {by})


def opening(docket: Docket) -> Keep:
    """What the transaction keeps that lets an action wait for people."""
    return Keep(PREFIX + docket.ask.action_id, dump_docket(docket))


def inviting(docket: Docket, approval: Approval, at_ns: int) -> Transaction:
    """Keeps the docket with the nonce given out."""
    until_ns = approval.expires_s * NS
    return Transaction(
        at_ns, Priority.APPROVAL, keeps=(opening(docket),), issued_nonces=(NonceIssue(approval.nonce, until_ns),)
    )


def hearing(before: Docket, after: Docket, verdict: Verdict, version: int, at_ns: int) -> Transaction | None:
    """Keeps what was heard with its audit entry, which is about the action without moving it.

    None: it changes nothing, and enough of the kind was written down already (whoever can send may not fill the log).
    """
    new = [nonce for nonce in after.panel.spent if nonce not in before.panel.spent]
    if not new and len(after.said) >= MOST_CHALLENGES:
        return None
    body = canonical({
        "action": after.ask.action_id, "version": version, "from": "awaiting_approval", "to": "awaiting_approval",
        "reason": f"APPROVAL:{verdict.reason}", "at_ns": at_ns, "plan": after.ask.plan_digest,
        "approval": {
            "person": verdict.person, "kid": verdict.kid, "ring": verdict.ring_version, "nonce": new[0] if new else "",
            "envelope": after.panel.spent[new[0]] if new else "", "policy": after.ask.policy_digest,
        },
    })  # fmt: skip
    kept = replace(after, said=(*after.said, body))
    return Transaction(at_ns, Priority.APPROVAL, keeps=(opening(kept),), used_nonces=tuple(new), leaves=(body,))


def dump_docket(docket: Docket) -> bytes:
    ask = {name: getattr(docket.ask, name) for name in Ask.__slots__}
    panel = docket.panel
    return canonical({
        "ask": ask | {name: sorted(ask[name]) for name in _SETS} | {"required": dict(ask["required"])},
        "shown": dict(docket.shown),
        "issued": sorted(panel.issued), "spent": dict(panel.spent), "vetoed_by": panel.vetoed_by,
        "votes": [[vote.person, vote.role, vote.kid, b64encode(vote.envelope).decode()] for vote in panel.votes],
        "said": [b64encode(body).decode() for body in docket.said],
    })  # fmt: skip


def load_docket(body: bytes) -> Docket:
    """Raises ApprovalsError if the bytes are no docket."""
    try:
        value = json.loads(body)
        ask = Ask(**value["ask"] | {name: frozenset(value["ask"][name]) for name in _SETS})
        votes = tuple(Vote(person, role, kid, b64decode(text)) for person, role, kid, text in value["votes"])
        panel = Panel(frozenset(value["issued"]), value["spent"], votes, value["vetoed_by"])
        return Docket(ask, value["shown"], panel, tuple(map(b64decode, value["said"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApprovalsError(f"these bytes are no docket: {str(error)[:200]}") from error
