"""Policies: rules with CEL conditions over a flat snapshot, deny by default, fail closed.

The rules of the highest priority that matched decide; where they want different things, the strategy of the policies
does (`_strategies.py`). The obligations of all matched rules with the winning effect hold together, the largest
quorum counts (XACML 3.0, 7.18). In CEL `missing || true` is true, so the names a rule uses are checked against the
closed set of the snapshot when the rule is loaded and again before each evaluation; an error of *any* rule denies,
also of one that could not win.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import cel
import rfc8785
from pydantic import BaseModel, ConfigDict, Field

from actions._errors import PolicyError
from actions._names import NAMES, NEUTRAL
from actions._selectors import target_fault
from actions._strategies import NAMES_OF_COST, RESTRICTION, Costs, Strategy, resolve
from schemas import Decision, Effect, Json, canonical, sha256

Obligation = Annotated[str, Field(pattern=r"^(quorum:[1-9]|role:[a-z][a-z0-9_-]*:[1-9]|verify|ticket|notify:[a-z_]+)$")]
"""What the enforcer must do for the decision to hold. `quorum:2`: two different people approve; `role:senior:2`: two
of those who do are seniors."""

UNREADABLE = "unreadable"
"""Digest of a snapshot that has no canonical form, for example with a NaN in it; such a one is denied."""


class PolicyEngine(Protocol):
    """Whoever judges a snapshot: our own rules in CEL, or rules in Rego that an OPA server holds.

    `evaluate` never raises for what a rule, a value or a server does: without a clear answer it is deny, POLICY_ERROR.
    """

    @property
    def digest(self) -> str:
        """Names the rules that are in force."""
        ...

    def evaluate(self, snapshot: Mapping[str, Json]) -> Decision: ...


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Rule(Strict):
    """One rule. `when` is CEL over `NAMES`; `reason` becomes the reason of the decision."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    when: str
    effect: Effect
    priority: int = 0
    reason: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    obligations: list[Obligation] = []
    text: str = Field(min_length=1)
    """Why the rule is there, for people."""


class Approvers(NamedTuple):
    """Who must approve: so many different people, and of them at least so many in each role."""

    quorum: int
    required: dict[str, int]


class Policies:
    """Loaded rules, compiled once. `digest` is SHA-256 over the canonical JSON of all rules, sorted by id, and of the
    strategy where it is not `priority`.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        where: Mapping[str, str] | None = None,
        strategy: Strategy = "priority",
        costs: Costs | None = None,
    ) -> None:
        """Raises PolicyError for a rule that does not compile, uses an unknown name, is no condition or comes twice."""
        places = self._places = dict(where or {})
        self.rules = sorted(rules, key=lambda r: (-r.priority, -RESTRICTION[r.effect], r.id))
        self.strategy, self.costs = strategy, costs or Costs()
        self._digest = self._digest_of_rules()
        self._programs: dict[str, tuple[Any, frozenset[str]]] = {}
        for rule in self.rules:
            place = places.get(rule.id, rule.id)
            if rule.id in self._programs:
                raise PolicyError(f"rule '{rule.id}' is there twice", where=place)
            self._programs[rule.id] = compiled(rule, place)

    @property
    def digest(self) -> str:
        return self._digest

    def evaluate(self, snapshot: Mapping[str, Json]) -> Decision:
        """The decision over one snapshot (the names of `NAMES`); never raises for what a rule or a value does.

        Nothing matched: deny, NO_RULE. A missing name, a null, a number that is not finite, an error or a result that
        is no boolean, a risk or tier without points: deny, POLICY_ERROR. A target that does not name exactly one
        entity: deny, SELECTOR_INVALID, whatever the rules say.
        """
        digest = snapshot_digest(snapshot)
        answers = self.answers(snapshot)
        matched = [rule for rule, answer in answers if answer]
        broken = [rule for rule, answer in answers if answer is None]
        if broken:
            return self._decision("deny", "POLICY_ERROR", broken, [], digest)
        if (fault := snapshot_fault(snapshot, digest)) is not None:
            return self._decision("deny", fault.reason, [], [], digest, fault.text)
        if not matched:
            return self._decision("deny", "NO_RULE", [], [], digest)
        if self.strategy == "cost" and not set(NAMES_OF_COST) <= snapshot.keys():
            return self._decision("deny", "POLICY_ERROR", [], [], digest)
        try:
            effect, how = resolve(matched, snapshot, self.strategy, self.costs)
        except (KeyError, TypeError, ValueError):
            return self._decision("deny", "POLICY_ERROR", [], [], digest)
        first = matched[0].priority
        winner = next(rule for rule in matched if rule.effect == effect and rule.priority == first)
        held = [o for rule in matched if rule.effect == effect for o in rule.obligations]
        told = [winner, *(rule for rule in matched if rule is not winner)]
        return self._decision(effect, winner.reason, told, combined(held), digest, how)

    def answers(self, snapshot: Mapping[str, Json]) -> list[tuple[Rule, bool | None]]:
        """What each rule says, in order of standing: it holds, it does not, or None: it cannot be evaluated."""
        return [(rule, self._answer(rule, snapshot)) for rule in self.rules]

    def place(self, rule: Rule) -> str:
        """Where a rule stands, as people see it; its id where that is not known."""
        return self._places.get(rule.id, rule.id)

    def names_of(self, rule: Rule) -> frozenset[str]:
        """The names of the snapshot that a rule reads."""
        return self._programs[rule.id][1]

    def _answer(self, rule: Rule, snapshot: Mapping[str, Json]) -> bool | None:
        program, names = self._programs[rule.id]
        if not names <= snapshot.keys():
            return None
        answer = executed(program, {name: snapshot[name] for name in names})  # each name costs a conversion
        return answer if isinstance(answer, bool) else None

    def _digest_of_rules(self) -> str:
        rules: Any = [r.model_dump(mode="json") for r in sorted(self.rules, key=lambda r: r.id)]
        if self.strategy == "priority":
            return sha256(canonical(rules))
        costs = self.costs.model_dump(mode="json") if self.strategy == "cost" else {}
        return sha256(canonical({"rules": rules, "strategy": self.strategy, "costs": costs}))

    def _decision(
        self, effect: Effect, reason: str, rules: Sequence[Rule], obligations: list[str], digest: str, how: str = ""
    ) -> Decision:
        return Decision(
            effect=effect,
            reason=reason,
            policies=[rule.id for rule in rules],
            obligations=obligations,
            strategy=self.strategy,
            resolution=how,
            policy_digest=self._digest,
            snapshot_digest=digest,
        )


class Fault(NamedTuple):
    """Why a snapshot is denied whatever the rules say."""

    reason: str
    text: str


def snapshot_fault(snapshot: Mapping[str, Json], digest: str) -> Fault | None:
    """A snapshot that no engine may be asked about: without a canonical form, with a null, or aimed at many things.

    digest: of the snapshot.
    """
    if digest == UNREADABLE:
        return Fault("POLICY_ERROR", "the snapshot has no canonical form")
    if empty := sorted(name for name, value in snapshot.items() if value is None):
        return Fault("POLICY_ERROR", f"null: {', '.join(empty)}")
    fault = target_fault(snapshot.get("target"))
    return Fault("SELECTOR_INVALID", fault) if fault else None


def approvers_of(obligations: Iterable[str]) -> Approvers:
    """Who must approve, by the obligations of a decision that requires it; one person where nothing is said.

    >>> approvers_of(["quorum:1", "role:senior:2", "ticket"])
    Approvers(quorum=2, required={'senior': 2})
    """
    quorum, required = 1, dict[str, int]()
    for obligation in obligations:
        kind, _, rest = obligation.partition(":")
        if kind == "quorum":
            quorum = max(quorum, int(rest))
        elif kind == "role":
            role, _, count = rest.rpartition(":")
            required[role] = max(required.get(role, 0), int(count))
    return Approvers(max(quorum, sum(required.values())), required)


def snapshot_digest(snapshot: Mapping[str, Json]) -> str:
    """SHA-256 over the RFC 8785 form, or `UNREADABLE`."""
    try:
        return sha256(canonical(dict(snapshot)))
    except rfc8785.CanonicalizationError:
        return UNREADABLE


def compiled(rule: Rule, where: str) -> tuple[Any, frozenset[str]]:
    """The program of a rule and the names it reads. Raises PolicyError."""
    try:
        program = cel.compile(rule.when)
    except ValueError as error:
        message = str(error).splitlines()[0]
        raise PolicyError(f"rule '{rule.id}': {message}", where=where) from error
    names = frozenset(program.variables())
    for name in sorted(names - NAMES.keys()):
        raise PolicyError(f"rule '{rule.id}' uses an unknown name '{name}'", where=where, todo=nearest(name))
    answer = executed(program, NEUTRAL)
    if not isinstance(answer, bool):
        what = f"gives {answer!r}, which is not true or false" if answer is not None else "cannot be evaluated"
        raise PolicyError(f"rule '{rule.id}': `{rule.when}` {what}", where=where)
    return program, names


def executed(program: Any, snapshot: Mapping[str, Json]) -> object:
    """The result of a program, None for any failure. A panic of the engine is a BaseException and denies as well."""
    try:
        return program.execute(dict(snapshot))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return None


def nearest(name: str, known: Iterable[str] = NAMES) -> str:
    """A hint at the name that was meant."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known names: {', '.join(names)}"


def combined(obligations: list[str]) -> list[str]:
    """Quorum first, the largest; each role once, the most; then the rest in order."""
    quorum = max((int(o.removeprefix("quorum:")) for o in obligations if o.startswith("quorum:")), default=0)
    roles = approvers_of(o for o in obligations if o.startswith("role:")).required
    rest = [o for o in dict.fromkeys(obligations) if not re.match("quorum:|role:", o)]
    return [*([f"quorum:{quorum}"] if quorum else []), *(f"role:{r}:{n}" for r, n in sorted(roles.items())), *rest]
