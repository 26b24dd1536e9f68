"""Bugs of the state machine and of the saga."""

from dataclasses import replace
from itertools import cycle
from typing import Any

from actions._machine_types import Probe, Record, Reserve
from schemas.core import NS
from simulation._bugs import Bug, Swap
from simulation._world import World
from simulation.bugs._off import (
    ALREADY_SO,
    BLIND_TO_EPOCHS,
    DEAF_GATEWAY,
    DEAF_WORKER,
    NEW_TO_IT,
    NOBODY_S_MARK,
    PATIENT_PERMITS,
)

M, W = "actions._machine", "actions._machine_walk:Walk"


def _blind_retry(original: Any) -> Any:
    def reconcile(walk: Any, reason: str, direction: str) -> None:
        if direction != "do":
            original(walk, reason, direction)
            return
        walk.commands += [Record(walk.action.state, "approved", reason), Reserve(walk.action.step)]
        due_ns = walk.wait(walk.action.plan.times.retry_ns)
        give_up_ns = walk.wait(walk.action.plan.times.permit_wait_ns)
        walk.action = replace(
            walk.action, state="approved", reason=reason, attempt=None, due_ns=due_ns, give_up_ns=give_up_ns
        )

    return reconcile


def _unfenced(original: Any) -> Any:
    def renewed(walk: Any, event: Any) -> None:
        original(walk, event)
        attempt = walk.attempt()
        walk.action = replace(walk.action, attempt=replace(attempt, phase="reading"))
        walk.commands[-1] = Probe(attempt.step, walk.action.target, attempt.epoch)

    return renewed


def _blind_undo(original: Any) -> Any:
    def undo_read(walk: Any, event: Any) -> None:
        blind = not walk.attempt().is_sent and event.found == "foreign"
        original(walk, event._replace(found="applied") if blind else event)

    return undo_read


def _fresh(original: Any) -> Any:
    return lambda walk, event: original(walk, event._replace(evidence_ns=max(event.evidence_ns, walk.now)))


def _lost_is_refused(original: Any) -> Any:
    return lambda walk, event: original(walk, event._replace(result="not_applied") if event.result == "lost" else event)


def _foreign_is_ours(original: Any) -> Any:
    return lambda walk, event: original(walk, event._replace(found="applied") if event.found == "foreign" else event)


def _absent_is_ours(original: Any) -> Any:
    return lambda walk, event: original(
        walk, event._replace(found="applied") if event.found == "not_applied" else event
    )


def _forgetful(original: Any) -> Any:
    def escalate(walk: Any, reason: str, left: Any = None) -> None:
        walk.end("escalated", reason)

    return escalate


def _first_first(original: Any) -> Any:
    def stop(walk: Any, reason: str) -> None:
        walk.action = replace(walk.action, applied=tuple(reversed(walk.action.applied)))
        original(walk, reason)

    return stop


def _one_undo(original: Any) -> Any:
    def undone(walk: Any, reason: str) -> None:
        walk.action = replace(walk.action, applied=(), attempt=None)
        walk.end("rolled_back", reason)

    return undone


def _no_stop(original: Any) -> Any:
    return lambda walk, event: walk.stay("KILLED", is_killed=True)


def _never_old(original: Any) -> Any:
    def begin(walk: Any, event: Any) -> None:
        walk.action = replace(walk.action, permit_until_ns=walk.now + 3600 * NS)
        original(walk, event)

    return begin


def _harm_is_fine(original: Any) -> Any:
    return lambda walk, event: original(
        walk, event._replace(verdict="recovered") if event.verdict in ("regressed", "not_recovered") else event
    )


def _jumps(original: Any) -> Any:
    def again(walk: Any, reason: str) -> None:
        walk.action = walk.action.changed(due_ns=walk.now)
        original(walk, reason)

    return again


def _waits_on(original: Any) -> Any:
    def recovered(walk: Any, event: Any) -> None:
        attempt, until_ns = walk.action.attempt, walk.action.give_up_ns
        original(walk, event)
        if attempt is not None and attempt.phase != "sent":
            walk.action = walk.action.changed(give_up_ns=until_ns)

    return recovered


def _never_due(original: Any) -> Any:
    return lambda walk, event: walk.stay("WAITING", due_ns=walk.wait(3600 * NS))


def _every_other_clock_is_ahead(world: World) -> None:
    """By a minute and a half: longer than anybody waits, and still within what evidence may be old."""
    skews = cycle((90 * NS, 0))
    world.disorder.skew = lambda: next(skews)  # type: ignore[method-assign]


BUGS = (
    Bug(
        "blind_retry",
        "an effect whose answer was lost is asked for again, without a look at the target",
        (Swap(f"{W}.reconcile", _blind_retry), ALREADY_SO, NEW_TO_IT),
        {"lost_answer": 3.0},
        shows=("I2",),
    ),
    Bug(
        "read_without_fence",
        "the target is read while the lost request may still land",
        (Swap(f"{M}:_renewed", _unfenced),),
    ),
    Bug(
        "undo_over_others",
        "what somebody else has changed since is undone all the same",
        (Swap(f"{M}:_undo_read", _blind_undo), NOBODY_S_MARK),
        {"people": 3.0, "gaps": 0.3},
    ),
    Bug(
        "undo_in_order",
        "steps are undone in the order in which they were done",
        (Swap(f"{W}.stop", _first_first),),
        {"liar": 3.0},
    ),
    Bug(
        "undo_of_one",
        "after the first undo the rest is taken as undone",
        (Swap(f"{W}.undone", _one_undo),),
        {"liar": 3.0},
    ),
    Bug(
        "stale_evidence",
        "evidence may be of any age",
        (Swap(f"{M}:_gated", _fresh), Swap(f"{M}:_reserved", _fresh), *PATIENT_PERMITS),
        {"backlog": 1.0},
    ),
    Bug(
        "lost_is_refused",
        "an answer that never came means that nothing happened",
        (Swap(f"{M}:_answered", _lost_is_refused),),
    ),
    Bug(
        "foreign_is_ours",
        "what somebody else has written counts as our effect",
        (Swap(f"{M}:_read", _foreign_is_ours),),
        {"people": 12.0, "lost_answer": 3.0, "slow_target": 6.0},
    ),
    Bug(
        "absent_is_ours",
        "a target that does not carry our mark counts as changed",
        (Swap(f"{M}:_read", _absent_is_ours),),
    ),
    Bug(
        "residue_unsaid",
        "an action is handed over without a word on what it left",
        (Swap(f"{W}.escalate", _forgetful),),
    ),
    Bug(
        "kill_only_at_gate",
        "the switch is looked at when an action begins and then never again",
        (Swap(f"{M}:_killed", _no_stop), DEAF_WORKER, DEAF_GATEWAY),
        {"kill": 1.0, "policy_down": 1.0},
    ),
    Bug(
        "permit_without_end",
        "a permit holds for as long as anybody wants to use it",
        (Swap(f"{M}:_begin", _never_old), *PATIENT_PERMITS, BLIND_TO_EPOCHS),
        {"sleep": 3.0, "late": 3.0, "slow_target": 0.3},
        shows=("I1",),
    ),
    Bug(
        "waits_by_another_clock",
        "how long a lost effect has been waited for is told by the clocks of several processes",
        (Swap(f"{M}:_again", _jumps), Swap(f"{M}:_recovered", _waits_on)),
        {"slow_target": 12.0, "crash": 3.0},
        arrange=_every_other_clock_is_ahead,
        shows=("I5",),
    ),
    Bug(
        "harm_is_success",
        "what made things worse, or no better, is told as recovered",
        (Swap(f"{M}:_measured", _harm_is_fine),),
    ),
    Bug("silence_lasts", "silence is waited out for an hour at a time", (Swap(f"{M}:_due", _never_due),)),
    Bug("no_fencing", "requests of an earlier epoch are taken", (BLIND_TO_EPOCHS,)),
)
