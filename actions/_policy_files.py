"""Policy files: YAML with rules, the cases that must hold, and, once for all files, the strategy for conflicts."""

from collections.abc import Mapping
from typing import NamedTuple

from actions._errors import PolicyError
from actions._names import NEUTRAL
from actions._policies import Policies, PolicyEngine, Rule, Strict, nearest
from actions._strategies import Costs, Strategy
from actions._yaml import Located
from schemas import Effect, Json


class Expectation(Strict):
    effect: Effect
    reason: str
    obligations: list[str] = []


class Case(Strict):
    """One example of a policy file: what differs from `NEUTRAL`, and what must come out."""

    name: str
    given: dict[str, Json]
    expect: Expectation


class PolicyFile(Strict):
    """strategy: said in one file or the same in several; `priority` if in none. cost: points of the strategy `cost`."""

    strategy: Strategy | None = None
    cost: Costs | None = None
    rules: list[Rule]
    cases: list[Case]


class Failure(NamedTuple):
    """A case that does not hold."""

    where: str
    name: str
    what: str


def load_policies(texts: Mapping[str, str]) -> Policies:
    """All rules of all files; `texts` maps a file name, as people see it, to its text. Raises PolicyError."""
    rules: list[Rule] = []
    places: dict[str, str] = {}
    strategies: dict[Strategy, str] = {}
    costs: list[Costs] = []
    for where in sorted(texts):
        document = Located(texts[where], where, PolicyError)
        file = document.parse(PolicyFile)
        for index, rule in enumerate(file.rules):
            place = document.at(("rules", index, "when"))
            if rule.id in places:
                raise PolicyError(f"rule '{rule.id}' is already in {places[rule.id]}", where=place)
            rules.append(rule)
            places[rule.id] = place
        if file.strategy is not None:
            strategies.setdefault(file.strategy, document.at(("strategy",)))
        if file.cost is not None:
            costs.append(file.cost)
        if len(strategies) > 1 or len(costs) > 1:
            what = " and ".join(f"'{s}' in {place}" for s, place in strategies.items()) or "`cost:` in two files"
            raise PolicyError(f"conflicts are to be resolved in two ways: {what}", where=where, todo="Say it once")
    strategy: Strategy = next(iter(strategies), "priority")
    if costs and strategy != "cost":
        raise PolicyError("`cost:` without `strategy: cost`", todo="Add the strategy, or leave the points out")
    return Policies(rules, places, strategy, costs[0] if costs else None)


def number_of_cases(texts: Mapping[str, str]) -> int:
    """How many cases the files hold. Raises PolicyError."""
    return sum(len(Located(texts[where], where, PolicyError).parse(PolicyFile).cases) for where in sorted(texts))


def run_cases(texts: Mapping[str, str], engine: PolicyEngine | None = None) -> list[Failure]:
    """The cases that do not hold; empty if all do. All files are judged together, as they are in force.

    engine: asked instead of the rules of the files. Raises PolicyError.
    """
    judge = engine or load_policies(texts)
    failures = []
    for where in sorted(texts):
        document = Located(texts[where], where, PolicyError)
        for index, case in enumerate(document.parse(PolicyFile).cases):
            place = document.at(("cases", index))
            for name in sorted(case.given.keys() - NEUTRAL.keys()):
                raise PolicyError(f"case '{case.name}' sets an unknown name '{name}'", where=place, todo=nearest(name))
            got = judge.evaluate(NEUTRAL | case.given)
            found = Expectation(effect=got.effect, reason=got.reason, obligations=got.obligations)
            if found != case.expect:
                failures.append(Failure(place, case.name, f"expected {case.expect}, got {found} by {got.policies}"))
    return failures
