"""What policies said, say and would say: one decision taken apart, and history judged by other rules.

Both need the snapshot, which the event `gated` carries; its digest must be that of the decision, so what is explained
is what was judged. A flip is the smallest change of the snapshot that changes the effect: one name, and whatever must
change with it (a service of tier critical is critical).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from actions._cel import NotAnalysed, names_in
from actions._cel_worlds import Condition, Worlds, condition_of
from actions._decide import judged, judged_again, outcome
from actions._names import INVARIANTS, NAMES
from actions._policies import Policies, PolicyEngine, snapshot_digest
from schemas import ActionEvent, Decision, Json, rfc3339

_EXECUTOR = "has_executor"
_IDENTITY = frozenset({"verb", "target", "service", "tenant", "family", "risk", "effect_class", _EXECUTOR})
"""What the action is; without them it would be another one, so they are no flips."""
_REPAIRS = 3


class Flip(NamedTuple):
    """If these names had these values, and no other name another, the decision would be this one."""

    changed: dict[str, Json]
    bound: str
    """Of a number: where the region begins in which it holds, for example `above 0.7`."""
    effect: str
    reason: str

    def document(self) -> dict[str, Any]:
        return self._asdict()


class Judged(NamedTuple):
    """One decision of history: what was decided, and what the other rules say; None where they cannot be asked."""

    event: ActionEvent
    was: Decision
    would: Decision | None
    missing: tuple[str, ...]
    """Names that the rules read and the snapshot of that time does not have."""

    @property
    def is_changed(self) -> bool:
        asked = (self.was.effect, sorted(self.was.obligations))
        return self.would is not None and asked != (self.would.effect, sorted(self.would.obligations))

    def document(self) -> dict[str, Any]:
        return {
            "action": self.event.action_id, "incident": self.event.incident_id, "at": rfc3339(self.event.at_ns),
            "verb": self.event.change.verb, "target": self.event.change.target, "changed": self.is_changed,
            "was": _said(self.was), "would": _said(self.would) if self.would else None, "missing": list(self.missing),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class History:
    """All decisions of a stretch of time under other rules."""

    rows: tuple[Judged, ...]

    def document(self) -> dict[str, Any]:
        """decisions: judged again. transitions: how often each effect became another one."""
        again = [row for row in self.rows if row.would is not None]
        moves = Counter(f"{row.was.effect} -> {row.would.effect}" for row in again if row.would and row.is_changed)
        return {
            "decisions": len(again), "not_judged": len(self.rows) - len(again),
            "changed": sum(row.is_changed for row in again), "transitions": dict(sorted(moves.items())),
            "rows": [row.document() for row in self.rows],
        }  # fmt: skip


def explain_decision(policies: Policies, event: ActionEvent) -> dict[str, Any]:
    """Which rules held, what each said, the snapshot, and what would change the outcome.

    event: in state `gated`. `is_same_policy` says whether these are the rules of that time; if not, `now` is what they
    say today. Rules, snapshot and flips are those of the first step, `then` has what was said of each later one, and
    `decision` is the strictest of all. Raises nothing: where the snapshot is not there or not the one that was judged,
    `flips` is empty and `snapshot_state` says why.
    """
    decision, snapshot = event.decision, event.snapshot
    assert decision is not None, "the event `gated` has a decision"
    state = "absent" if not snapshot else "as judged"
    if snapshot and snapshot_digest(snapshot) != decision.snapshot_digest:
        state = "altered"
    rules = [
        {"id": rule.id, "holds": answer, "effect": rule.effect, "priority": rule.priority, "reason": rule.reason,
         "when": rule.when, "obligations": list(rule.obligations), "text": rule.text,
         "reads": {name: snapshot.get(name) for name in sorted(policies.names_of(rule))}}
        for rule, answer in (policies.answers(snapshot) if snapshot else ())
    ]  # fmt: skip
    now = judged(policies, snapshot) if snapshot else None
    return {
        "action": event.action_id, "incident": event.incident_id, "at": rfc3339(event.at_ns),
        "verb": event.change.verb, "target": event.change.target, "decision": _said(decision),
        "is_same_policy": decision.policy_digest == policies.digest, "now": _said(now) if now else None,
        "policies": decision.policies, "rules": rules, "snapshot": snapshot, "snapshot_state": state,
        "flips": [flip.document() for flip in flips(policies, snapshot)] if state == "as judged" else [],
        "then": [
            {"verb": step.change.verb, "target": step.change.target,
             "decision": _said(step.decision) if step.decision else None, "snapshot": step.snapshot}
            for step in event.then
        ],
    }  # fmt: skip


def simulate(engine: PolicyEngine, events: Iterable[ActionEvent], names: Iterable[str] = ()) -> History:
    """Judge every decision again. names: what the rules read; a snapshot without one of them is not judged."""
    needed = frozenset(names)
    rows = []
    for event in events:
        if event.state != "gated" or event.decision is None:
            continue
        snapshots = [event.snapshot, *(step.snapshot for step in event.then)]
        missing = tuple(sorted({name for one in snapshots for name in needed - one.keys()}))
        missing = missing if all(snapshots) else ("the whole snapshot",)
        would = None if missing else judged_again(engine, event)
        rows.append(Judged(event, event.decision, would, missing))
    return History(tuple(rows))


def flips(policies: Policies, snapshot: Mapping[str, Json]) -> list[Flip]:
    """The nearest changes that lead to another effect: for each name and effect the nearest value; fewest names first.
    Where nothing can perform the verb, also what would be if something could.

    Rules that cannot be looked into (`NotAnalysed`) lend no values, but judge like the others.
    """
    conditions = []
    for rule in policies.rules:
        try:
            conditions.append(condition_of(rule.when))
        except NotAnalysed:
            continue
    given = [condition_of(text) for text in INVARIANTS]
    worlds = Worlds([*conditions, *given])
    before = judged(policies, snapshot)
    now = outcome(before.effect, str(snapshot["mode"])), before.effect
    found: dict[tuple[str, str], Flip] = {}
    able = {} if snapshot.get("has_executor") is True else {_EXECUTOR: True}
    if able and (after := judged(policies, {**snapshot, **able})).effect != before.effect:
        found[_EXECUTOR, after.effect] = Flip({**able}, "", after.effect, after.reason)
    for name in sorted(worlds.pools.keys() - _IDENTITY):
        values = sorted(worlds.pools[name], key=lambda value: _distance(value, snapshot.get(name)))
        for value in values:
            if value == snapshot.get(name):
                continue
            repaired = _repaired(worlds, given, dict(snapshot) | {name: value}, {name: value}, _REPAIRS)
            for changed in [change | more for change in repaired for more in ({}, able)]:
                after = judged(policies, {**snapshot, **changed})
                mode = str({**snapshot, **changed}["mode"])
                if (outcome(after.effect, mode), after.effect) == now or (name, after.effect) in found:
                    continue
                bound = _bound(worlds.pools[name], value, snapshot.get(name))
                found[name, after.effect] = Flip(changed, bound, after.effect, after.reason)
    unique: dict[tuple[tuple[str, str], ...], Flip] = {}
    for flip in found.values():
        unique.setdefault(tuple(sorted((name, str(value)) for name, value in flip.changed.items())), flip)
    return sorted(unique.values(), key=lambda flip: (len(flip.changed), sorted(flip.changed), flip.effect))


def _repaired(
    worlds: Worlds, given: list[Condition], snapshot: dict[str, Json], changed: dict[str, Json], left: int
) -> Iterator[dict[str, Json]]:
    """The change, with what must change along with it; nothing where it cannot be."""
    broken = next((c for c in given if worlds.answer(c, snapshot) is not True), None)
    if broken is None:
        yield changed
        return
    if left == 0:
        return
    for name in sorted(names_in(broken.tree) - changed.keys()):
        for value in sorted(worlds.pools[name], key=lambda value: _distance(value, snapshot[name])):
            fixed = {**snapshot, name: value}
            if value != snapshot[name] and worlds.answer(broken, fixed) is True:
                more = list(_repaired(worlds, given, fixed, {**changed, name: value}, left - 1))
                if more:
                    yield more[0]
                    return


def _distance(value: Any, now: Any) -> float:
    """How far a value is from what is; anything but a number is one step away."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(now, int | float):
        return 0.0 if value == now else 1.0
    return abs(value - now)


def _bound(pool: list[Any], value: Any, now: Any) -> str:
    """`above 0.7`, `below 0.5`, or nothing where the value itself is meant."""
    if not isinstance(value, float) or not isinstance(now, int | float):
        return ""
    between = sorted(v for v in pool if isinstance(v, int | float) and min(value, now) <= v <= max(value, now))
    edges = [v for v in between if v not in (value, now)]
    if not edges or value == now:
        return ""
    return f"above {edges[-1]:g}" if value > now else f"below {edges[0]:g}"


def _said(decision: Decision) -> dict[str, Any]:
    found = {
        "effect": decision.effect, "reason": decision.reason, "obligations": decision.obligations,
        "policies": decision.policies, "strategy": decision.strategy, "policy_digest": decision.policy_digest,
    }  # fmt: skip
    return found | ({"resolution": decision.resolution} if decision.resolution else {})


def names_read(policies: Policies) -> frozenset[str]:
    """The names that at least one rule reads."""
    return frozenset[str]().union(*(policies.names_of(rule) for rule in policies.rules)) & NAMES.keys()
