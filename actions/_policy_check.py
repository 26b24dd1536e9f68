"""Checks of policies before they are in force: types, rules that can never decide, rules that contradict each other.

Two rules contradict each other if they stand equal (same priority), one lets something happen that the other does not
(permit, after approval, not at all), and there is a snapshot that decide can make in which both hold and nothing of
higher standing does. The strategy still gives an answer then, but one that nobody wrote down; so it is reported, with
the snapshot. A rule that can never hold, or never without a higher one that wants something else, is unreachable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

from actions._cel import NotAnalysed, TypeProblem, type_of, walk
from actions._cel_worlds import STEPS, Answer, Condition, Searched, Worlds, condition_of
from actions._errors import PolicyError
from actions._names import INVARIANTS, NEUTRAL
from actions._policies import Policies, Rule
from actions._policy_files import load_policies
from actions._strategies import RESTRICTION, Strategy
from schemas import Effect, Json

_MAY_ACT: dict[Effect, int] = {"permit": 2, "require_approval": 1, "advise": 0, "deny": 0}


class Contradiction(NamedTuple):
    """Two rules, a snapshot in which both hold (what differs from `NEUTRAL`), and what is decided there."""

    rules: tuple[str, str]
    effects: tuple[Effect, Effect]
    priority: int
    example: dict[str, Json]
    decided: str

    def document(self) -> dict[str, Any]:
        return {
            "rules": list(self.rules), "effects": list(self.effects), "priority": self.priority,
            "example": self.example, "decided": self.decided,
        }  # fmt: skip


@dataclass(slots=True)
class Findings:
    """errors: sentences, with file and line. unreachable: ids of rules, also among the errors. not_exact: what could
    not be searched to the end, and why; nothing found there proves nothing.
    """

    errors: list[str] = field(default_factory=list)
    contradictions: list[Contradiction] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    not_exact: list[str] = field(default_factory=list)
    strategy: Strategy = "priority"

    @property
    def is_clean(self) -> bool:
        """Whether the policies may go into force. Where a majority or costs settle equals, equals that disagree are
        what is wanted, and shown only.
        """
        return not self.errors and (not self.contradictions or self.strategy != "priority")


def check_policies(texts: Mapping[str, str], steps: int = STEPS) -> Findings:
    """Everything that can be said about policy files without a snapshot. steps: bound of each search."""
    findings = Findings()
    for where in sorted(texts):
        try:
            load_policies({where: texts[where]})
        except PolicyError as error:
            findings.errors.append(str(error))
    if findings.errors:
        return findings
    try:
        policies = load_policies(texts)
    except PolicyError as error:
        findings.errors.append(str(error))
        return findings
    return _Check(policies, findings, steps).run()


def check_rules(policies: Policies, steps: int = STEPS) -> Findings:
    """The same for rules that are loaded already."""
    return _Check(policies, Findings(), steps).run()


class _Check:
    def __init__(self, policies: Policies, findings: Findings, steps: int) -> None:
        self.policies, self.findings = policies, findings
        findings.strategy = policies.strategy
        self.conditions: dict[str, Condition] = {}
        for rule in policies.rules:
            self._read(rule)
        self.given = [condition_of(text) for text in INVARIANTS]
        self.worlds = Worlds([*self.conditions.values(), *self.given], steps)

    def run(self) -> Findings:
        rules = [rule for rule in self.policies.rules if rule.id in self.conditions]
        for rule in rules:
            self._check_failure(rule)
            self._check_reach(rule, rules)
        for a, b in combinations(rules, 2):
            if a.priority == b.priority and _MAY_ACT[a.effect] != _MAY_ACT[b.effect]:
                self._check_pair(a, b, rules)
        return self.findings

    def _read(self, rule: Rule) -> None:
        place = self.policies.place(rule)
        try:
            condition = condition_of(rule.when)
            kind = type_of(condition.tree)
        except NotAnalysed as outside:
            self.findings.not_exact.append(f"{place}: rule '{rule.id}' is not looked into: {outside}")
        except TypeProblem as problem:
            self.findings.errors.append(f"{place}: rule '{rule.id}': {problem}")
        else:
            if kind == "bool":
                self.conditions[rule.id] = condition
            else:
                self.findings.errors.append(f"{place}: rule '{rule.id}' gives {kind}, not bool")

    def _check_failure(self, rule: Rule) -> None:
        """Comparisons of fitting types cannot fail; only what computes can."""
        if not any(part.kind in ("arith", "index", "call") for part in walk(self.conditions[rule.id].tree)):
            return
        found = self._find(f"whether rule '{rule.id}' can fail", [(rule, "error")])
        if found.world is not None:
            where = _text(self._told(found.world, rule))
            what = f"rule '{rule.id}' fails, and so denies everything, for example where {where}"
            self.findings.errors.append(f"{self.policies.place(rule)}: {what}")

    def _check_reach(self, rule: Rule, rules: Sequence[Rule]) -> None:
        place = self.policies.place(rule)
        what = f"whether rule '{rule.id}' can decide"
        above = [other for other in rules if self._stands_over(other, rule)]
        found = self._find(what, [(rule, True), *((other, False) for other in above)])
        if found.world is not None or found.is_bounded:
            return
        alike = [other for other in above if other.effect != rule.effect]
        if rule.obligations and len(alike) < len(above):
            found = self._find(what, [(rule, True), *((other, False) for other in alike)])
            if found.world is not None or found.is_bounded:
                return
        ever = self._find(what, [(rule, True)])
        why = "never holds" if ever.world is None else "never decides: whenever it holds, a rule above it does too"
        self.findings.unreachable.append(rule.id)
        self.findings.errors.append(f"{place}: rule '{rule.id}' is unreachable: it {why}")

    def _check_pair(self, a: Rule, b: Rule, rules: Sequence[Rule]) -> None:
        what, both = f"whether '{a.id}' and '{b.id}' contradict each other", [(a, True), (b, True)]
        above = [(other, False) for other in rules if other.priority > a.priority]
        beside = [(o, False) for o in rules if o.priority == a.priority and o is not a and o is not b]
        found = self._find(what, [*both, *above, *beside], note=False)  # the clearest example, if there is one
        if found.world is None:
            found = self._find(what, [*both, *above])
        if found.world is None:
            return
        snapshot = NEUTRAL | found.world
        answers = {rule.id: answer for rule, answer in self.policies.answers(snapshot)}
        if not (answers[a.id] and answers[b.id]):
            raise AssertionError(f"the engine does not agree about {a.id} and {b.id} in {_text(found.world)}")
        got = self.policies.evaluate(snapshot)
        first, second = sorted((a, b), key=lambda rule: (RESTRICTION[rule.effect], rule.id))
        example = self._told(found.world, a, b)
        decided = f"{got.effect} {got.reason}" + (f" ({got.resolution})" if got.resolution else "")
        self.findings.contradictions.append(
            Contradiction((first.id, second.id), (first.effect, second.effect), a.priority, example, decided)
        )

    def _told(self, world: Mapping[str, Json], *rules: Rule) -> dict[str, Json]:
        """What the rules read, and what differs from `NEUTRAL`."""
        read = frozenset[str]().union(*(self.policies.names_of(rule) for rule in rules))
        return {name: value for name, value in sorted(world.items()) if name in read or value != NEUTRAL[name]}

    def _stands_over(self, other: Rule, rule: Rule) -> bool:
        """Whether `other` decides where both hold; what a majority or costs would say is not known beforehand."""
        if other.priority != rule.priority or self.policies.strategy != "priority":
            return other.priority > rule.priority
        return RESTRICTION[other.effect] > RESTRICTION[rule.effect]

    def _find(self, what: str, wanted: Sequence[tuple[Rule, Answer]], *, note: bool = True) -> Searched:
        conditions: list[tuple[Condition, Answer]] = [(self.conditions[rule.id], answer) for rule, answer in wanted]
        conditions += [(condition, True) for condition in self.given]
        found = self.worlds.find(conditions)
        if not note:
            return found
        if found.is_bounded:
            self.findings.not_exact.append(f"{what} was given up after {self.worlds.steps:,} steps")
        elif found.world is None and not self.worlds.is_exact(c for c, _ in conditions):
            names = sorted({n for c, _ in conditions for n in self.worlds.inexact if n in c.text})
            said = f"{what} was tried on a sample of values of {', '.join(names)}"
            if said not in self.findings.not_exact:
                self.findings.not_exact.append(said)
        return found


def _text(world: Mapping[str, Json]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in sorted(world.items())) or "nothing is said"
