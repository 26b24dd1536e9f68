"""Worlds: is there a snapshot for which these conditions have these answers? Searched exactly over finite regions.

A condition looks at a name only through comparisons with the literals that stand in the rules, so the values of a name
fall into finitely many regions that no rule can tell apart: each threshold, each gap between two, each value of a
closed set, and one value besides those that are named. One representative of each is enough. The search assigns names
one by one and gives up a branch as soon as some condition has the wrong answer whatever the rest is (Kleene's three
values; backtracking as in Davis, Logemann & Loveland 1962). Comparisons are answered by the engine itself.

Where a condition does more than compare (`matches`, sums, one name with another), regions are a sample and `is_exact`
says no; small closed domains are searched whole whatever is done with them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any, Literal, NamedTuple

import cel

from actions._cel import Node, names_in, parse, walk
from actions._names import NAMES, NEUTRAL
from actions._policies import executed
from schemas import Json

Answer = bool | None | Literal["error"]
"""None: not known yet."""
STEPS = 20_000
_WHOLE = 64  # a bounded integer with at most so many values is searched whole
_LABELS = 6  # of a list: all subsets of so many literals, beyond that the smaller ones


class Condition(NamedTuple):
    """A parsed condition and its text."""

    text: str
    tree: Node


class Searched(NamedTuple):
    """world: what the names must be, None if there is none. is_bounded: it was given up, so "none" is not proved."""

    world: dict[str, Json] | None
    is_bounded: bool = False


@dataclass(slots=True)
class Worlds:
    """The regions of all names that a set of conditions uses."""

    conditions: Sequence[Condition]
    steps: int = STEPS
    pools: dict[str, list[Any]] = field(init=False)
    inexact: dict[str, str] = field(init=False, default_factory=dict)
    """By name: the text of a condition that looks at it in another way than comparing."""
    _cache: dict[tuple[str, tuple[Any, ...]], Answer] = field(init=False, default_factory=dict)
    _programs: dict[str, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        literals: dict[str, list[Any]] = {}
        for condition in (*self.conditions, *self.conditions):  # twice: what a name meets, another one may meet too
            for atom in _atoms(condition.tree):
                self._note(condition, atom, literals)
        used = {name for condition in self.conditions for name in names_in(condition.tree)}
        self.pools = {name: _pool(name, literals.get(name, [])) for name in sorted(used)}
        for name, met in literals.items():
            if NAMES[name].kind == "list" and len(set(met)) > _LABELS:
                self.inexact.setdefault(name, f"more than {_LABELS} labels")

    def is_exact(self, conditions: Iterable[Condition]) -> bool:
        """Whether a search over these that finds nothing proves that there is nothing."""
        return not any(name in self.inexact for condition in conditions for name in names_in(condition.tree))

    def find(self, wanted: Sequence[tuple[Condition, Answer]]) -> Searched:
        """A world in which each condition has its answer, as close to `NEUTRAL` as the order of trying makes it."""
        pieces = [piece for condition, want in wanted for piece in _pieces(condition, want)]
        left = [self.steps]
        try:
            return Searched(self._find(pieces, {}, left))
        except _GivenUpError:
            return Searched(None, is_bounded=True)

    def answer(self, condition: Condition, world: Mapping[str, Any]) -> Answer:
        """What the condition says if only these names are known."""
        return self._answer(condition.text, condition.tree, world)

    def _find(
        self, wanted: Sequence[tuple[Condition, Answer]], world: dict[str, Any], left: list[int]
    ) -> dict[str, Json] | None:
        left[0] -= 1
        if left[0] < 0:
            raise _GivenUpError
        open_ = list[tuple[Condition, Answer]]()
        for condition, want in wanted:
            found = self.answer(condition, world)
            if found is None:
                open_.append((condition, want))
            elif found != want:
                return None
        if not open_:
            return world
        pick, values = self._pick(open_, world)
        for value in values:
            done = self._find(open_, {**world, pick: value}, left)
            if done is not None:
                return done
        return None

    def _pick(self, wanted: Sequence[tuple[Condition, Answer]], world: dict[str, Any]) -> tuple[str, list[Any]]:
        """The name with the fewest values that conditions about it alone leave; else one of the shortest condition."""
        hanging = [(self._open(condition, world), condition, want) for condition, want in wanted]
        allowed: dict[str, list[Any]] = {}
        for names, condition, want in hanging:
            if len(names) == 1:
                (name,) = names
                values = allowed.get(name, self.pools[name])
                allowed[name] = [v for v in values if self.answer(condition, {**world, name: v}) == want]
        if allowed:
            name = min(allowed, key=lambda name: (len(allowed[name]), name))
            return name, allowed[name]
        shortest = min(hanging, key=lambda one: len(one[0]))[0]
        often = Counter(name for names, _, _ in hanging for name in names)
        name = min(shortest, key=lambda name: (-often[name], name))
        return name, self.pools[name]

    def _open(self, condition: Condition, world: Mapping[str, Any]) -> frozenset[str]:
        """The names on which the answer still hangs."""
        atoms = (a for a in _atoms(condition.tree) if self._answer(condition.text, a, world) is None)
        return frozenset(name for atom in atoms for name in names_in(atom) if name not in world)

    def _answer(self, text: str, node: Node, world: Mapping[str, Any]) -> Answer:
        if not _is_connective(node):
            return self._atom(text[node.begin : node.end], node, world)
        answers = [self._answer(text, child, world) for child in node.args]
        match node.kind:
            case "not":
                return not answers[0] if isinstance(answers[0], bool) else answers[0]
            case "and" | "or":
                absorbing = node.kind == "or"
                if absorbing in answers:
                    return absorbing
                return None if None in answers else "error" if "error" in answers else not absorbing
            case "if":
                if isinstance(answers[0], bool):
                    return answers[1] if answers[0] else answers[2]
                return answers[0]
            case _:
                if "error" in answers or None in answers:
                    return "error" if "error" in answers else None
                return (answers[0] == answers[1]) == (node.value == "==")

    def _atom(self, text: str, node: Node, world: Mapping[str, Any]) -> Answer:
        if node.kind == "literal":
            return node.value if isinstance(node.value, bool) else "error"
        names = sorted(names_in(node))
        if any(name not in world for name in names):
            return None
        values = {name: world[name] for name in names}
        key = text, tuple(_frozen(value) for value in values.values())
        if key not in self._cache:
            if text not in self._programs:
                self._programs[text] = cel.compile(text)
            found = executed(self._programs[text], values)
            self._cache[key] = found if isinstance(found, bool) else "error"
        return self._cache[key]

    def _note(self, condition: Condition, atom: Node, literals: dict[str, list[Any]]) -> None:
        """Collect the literals that each name of an atom meets, and whether it does more than compare."""
        names = names_in(atom)
        found = [part.value for part in walk(atom) if part.kind == "literal"]
        for name in names:
            same = [value for value in found if _fits(name, value)]
            literals.setdefault(name, []).extend(same)
            for other in names - {name}:  # what the one is compared with, the other is measured by
                literals[name] += [v for v in literals.get(other, []) if _fits(name, v)]
            if not _is_whole(name) and not _only_compares(atom):
                self.inexact.setdefault(name, condition.text)


class _GivenUpError(Exception):
    """More steps than allowed."""


def _pieces(condition: Condition, want: Answer) -> list[tuple[Condition, Answer]]:
    """The same wish in parts that must each come true: `a && b` holds if both do, `a || b` does not if neither does."""
    kind = condition.tree.kind
    if (kind == "and" and want is True) or (kind == "or" and want is False):
        return [piece for child in condition.tree.args for piece in _pieces(condition._replace(tree=child), want)]
    if kind == "not" and isinstance(want, bool):
        return _pieces(condition._replace(tree=condition.tree.args[0]), not want)
    return [(condition, want)]


def condition_of(text: str) -> Condition:
    """Raises NotAnalysed."""
    return Condition(text, parse(text))


def _is_connective(node: Node) -> bool:
    if node.kind in ("not", "and", "or", "if"):
        return True
    return node.kind == "compare" and node.value in ("==", "!=") and all(_is_truth(child) for child in node.args)


def _is_truth(node: Node) -> bool:
    """Whether it is plainly a condition itself."""
    if node.kind in ("not", "and", "or", "in", "compare"):
        return True
    if node.kind == "name":
        return NAMES[str(node.value)].kind == "bool"
    return node.kind == "literal" and isinstance(node.value, bool)


def _atoms(node: Node) -> list[Node]:
    if _is_connective(node):
        return [atom for child in node.args for atom in _atoms(child)]
    return [node]


def _only_compares(atom: Node) -> bool:
    """A truth, a name against literals, or a literal in a list of labels."""
    if atom.kind in ("name", "literal"):
        return True
    if atom.kind not in ("compare", "in"):
        return False
    left, right = atom.args
    if left.kind == "literal" and right.kind == "name":
        return atom.kind == "compare" or NAMES[str(right.value)].kind == "list"
    flat = right.kind == "literal" or (right.kind == "list" and all(item.kind == "literal" for item in right.args))
    return left.kind == "name" and flat and NAMES[str(left.value)].kind != "list"


def _is_whole(name: str) -> bool:
    spec = NAMES[name]
    if spec.kind == "int":
        return spec.low is not None and spec.high is not None and spec.high - spec.low < _WHOLE
    return spec.kind == "bool" or (spec.kind == "string" and bool(spec.values))


def _fits(name: str, value: object) -> bool:
    kind = NAMES[name].kind
    if kind in ("int", "double"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return kind in ("string", "list") and isinstance(value, str)


def _pool(name: str, literals: Sequence[Any]) -> list[Any]:
    """Representatives of all regions of a name, the neutral value first."""
    spec = NAMES[name]
    found: list[Any]
    if spec.kind == "bool":
        found = [False, True]
    elif spec.kind == "string" and spec.values:
        found = [*spec.values]
    elif spec.kind == "string":
        found = [*dict.fromkeys(literals), *(f"{text}-x" for text in dict.fromkeys(literals))]
        found += [f"x-{text}" for text in dict.fromkeys(literals)]
        found.append("another" + "-" * sum(text.startswith("another") for text in literals))
    elif spec.kind == "list":
        labels = list(dict.fromkeys(literals))
        most = len(labels) if len(labels) <= _LABELS else 2
        found = [sorted(some) for n in range(most + 1) for some in combinations(labels, n)]
        found += [sorted(labels)] if most < len(labels) else []
    elif _is_whole(name):
        found = [*range(int(spec.low or 0), int(spec.high or 0) + 1)]
    else:
        found = _regions(sorted(set(literals)), spec.low, spec.high, whole=spec.kind == "int")
    neutral = NEUTRAL[name]
    return [neutral, *(value for value in found if value != neutral)]


def _regions(thresholds: list[float], low: float | None, high: float | None, *, whole: bool) -> list[Any]:
    """Each threshold and one value of each gap; for whole numbers only the gaps that hold one."""
    step = 1.0
    edges = [low] if low is not None else [min(thresholds, default=0.0) - step]
    edges += thresholds + ([high] if high is not None else [max([*thresholds, *edges]) + step])
    edges = sorted(set(edges))
    found = [*edges, *((a + b) / 2 for a, b in pairwise(edges))]
    if not whole:
        return [float(value) for value in sorted(found)]
    beside = {int(e // 1) + d for e in edges for d in (-1, 0, 1)}
    return sorted(n for n in beside if (low is None or n >= low) and (high is None or n <= high))


def _frozen(value: Any) -> Any:
    return (type(value), tuple(value) if isinstance(value, list) else value)
