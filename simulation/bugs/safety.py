"""Bugs of policies, verification and brakes."""

from typing import Any

from simulation import _gatekeeper
from simulation._bugs import Bug, Swap, always
from simulation._world import World
from simulation.bugs._off import RECOVERED


def _fails_open(original: Any) -> Any:
    def decide(gate: Any, key: str) -> Any:
        decision = original(gate, key)
        is_away = gate.loop.now_ns < gate.away_until_ns
        return decision.model_copy(update={"effect": "permit", "obligations": []}) if is_away else decision

    return decide


def _never_down(original: Any) -> Any:
    return lambda gate, say, down: original(gate, say, say)


def _frozen(world: World) -> None:
    """The freeze lasts for the whole history."""
    world.gate.freezes = world.oracle.freezes = ((0, 1 << 62),)


def _always_decided(effect: str, reason: str) -> Any:
    def make(original: Any) -> Any:
        def decide(gate: Any, key: str) -> Any:
            decision = original(gate, key)
            return (
                decision.model_copy(update={"effect": effect, "obligations": []})
                if decision.reason == reason
                else decision
            )

        return decide

    return make


def _thin_is_fine(original: Any) -> Any:
    def judge(*told: Any, **named: Any) -> Any:
        found = original(*told, **named)
        return found if found.completeness >= 0.8 and found.verdict != "inconclusive" else RECOVERED

    return judge


def _no_control(original: Any) -> Any:
    return lambda *told, **named: RECOVERED


GATE = "simulation._gatekeeper:Gate"
BUGS = (
    Bug(
        "fails_open",
        "where the policy engine does not answer everything is permitted, at each look",
        (Swap(f"{GATE}.decide", _fails_open), Swap(f"{GATE}._answer", _never_down)),
        {"policy_down": 3.0},
    ),
    Bug(
        "freeze_ignored",
        "nothing stops during a freeze",
        (Swap(f"{GATE}.decide", _always_decided("permit", "CHANGE_FREEZE")),),
        arrange=_frozen,
    ),
    Bug(
        "weak_is_enough",
        "a diagnosis that is not sure is acted upon",
        (Swap(f"{GATE}.decide", _always_decided("permit", "WEAK")),),
    ),
    Bug(
        "critical_is_nothing",
        "a critical service needs nobody",
        (Swap(f"{GATE}.decide", _always_decided("permit", "CRITICAL_SERVICE")),),
    ),
    Bug("success_assumed", "what was carried out counts as recovered", (Swap("actions._verify:judge", _no_control),)),
    Bug(
        "thin_is_recovered",
        "where nothing was seen it counts as recovered",
        (Swap("actions._verify:judge", _thin_is_fine),),
        {"gaps": 3.0},
    ),
    Bug(
        "mass_illness_ignored",
        "where half of everything is ill it goes on",
        (Swap("actions._safety:mass_illness", always(None)),),
        {"storm": 3.0},
    ),
)

__all__ = ["BUGS", "_gatekeeper"]
