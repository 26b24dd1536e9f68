"""The history of a seed: which targets fall ill, what the diagnosis says, and what each proposed change truly does.

Twenty incidents. Most diagnoses are right, some are wrong with confidence, some illnesses do not exist; some plans
have two steps, some verbs are unsafe, some services critical, some changes take replicas out of service. What is true
and what is said are drawn apart, so that a lie of the diagnosis is a fault that can be dropped.
"""

from typing import NamedTuple

from schemas.core import NS
from simulation._chance import Chance
from simulation._faults import Faults
from simulation._plant import Class, Illness, Plant, Target

START_NS = 1_000_000 * NS
MINUTE = 60 * NS
INCIDENTS = 20
TARGETS = 40
CLASSES: tuple[Class, ...] = (
    "conditional", "conditional", "keyed", "keyed", "naturally_idempotent", "naturally_idempotent", "unsafe",
)  # fmt: skip
VERB_OF: dict[Class, str] = {
    "conditional": "sim.set_version", "keyed": "sim.set_flag", "naturally_idempotent": "sim.set_weight",
    "unsafe": "sim.fire",
}  # fmt: skip


class Asked(NamedTuple):
    """One step of what is proposed: the target, the setting that it is to have, and the replicas that this takes."""

    target: str
    setting: str
    takes: int


class Incident(NamedTuple):
    """What is proposed for one disturbance and when. is_curable: a change that may be made would truly end it.

    is_right: what is proposed is that change. confidence_low: of the diagnosis, as the policies see it. asked again
    as part of another incident, where `asked_by` says more than one.
    """

    id: str
    begin_ns: int
    asked_ns: int
    asked: tuple[Asked, ...]
    confidence_low: float
    is_critical: bool
    is_curable: bool
    is_right: bool
    is_real: bool
    undo_on_no_effect: bool
    rollback_on_kill: bool


class Scenario(NamedTuple):
    seed: int
    incidents: tuple[Incident, ...]
    targets: tuple[tuple[str, Class, bool], ...]
    end_ns: int
    """When the last incident has come and faults stop."""


def draw_scenario(seed: int, faults: Faults, count: int = INCIDENTS) -> Scenario:
    """The incidents of a seed, in the order in which they are asked for."""
    chance = Chance(seed, "scenario")
    targets = tuple(_target(n, chance) for n in range(TARGETS))
    span_ns = 40 * NS if faults.has("storm") else 150 * MINUTE
    times = sorted(START_NS + 10 * MINUTE + chance.between(0, span_ns) for _ in range(count))
    incidents = tuple(_incident(n, at_ns, targets, chance, faults) for n, at_ns in enumerate(times))
    return Scenario(seed, incidents, targets, START_NS + 10 * MINUTE + span_ns + 20 * MINUTE)


def _target(number: int, chance: Chance) -> tuple[str, Class, bool]:
    return f"sim/service/s{number}", chance.pick(CLASSES), chance.happens(0.12)


def _incident(
    number: int, at_ns: int, targets: tuple[tuple[str, Class, bool], ...], chance: Chance, faults: Faults
) -> Incident:
    first = chance.below(len(targets))
    steps = 2 if chance.happens(0.2) else 1
    where = [targets[(first + n) % len(targets)] for n in range(steps)]
    takes = [chance.pick((1, 1, 2, 6)) if chance.happens(0.25) else 0 for _ in where]
    asked = tuple(Asked(one[0], f"v{number}.{n}", takes[n]) for n, one in enumerate(where))
    is_real, is_curable, is_right = chance.share() < 0.96, chance.share() < 0.92, chance.share() < 0.93
    confidence = 0.72 + 0.27 * chance.share() if chance.happens(0.9) else 0.75 * chance.share()
    if faults.strikes("liar", 0.35):
        is_right, confidence = False, 0.97
    return Incident(
        f"incident-{number}", at_ns - chance.between(75, 160) * NS, at_ns, asked, confidence,
        any(one[2] for one in where), is_real and is_curable and max(takes) < 6, is_right and is_real, is_real,
        chance.happens(0.5), chance.happens(0.3),
    )  # fmt: skip


def draw_plant(scenario: Scenario) -> Plant:
    """The targets with every illness of the scenario in them, and what each proposed setting truly does."""
    chance = Chance(scenario.seed, "plant")
    plant = Plant([
        Target(id, kind, base=0.001 + 0.004 * chance.share(), settle_ns=chance.between(5, 40) * NS)
        for id, kind, _ in scenario.targets
    ])  # fmt: skip
    for one in scenario.incidents:
        works = one.is_curable and one.is_right and chance.happens(0.92)
        mended_ns = one.asked_ns + chance.between(25, 45) * MINUTE
        if chance.happens(0.04):
            mended_ns = one.asked_ns + chance.between(30, 900) * NS
        for asked in one.asked:
            if one.is_real:
                ill = Illness(one.begin_ns, 0.05 + 0.3 * chance.share(), asked.setting if works else "", mended_ns)
                plant.targets[asked.target].illnesses.append(ill)
            if not works and chance.happens(0.25):
                plant.harm[asked.setting] = 0.05 + 0.4 * chance.share()
            plant.costs[asked.setting] = asked.takes
    return plant
