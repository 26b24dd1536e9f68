"""What the past of the actions forbids now: a fold over what has ended, kept in memory, built anew from the ledger.

There is no second record of it that could disagree: a restart reads the ended actions again, and so a breaker that was
open is open. Asked twice: at the gate, how far the action may go (`bound`); before each permit, whether it must wait
(`why_not`). Pure apart from its own memory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from actions import _breaker, _canary
from actions._autonomy import BREACHES, Trial, earned, trials_of
from actions._brakes import Past, cools_until_ns, is_oscillation, mass_illness
from actions._breaker import Breaker, Outcome
from actions._budget import Limits, takes
from actions._canary import Canary
from actions._kill import Order, breaker_of
from actions._ledger import Take
from actions._machine_types import Action, Mode
from actions._modes import Bound, lowest, set_level
from actions._overruled import Overruled
from actions._ports import Illness
from actions._put_back import FORGOTTEN_NS
from actions._verbs import service_of
from schemas import Feedback
from schemas.core import NS

EVERYWHERE = ("*", "*")
"""The breaker of everything."""
_REMEMBERED_NS = 24 * 3600 * NS


@dataclass(frozen=True, slots=True)
class SafetySettings:
    """levels: how far, by `VERB@TIER`, `VERB`, `@TIER` or `*` (most specific first), `otherwise` where nothing is said.

    has_canary: new versions are let out by steps. must_earn: acting alone is earned by trials (`_autonomy.py`).
    """

    limits: Limits = Limits()
    levels: Mapping[str, Mode] = field(default_factory=dict)
    otherwise: Mode = "approve"
    has_canary: bool = True
    must_earn: bool = True


class Held(NamedTuple):
    """Why there is no permit. blocks: the target is for people from now on."""

    reason: str
    is_final: bool = False
    blocks: bool = False


class Safety:
    def __init__(self, settings: SafetySettings) -> None:
        self.settings = settings
        self.breakers: dict[tuple[str, str], Breaker] = {}
        self.canaries: dict[tuple[str, str], Canary] = {}
        self.trials: list[Trial] = []
        self.same: frozenset[str] = frozenset()
        """Older versions that a replay has shown to decide the same."""
        self.breach_ns = 0
        """Of the last breach of safety; what was earned before it is lost."""
        self.put_back_ns = 0
        """When the ledger was last found to be an old copy; 0 if never."""
        self.held = ""
        """Why nothing forward may happen right now, whatever else is allowed; empty where nothing is amiss."""
        self.overruled = Overruled()
        self.known: set[str] = set()
        """Keys of what was learned."""
        self.last_ns = 0
        """The latest end that was learned."""
        self._earned: dict[tuple[str, str, str], Bound] = {}
        self._past: dict[str, list[Past]] = {}
        self._advised: dict[str, frozenset[tuple[str, str]]] = {}

    def learn(self, action: Action) -> None:
        """Take in an action that has ended, in order of their ends."""
        self.known.add(action.key)
        self.last_ns = max(self.last_ns, action.at_ns)
        outcome, self.overruled = outcome_of(action), self.overruled.learn(action)
        if action.state in ("advised", "shadowed") and action.origin.action_id:
            names = {(step.change.verb, service_of(step.change.target)) for step in action.plan.steps}
            self._advised[action.origin.action_id] = frozenset(names)
        if outcome is not None or action.state == "shadowed":
            self._count(action, outcome)
        self._remember(action)
        self.take_trials(trials_of(action))

    def _count(self, action: Action, outcome: Outcome | None) -> None:
        """For breakers and canaries."""
        for verb, service in {(step.change.verb, service_of(step.change.target)) for step in action.plan.steps}:
            version = (verb, action.origin.version)
            if action.state == "shadowed":
                self.canaries[version] = _canary.after_shadow(self.canaries.get(version, Canary()))
            if outcome is None:
                continue
            known = self.breakers.get((verb, service), Breaker())
            self.breakers[verb, service] = _breaker.after_outcome(known, outcome, action.at_ns)
            canary = self.canaries.get(version, Canary())
            self.canaries[version] = _canary.after_outcome(canary, outcome, action.plan.targets[0])

    def take_trials(self, trials: Iterable[Trial]) -> None:
        """Outcomes of actions, or drills and agreements of a replay."""
        self.trials += trials
        self._earned.clear()

    def heard(self, said: Feedback) -> None:
        """What people said: of a decision that was not carried out, it counts for a breaker that was open then."""
        self.overruled = self.overruled.heard(said)
        for name in self._advised.get(said.action_id or "", ()):
            known = self.breakers.get(name, Breaker())
            if known.is_open and said.said_ns >= known.opened_ns:
                self.breakers[name] = _breaker.after_shadow(known, said.verdict == "right")

    def trip(self, reason: str, at_ns: int) -> None:
        """Stop acting everywhere: an invariant, audit log or ledger is in doubt, or people override too often."""
        if reason in BREACHES:
            self.breach_ns = max(self.breach_ns, at_ns)
            self._earned.clear()
        self.breakers[EVERYWHERE] = _breaker.trip(self.breakers.get(EVERYWHERE, Breaker()), reason, at_ns)
        self.overruled = Overruled()

    def heed(self, order: Order) -> None:
        """A signed order opens or resets a breaker, as of its time; what opened it later stays."""
        name = breaker_of(order.scope)
        if name is None:
            return
        known = self.breakers.get(name, Breaker())
        if order.is_stop:
            self.breakers[name] = _breaker.trip(known, "ORDERED", order.issued_ns)
        elif order.issued_ns >= known.opened_ns:
            self.breakers[name] = _breaker.reset()
            self.overruled = Overruled() if name == EVERYWHERE else self.overruled

    def was_put_back(self, now_ns: int) -> bool:
        """Whether what an old copy of the ledger forgot could still count."""
        return self.put_back_ns > 0 and now_ns < self.put_back_ns + FORGOTTEN_NS

    def bound(self, action: Action, groups: tuple[Illness, ...], now_ns: int) -> Bound:
        """How far it may go now, with the reason of the tightest bound."""
        bounds = list[Bound]()
        for step in action.plan.steps:
            verb, service = step.change.verb, service_of(step.change.target)
            level = set_level(self.settings.levels, verb, action.origin.tier, self.settings.otherwise)
            if action.origin.reverts and level == "approve":
                level = "act"  # that it is for a while was part of what people have approved
            bounds.append(Bound(level, f"MODE_{level.upper()}"))
            if self.settings.must_earn and not action.origin.reverts:
                bounds.append(self._level(verb, action.origin.tier, action.origin.version, now_ns))
            for name in ((verb, service), EVERYWHERE):
                if name in self.breakers:
                    bounds.append(_breaker.bound(self.breakers[name], now_ns))
            if self.settings.has_canary:
                canary = self.canaries.get((verb, action.origin.version), Canary())
                bounds.append(_canary.bound(canary, step.change.target))
        is_foreseen = any(one.foreseen for one in groups) and action.origin.is_foreseen
        if mass_illness(groups, is_foreseen=is_foreseen):
            bounds.append(Bound("advise", "MASS_ILLNESS"))
        if self.was_put_back(now_ns):
            bounds.append(Bound("advise", "LEDGER_PUT_BACK"))
        if self.held:
            bounds.append(Bound("advise", self.held))
        return lowest(bounds)

    def why_not(self, action: Action, step: int, groups: tuple[Illness, ...], now_ns: int) -> Held | None:
        """What speaks against a permit for this step now; breakers and levels count here again."""
        change = action.plan.steps[step].change
        past = self._past.get(change.target, [])
        if not action.origin.reverts and is_oscillation(past, change, now_ns):
            return Held("OSCILLATION", is_final=True, blocks=True)
        bound = self.bound(action, groups, now_ns)
        if bound.mode in ("shadow", "advise"):
            return Held(bound.reason, is_final=True)
        return Held("COOLING_DOWN") if self.is_cooling(action, change.target, now_ns) else None

    def is_cooling(self, action: Action, target: str, now_ns: int) -> bool:
        """Whether the target was just changed by another action."""
        return not action.origin.reverts and now_ns < cools_until_ns(self._past.get(target, []), target)

    def cool_down_ns(self, last: Action) -> int:
        """How long after its last generation a change may be asked for again; at once where nothing was done."""
        if last.state not in ("succeeded", "rolled_back", "escalated"):
            return 0
        until_ns = max(cools_until_ns(self._past.get(target, []), target) for target in last.plan.targets)
        return max(0, until_ns - last.at_ns)

    def takes(self, action: Action, step: int, groups: tuple[Illness, ...]) -> tuple[Take, ...]:
        """The shares of this step and of all after it: what cannot be brought to its end for want of budget does not
        begin, or its beginning would only be undone again.
        """
        found = dict[str, Take]()
        for number, one in enumerate(action.plan.steps[step:], step):
            verb, target = one.change.verb, one.change.target
            for take in takes(self.settings.limits, action.key, number, verb, target, service_of(target), groups):
                found.setdefault(take.id, take)
        return tuple(found.values())

    def _level(self, verb: str, tier: str, version: str, now_ns: int) -> Bound:
        name = (verb, tier, version)
        if name not in self._earned:
            found = earned(self.trials, verb, tier, version, now_ns, same=self.same, breach_ns=self.breach_ns)
            self._earned[name] = Bound(found.level, f"AUTONOMY_{found.reason}")
        return self._earned[name]

    def _remember(self, action: Action) -> None:
        """What was applied, and what was taken back again."""
        was_undone = action.state == "rolled_back"
        steps = range(action.step + 1) if was_undone else [one.step for one in action.applied]
        for step in (action.plan.steps[number] for number in steps):
            target = step.change.target
            past = [one for one in self._past.get(target, []) if one.at_ns > action.at_ns - _REMEMBERED_NS]
            past.append(Past(action.at_ns, target, step.goal, step.origin, action.state == "succeeded"))
            if was_undone:
                past.append(Past(action.at_ns, target, step.origin, step.goal, helped=True))
            self._past[target] = past


def outcome_of(action: Action) -> Outcome | None:
    """What an ended action has shown; None where it did nothing, or nobody knows whether it helped."""
    if action.verdict is None or action.verdict == "inconclusive":
        return None
    return _OUTCOMES[action.verdict]


_OUTCOMES: dict[str, Outcome] = {"recovered": "good", "not_recovered": "ineffective", "regressed": "harmful"}
