"""Bugs of the gateway: its rules, what it keeps, and the order in which it does things."""

from typing import Any

from schemas.core import NS
from simulation._bugs import Bug, Swap, always
from simulation._world import World
from simulation.bugs._off import (
    ALREADY_SO,
    ANY_VERSION,
    BLIND_TO_EPOCHS,
    DEAF_GATEWAY,
    DEAF_WORKER,
    NO_FLOOR,
    NOBODY_S_MARK,
    PATIENT_PERMITS,
    YES,
    G,
    without,
)  # fmt: skip

DESK, STORE = "actions._gateway_desk:GatewayDesk", "actions._gateway_store:ModelGatewayStore"


def _one_too_low(original: Any) -> Any:
    async def fence(desk: Any, target: str, epoch: int) -> bool:
        return bool(await original(desk, target, epoch - 1))

    return fence


def _no_fence(original: Any) -> Any:
    async def fence(desk: Any, target: str, epoch: int) -> bool:
        return True

    return fence


def _no_answers(original: Any) -> Any:
    def known(store: Any, target: str, name: Any) -> Any:
        found = original(store, target, name)
        return type(found)(found.epoch, None, None)

    return known


def _not_begun(original: Any) -> Any:
    def keep(store: Any, attempt: Any) -> None:
        if attempt.kept.result != "begun":
            original(store, attempt)

    return keep


def _again_if_in_doubt(original: Any) -> Any:
    def known(store: Any, target: str, name: Any) -> Any:
        found = original(store, target, name)
        in_doubt = found.kept is not None and found.kept.result == "begun"
        return type(found)(found.epoch, found.user, None) if in_doubt else found

    return known


def _unkept_refusals(original: Any) -> Any:
    def settle(store: Any, name: Any, result: str, reason: str) -> None:
        if result == "not_applied":
            store._attempts.pop(name, None)
        else:
            original(store, name, result, reason)

    return settle


def _no_wait(original: Any) -> Any:
    async def fenced(desk: Any, attempt: Any, epoch: int) -> bool:
        return True

    return fenced


def _lost_is_refused(original: Any) -> Any:
    async def write(hands: Any, effect: Any, mark: Any, reading: Any) -> Any:
        written = await original(hands, effect, mark, reading)
        return written._replace(outcome="refused") if written.outcome == "lost" else written

    return write


def _unreadable_is_absent(original: Any) -> Any:
    async def found(desk: Any, request: Any) -> Any:
        answer = await original(desk, request)
        return "not_applied" if answer == "unreadable" else answer

    return found


def _forgets(original: Any) -> Any:
    def start(process: Any) -> None:
        process.store = type(process.store)()
        original(process)

    return start


def _often_killed(world: World) -> None:
    """The switch is thrown three seconds before each incident, and nobody can read it."""
    for incident in world.scenario.incidents:
        world.loop.at(incident.asked_ns - 3 * NS, _throw_unheard, world)


def _throw_unheard(world: World) -> None:
    now = world.loop.now_ns
    order = ("all", now, now + 60 * NS)
    world.switch.orders.append(order)
    world.oracle.thrown.append(order)
    world.switch.deaf_from_ns, world.switch.deaf_until_ns = now - NS, now + 60 * NS


BUGS = (
    Bug("fence_too_low", "a fence leaves the epoch before it open", (Swap(f"{DESK}.fence", _one_too_low),)),
    Bug("fence_is_a_word", "a fence is confirmed and not kept", (Swap(f"{DESK}.fence", _no_fence),)),
    Bug(
        "fence_does_not_wait",
        "a fence is confirmed while a slow target may still take a write",
        (Swap(f"{DESK}._fenced", _no_wait),),
        {"slow_target": 3.0},
    ),
    Bug(
        "answers_forgotten",
        "a request that comes twice is carried out twice",
        (Swap(f"{STORE}.known", _no_answers), ALREADY_SO),
        shows=("I2", "I4", "I5", "I10"),
    ),
    Bug(
        "not_written_down",
        "a write is not written down before it is sent",
        (Swap(f"{STORE}.keep", _not_begun), ALREADY_SO),
        shows=("I2", "I4", "I5", "I10"),
    ),
    Bug(
        "doubt_is_retried",
        "a write of which nobody knows is sent again",
        (Swap(f"{STORE}.known", _again_if_in_doubt), ALREADY_SO),
        {"slow_target": 12.0, "double": 10.0, "crash": 1.0},
        shows=("I2", "I4", "I5", "I10"),
    ),
    Bug(
        "refusals_forgotten",
        "what was refused once is carried out when it comes again",
        (Swap(f"{STORE}.settle", _unkept_refusals),),
        {"refused": 3.0, "double": 3.0},
    ),
    Bug(
        "store_forgotten",
        "the gateway starts with an empty store after each death",
        (Swap("simulation._gateway:GatewayProcess.start", _forgets), ALREADY_SO),
        {"gateway_crash": 3.0, "double": 3.0, "late": 3.0, "crash": 1.0},
        shows=("I2", "I4", "I5", "I10"),
    ),
    Bug(
        "late_is_refused",
        "a write that has not come back counts as refused",
        (Swap("simulation._gateway:Hands.write", _lost_is_refused),),
    ),
    Bug(
        "unreadable_is_absent",
        "a target that cannot be read counts as unchanged",
        (Swap(f"{DESK}._found", _unreadable_is_absent),),
        {"unreadable": 3.0, "lost_answer": 3.0},
    ),
    Bug("no_floor", "nobody counts what goes on serving", (NO_FLOOR,)),
    Bug(
        "any_version",
        "a write goes over whatever the target has become",
        (
            ANY_VERSION,
            Swap(
                "simulation._verbs:PlantExecutor.write",
                lambda original: (
                    lambda self, effect, mark, reading, sent_ns=None: original(
                        self,
                        effect,
                        mark,
                        reading._replace(token=str(self._plant.targets[effect.target].version)),
                        sent_ns,
                    )
                ),
            ),
        ),
        {"people": 3.0, "churn": 3.0},
    ),
    Bug(
        "kill_state_of_any_age",
        "the state of the switch may be of any age",
        (Swap(f"{G}:check_kill", without("KILL_STATE_OLD")), Swap("actions._kill:FRESH_NS", lambda original: 1 << 60)),
        {"kill_unheard": 3.0, "kill": 3.0},
        arrange=_often_killed,
    ),
    Bug(
        "undo_without_mark",
        "an undo goes over whatever is there",
        (
            NOBODY_S_MARK,
            Swap(
                "actions._machine:_undo_read",
                lambda original: (
                    lambda walk, event: original(
                        walk,
                        event._replace(found="applied")
                        if event.found == "foreign" and not walk.attempt().is_sent
                        else event,
                    )
                ),
            ),
        ),
        {"people": 3.0},
    ),
    Bug(
        "kill_unknown_to_gateway",
        "only the worker looks at the switch, and a request may be on its way",
        (DEAF_GATEWAY, DEAF_WORKER, BLIND_TO_EPOCHS),
        {"kill": 3.0, "late": 3.0, "policy_down": 0.3},
        shows=("I8",),
    ),
    Bug(
        "expired_permits",
        "a permit is taken whenever it comes",
        (*PATIENT_PERMITS, BLIND_TO_EPOCHS),
        {"late": 3.0, "sleep": 3.0},
        shows=("I1",),
    ),
    Bug(
        "unsafe_without_people",
        "what nobody can repeat safely needs nobody",
        (
            Swap("actions._saga:Plan.is_unsafe", lambda original: property(lambda plan: False)),
            Swap(f"{G}:_class", always(YES)),
        ),
    ),
)
