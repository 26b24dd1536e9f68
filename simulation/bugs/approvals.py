"""Bugs of approvals: each check that an approval passes, left out alone."""

from typing import Any

from simulation._bugs import Bug, Swap, always
from simulation._world import World

A = "actions._approvals"
BAD_APPROVERS = {"malice": 3.0}


def _without(*reasons: str) -> Any:
    def make(original: Any) -> Any:
        def fault(*told: Any) -> Any:
            found = original(*told)
            return None if found and found[0] in reasons else found

        return fault

    return make


def _anybody_s(original: Any) -> Any:
    """Every later check of the document is as it was; the one for whom it was signed is not there."""

    def fault(opened: Any, ask: Any, ring: Any, now_s: int) -> Any:
        from dataclasses import replace

        a = opened.approval
        like = replace(
            ask, action_id=a.action_id, action_digest=a.action_digest, plan_digest=a.plan_digest,
            dryrun_digest=a.dryrun_digest, policy_digest=a.policy_digest, target_uid=a.target_uid,
            target_version=a.target_version,
        )  # fmt: skip
        return original(opened, like, ring, now_s)

    return fault


def _every_nonce(original: Any) -> Any:
    def cast(panel: Any, envelope: bytes, ask: Any, ring: Any, **when: int) -> Any:
        from dataclasses import replace

        from actions._envelope import open_envelope

        opened = open_envelope(envelope)
        nonce = getattr(getattr(opened, "approval", None), "nonce", "")
        spent = {name: digest for name, digest in panel.spent.items() if name != nonce}
        return original(replace(panel, issued=panel.issued | {nonce}, spent=spent), envelope, ask, ring, **when)

    return cast


def _heads_uncounted(original: Any) -> Any:
    """One person is as many as they have said yes."""

    def cast(panel: Any, envelope: bytes, ask: Any, ring: Any, **when: int) -> Any:
        from dataclasses import replace

        after, verdict = original(panel, envelope, ask, ring, **when)
        if verdict.reason == "DUPLICATE_PERSON":
            after = replace(after, votes=(*after.votes, after.votes[0]))
        return after, verdict

    return cast


def _votes_counted(original: Any) -> Any:
    def standing(panel: Any, ask: Any, ring: Any, **when: int) -> Any:
        found = original(panel, ask, ring, **when)
        if found.state == "waiting" and found.people and len(panel.votes) >= ask.quorum:
            return found._replace(state="approved")
        return found

    return standing


def _no_veto(original: Any) -> Any:
    def standing(panel: Any, ask: Any, ring: Any, **when: int) -> Any:
        from dataclasses import replace

        return original(replace(panel, vetoed_by=""), ask, ring, **when)

    return standing


def _half_a_quorum(original: Any) -> Any:
    def standing(panel: Any, ask: Any, ring: Any, **when: int) -> Any:
        found = original(panel, ask, ring, **when)
        return found._replace(state="approved") if found.state == "waiting" and found.people else found

    return standing


def _doubtful(world: World) -> None:
    """Half of all answers are a no."""
    world.approvers.refusals = 0.5


BUGS = (
    Bug(
        "any_signature", "a signature need not fit", (Swap("actions._dsse:is_sealed_by", always(True)),), BAD_APPROVERS
    ),
    Bug(
        "any_action",
        "an approval of one action counts for another",
        (Swap(f"{A}:_document_fault", _anybody_s), Swap(f"{A}:cast_approval", _every_nonce)),
        BAD_APPROVERS,
    ),
    Bug(
        "any_digest", "an approval of another digest counts", (Swap(f"{A}:_document_fault", _anybody_s),), BAD_APPROVERS
    ),
    Bug("any_age", "an approval never expires", (Swap(f"{A}:_time_fault", always(None)),), BAD_APPROVERS),
    Bug("one_is_a_quorum", "one approval is enough where two are asked for", (Swap(f"{A}:standing", _half_a_quorum),)),
    Bug(
        "heads_uncounted",
        "one person who approves twice is two",
        (Swap(f"{A}:cast_approval", _heads_uncounted), Swap(f"{A}:standing", _votes_counted)),
        BAD_APPROVERS,
    ),
    Bug(
        "self_approval",
        "the agent may approve what it proposes",
        (Swap(f"{A}:_person_fault", _without("SELF_APPROVAL")),),
        BAD_APPROVERS,
    ),
    Bug(
        "revoked_keys",
        "a revoked key signs on",
        (Swap(f"{A}:_document_fault", _without("KEY_REVOKED")), Swap(f"{A}:_person_fault", always(None))),
        BAD_APPROVERS,
    ),
    Bug(
        "removed_roles",
        "who has lost a role decides on",
        (Swap(f"{A}:_person_fault", _without("ROLE_MISSING")), Swap(f"{A}:_document_fault", _without("KEY_REVOKED"))),
        BAD_APPROVERS,
    ),
    Bug(
        "vetoes_ignored",
        "a rejection is not heard",
        (Swap(f"{A}:standing", _no_veto), Swap("simulation._world:World._rejected", always(None))),
        arrange=_doubtful,
    ),
)
