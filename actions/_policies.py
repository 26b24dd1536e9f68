"""Policies: YAML rules with CEL conditions over a flat snapshot, deny by default, fail closed.

The highest priority wins; among equals the more restrictive effect (deny, advise, require_approval, permit). The
obligations of all matched rules with the winning effect hold together, the largest quorum counts (XACML 3.0, 7.18).
In CEL `missing || true` is true, so the names a rule uses are checked against the closed set of the snapshot when
the rule is loaded and again before each evaluation; an error of *any* rule denies, also of one that could not win.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

import cel
import rfc8785
from pydantic import BaseModel, ConfigDict, Field

from actions._errors import PolicyError
from actions._yaml import Located
from schemas import Decision, Effect, Json, canonical, sha256

NEUTRAL: dict[str, Json] = {
    "verb": "gitops.revert", "target": "default/service/checkout", "service": "checkout", "tenant": "default",
    "risk": "medium", "effect_class": "conditional", "is_reversible": True, "has_executor": False,
    "family": "change", "has_change": True, "severity": 0.0, "completeness": 1.0, "is_abstained": False,
    "confidence_low": 0.0, "is_calibrated": False, "confidence_state": "UNCALIBRATED",
    "is_critical": False, "in_freeze": False, "in_maintenance": False, "in_peak": False,
}  # fmt: skip
"""Every name that a rule may use, with the value it has in a case that says nothing else.

`confidence_low` is the lower end of the interval, 0.0 unless the calibration was fitted on own outcomes; never null.
"""

Obligation = Annotated[str, Field(pattern=r"^(quorum:[1-9]|verify|ticket|notify:[a-z_]+)$")]
"""What the enforcer must do for the decision to hold."""

RESTRICTION: dict[Effect, int] = {"permit": 0, "require_approval": 1, "advise": 2, "deny": 3}


UNREADABLE = "unreadable"
"""Digest of a snapshot that has no canonical form, for example with a NaN in it; such a one is denied."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Rule(_Strict):
    """One rule. `when` is CEL over the names of `NEUTRAL`; `reason` becomes the reason of the decision."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    when: str
    effect: Effect
    priority: int
    reason: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    obligations: list[Obligation] = []
    text: str = Field(min_length=1)
    """Why the rule is there, for people."""


class Expectation(_Strict):
    effect: Effect
    reason: str
    obligations: list[Obligation] = []


class Case(_Strict):
    """One example of a policy file: what differs from `NEUTRAL`, and what must come out."""

    name: str
    given: dict[str, Json]
    expect: Expectation


class _File(_Strict):
    rules: list[Rule]
    cases: list[Case]


class Failure(NamedTuple):
    """A case that does not hold."""

    where: str
    name: str
    what: str


class Policies:
    """Loaded rules, compiled once. `digest` is SHA-256 over the canonical JSON of all rules, sorted by id."""

    def __init__(self, rules: Iterable[Rule], where: Mapping[str, str] | None = None) -> None:
        """Raises PolicyError for a rule that does not compile, uses an unknown name, is no condition or comes twice."""
        places = where or {}
        self.rules = sorted(rules, key=lambda r: (-r.priority, -RESTRICTION[r.effect], r.id))
        self.digest = sha256(canonical([r.model_dump(mode="json") for r in sorted(self.rules, key=lambda r: r.id)]))
        self._programs: dict[str, tuple[Any, frozenset[str]]] = {}
        for rule in self.rules:
            place = places.get(rule.id, rule.id)
            if rule.id in self._programs:
                raise PolicyError(f"rule '{rule.id}' is there twice", where=place)
            self._programs[rule.id] = _compiled(rule, place)

    def evaluate(self, snapshot: Mapping[str, Json]) -> Decision:
        """The decision over one snapshot (the names of `NEUTRAL`); never raises for what a rule or a value does.

        Nothing matched: deny, NO_RULE. A missing name, a null, a number that is not finite, an error or a result that
        is no boolean: deny, POLICY_ERROR.
        """
        digest = _digest(snapshot)
        answers = [(rule, self._answer(rule, snapshot)) for rule in self.rules]
        matched = [rule for rule, answer in answers if answer]
        broken = [rule for rule, answer in answers if answer is None]
        if broken or digest == UNREADABLE or None in snapshot.values():
            return self._decision("deny", "POLICY_ERROR", broken, [], digest)
        if not matched:
            return self._decision("deny", "NO_RULE", [], [], digest)
        winner = matched[0]
        held = [o for rule in matched if rule.effect == winner.effect for o in rule.obligations]
        return self._decision(winner.effect, winner.reason, matched, _combined(held), digest)

    def _answer(self, rule: Rule, snapshot: Mapping[str, Json]) -> bool | None:
        """True, False, or None where the rule cannot be evaluated."""
        program, names = self._programs[rule.id]
        if not names <= snapshot.keys():
            return None
        answer = _executed(program, snapshot)
        return answer if isinstance(answer, bool) else None

    def _decision(
        self, effect: Effect, reason: str, rules: list[Rule], obligations: list[str], digest: str
    ) -> Decision:
        return Decision(
            effect=effect,
            reason=reason,
            policies=[rule.id for rule in rules],
            obligations=obligations,
            policy_digest=self.digest,
            snapshot_digest=digest,
        )


def load_policies(texts: Mapping[str, str]) -> Policies:
    """All rules of all files; `texts` maps a file name, as people see it, to its text. Raises PolicyError."""
    rules: list[Rule] = []
    places: dict[str, str] = {}
    for where in sorted(texts):
        document = Located(texts[where], where, PolicyError)
        for index, rule in enumerate(document.parse(_File).rules):
            place = document.at(("rules", index, "when"))
            if rule.id in places:
                raise PolicyError(f"rule '{rule.id}' is already in {places[rule.id]}", where=place)
            rules.append(rule)
            places[rule.id] = place
    return Policies(rules, places)


def run_cases(texts: Mapping[str, str]) -> list[Failure]:
    """The cases that do not hold, each judged by the rules of its own file; empty if all do. Raises PolicyError."""
    failures = []
    for where in sorted(texts):
        policies = load_policies({where: texts[where]})
        document = Located(texts[where], where, PolicyError)
        for index, case in enumerate(document.parse(_File).cases):
            place = document.at(("cases", index))
            for name in sorted(case.given.keys() - NEUTRAL.keys()):
                raise PolicyError(f"case '{case.name}' sets an unknown name '{name}'", where=place, todo=_nearest(name))
            got = policies.evaluate(NEUTRAL | case.given)
            found = Expectation(effect=got.effect, reason=got.reason, obligations=got.obligations)
            if found != case.expect:
                failures.append(Failure(place, case.name, f"expected {case.expect}, got {found} by {got.policies}"))
    return failures


def _compiled(rule: Rule, where: str) -> tuple[Any, frozenset[str]]:
    try:
        program = cel.compile(rule.when)
    except ValueError as error:
        message = str(error).splitlines()[0]
        raise PolicyError(f"rule '{rule.id}': {message}", where=where) from error
    names = frozenset(program.variables())
    for name in sorted(names - NEUTRAL.keys()):
        raise PolicyError(f"rule '{rule.id}' uses an unknown name '{name}'", where=where, todo=_nearest(name))
    answer = _executed(program, NEUTRAL)
    if not isinstance(answer, bool):
        what = f"gives {answer!r}, which is not true or false" if answer is not None else "cannot be evaluated"
        raise PolicyError(f"rule '{rule.id}': `{rule.when}` {what}", where=where)
    return program, names


def _executed(program: Any, snapshot: Mapping[str, Json]) -> object:
    """The result of a program, None for any failure. A panic of the engine is a BaseException and denies as well."""
    try:
        return program.execute(dict(snapshot))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return None


def _digest(snapshot: Mapping[str, Json]) -> str:
    try:
        return sha256(canonical(dict(snapshot)))
    except rfc8785.CanonicalizationError:
        return UNREADABLE


def _combined(obligations: list[str]) -> list[str]:
    quorum = max((int(o.removeprefix("quorum:")) for o in obligations if o.startswith("quorum:")), default=0)
    rest = [o for o in dict.fromkeys(obligations) if not o.startswith("quorum:")]
    return ([f"quorum:{quorum}"] if quorum else []) + rest


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, NEUTRAL, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known names: {', '.join(sorted(NEUTRAL))}"
