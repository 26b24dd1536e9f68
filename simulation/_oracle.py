"""The judge: what must hold of every effect and at the end, by the truth of the targets and in words of its own.

It shares no code with what it judges. It sees every write that a target took, what people truly said, when the switch
was thrown, and the audit leaves as they became durable; it asks the ledger only at the very end, how each action says
that it ended. The numbers are the invariants of `docs/simulation.md`: I1 to I13 for what may never happen, L1 and L2
for what must. (L3, useful work, is a share over many seeds.)
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic_core import from_json

from schemas.core import NS
from simulation._people import Said
from simulation._plant import BETWEEN, Plant, Target, Written
from simulation._scenario import Incident

COOL_DOWN_NS = 900 * NS
HOUR = 3600 * NS
KILL_NS = 2 * NS
UNHEARD_NS = 5 * NS
"""Where the switch cannot be read: what was read last holds for so long."""
PERMIT_NS = 30 * NS
FLOOR = 0.5
ILL_SHARE = 0.30
SURE = 0.7
TARGET_AN_HOUR = 2
ALL_IN_TEN_MINUTES = 10
ENDS = {
    "denied", "advised", "shadowed", "expired", "rejected", "succeeded", "rolled_back", "escalated",
    "failed_not_applied", "failed_safe",
}  # fmt: skip


class Violation(NamedTuple):
    invariant: str
    text: str
    at_ns: int


class Proposed(NamedTuple):
    """What was put to the worker, as the scenario has it."""

    incident: Incident
    digest: str
    targets: tuple[str, ...]
    verb: str
    befores: tuple[str, ...]
    """The settings that the targets had when it was proposed."""
    is_unsafe: bool
    rollback_on_kill: bool


class Ended(NamedTuple):
    """How the ledger says that an action ended: its state, and what it says is left on each step."""

    key: str
    state: str
    reason: str
    left: dict[int, str]
    at_ns: int


@dataclass
class Oracle:
    plant: Plant
    freezes: tuple[tuple[int, int], ...]
    blind: tuple[tuple[int, int], ...]
    """When all that was read was hours old."""
    violations: list[Violation] = field(default_factory=list)
    proposed: dict[str, Proposed] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    thrown: list[tuple[str, int, int]] = field(default_factory=list)
    """Scope, from, to: when the switch was on."""
    told: list[tuple[str, str, str]] = field(default_factory=list)
    """What people were told: group, key of the action, text."""
    unheard: list[tuple[int, int]] = field(default_factory=list)
    """From when until when nobody could read the switch."""
    permits: dict[tuple[str, int, str, int], int] = field(default_factory=dict)
    """When each was signed, by action, step, way and epoch."""
    forged: set[str] = field(default_factory=set)
    """Targets whose telemetry somebody forged."""

    def __post_init__(self) -> None:
        self.writes: dict[str, list[Written]] = defaultdict(list)
        self.forward: list[Written] = []
        self.epochs: dict[str, tuple[int, tuple[str, int, str]]] = {}
        self.intents: dict[tuple[str, int, str, int], int] = {}
        self.states: dict[str, str] = {}
        self.ended_ns: dict[str, int] = {}
        """When each ended, by the true clock; the ledger has the time of the worker, which may be wrong by an hour."""
        self.put_back_ns = 0
        self.on_the_way: set[tuple[str, int, str, int]] = set()
        """Effects that had left, with a durable intent, when the store was put back: nobody can call them back."""
        self.late_after_kill_ns: list[int] = []

    def violate(self, invariant: str, text: str, at_ns: int) -> None:
        self.violations.append(Violation(invariant, text, at_ns))

    # What becomes durable.

    def committed(self, bodies: Iterable[bytes], at_ns: int) -> list[str]:
        """The states that were moved to, in order."""
        moves = list[str]()
        for body in bodies:
            said = from_json(body)
            key, to = said["action"], said["to"]
            if said["reason"] in ("INTENT", "UNDO_INTENT"):
                way = "do" if said["reason"] == "INTENT" else "undo"
                self.intents[key, said["step"], way, said["epoch"]] = at_ns
            if self.states.get(key) in ENDS:
                self.violate("I5", f"{_short(key)} moves from its end {self.states[key]} to {to}", at_ns)
            self.states[key] = to
            if to in ENDS and at_ns:
                self.ended_ns[key] = at_ns
            if said["from"] != to:
                moves.append(to)
        return moves

    def forget_after(self, at_ns: int, bodies: Iterable[bytes]) -> None:
        """The store was put back: what was durable is what it has now."""
        self.on_the_way = {name for name, signed_ns in self.permits.items() if self._intended_ns(name) <= signed_ns}
        self.intents, self.states = {}, {}
        self.committed(bodies, 0)
        self.put_back_ns = at_ns

    def heard(self, group: str, key: str, text: str) -> None:
        """A person was told this."""
        self.told.append((group, key, text))

    # What happens at a target.

    def wrote(self, one: Written) -> None:
        name, at = f"{one.way} of {_short(one.key)} step {one.step} at {one.target}", one.at_ns
        asked = self.proposed.get(one.key)
        if asked is None:
            self.violate("I1", f"{name}: nobody proposed it", at)
            return
        before = [w for w in self.writes[one.key] if (w.step, w.way) == (one.step, one.way)]
        if before:
            self.violate("I2", f"{name} for the second time, epochs {before[0].epoch} and {one.epoch}", at)
        if not self._is_written_down(one):
            self.violate("I3", f"{name} at epoch {one.epoch} without a durable intent before it", at)
        if self.states.get(one.key) in ENDS and not self._left_before_put_back(one):
            self.violate("I5", f"{name} after it had ended {self.states[one.key]}", at)
        signed_ns = self.permits.get((one.key, one.step, one.way, one.epoch))
        if signed_ns is None or one.sent_ns > signed_ns + PERMIT_NS:
            self.violate("I1", f"{name} at epoch {one.epoch} without a permit that held then", at)
        self._epoch(one, name)
        if one.way == "do":
            self._forward(one, asked, name)
        elif not self._is_on(one):
            self.violate("I2", f"{name}: what is undone is not there", at)
        elif not self._is_ours(one):
            self.violate("I2", f"{name} over '{one.found}', which somebody else has set", at)
        self.writes[one.key].append(one)

    def _is_written_down(self, one: Written) -> bool:
        name = (one.key, one.step, one.way, one.epoch)
        return self._intended_ns(name) <= one.sent_ns or self._left_before_put_back(one)

    def _left_before_put_back(self, one: Written) -> bool:
        """Whether it was on its way, to the gateway or from there, when the ledger was put back; it lands anyway."""
        name = (one.key, one.step, one.way, one.epoch)
        is_held_back = name in self.on_the_way and one.sent_ns <= self.put_back_ns + PERMIT_NS
        return one.sent_ns <= self.put_back_ns or is_held_back

    def _intended_ns(self, name: tuple[str, int, str, int]) -> int:
        """Plans of several steps count the step of an undo apart, so the step of the intent is looked for in both."""
        key, _, way, epoch = name
        others = (t for (k, _, w, e), t in self.intents.items() if (k, w, e) == (key, way, epoch))
        return self.intents[name] if name in self.intents else min(others, default=1 << 62)

    def _is_on(self, one: Written) -> bool:
        done = [w.way for w in self.writes[one.key] if w.step == one.step]
        return bool(done) and done[-1] == "do"

    def _is_ours(self, one: Written) -> bool:
        """A target that knows keys finds out itself; elsewhere the write in its place must be the one undone. Where
        writes have no condition, what a person sets between the look and the write cannot be seen by anybody.
        """
        last = next(w for w in reversed(self.writes[one.key]) if w.step == one.step and w.way == "do")
        is_unseen = one.kind != "conditional" and one.found == BETWEEN
        return one.found == last.setting or is_unseen or one.kind == "keyed" or one.at_ns - one.sent_ns > NS

    def _epoch(self, one: Written, name: str) -> None:
        last, who = self.epochs.get(one.target, (0, ("", 0, "")))
        me = (one.key, one.step, one.way)
        if one.epoch < last or (one.epoch == last and me != who):
            self.violate("I10", f"{name}: epoch {one.epoch} after {last}", one.at_ns)
        self.epochs[one.target] = (max(last, one.epoch), me)

    def _forward(self, one: Written, asked: Proposed, name: str) -> None:
        at, incident = one.sent_ns, asked.incident
        if any(begin + PERMIT_NS <= at < end for begin, end in self.freezes):
            self.violate("I1", f"{name} during a freeze", at)
        if incident.confidence_low < SURE:
            self.violate("I1", f"{name} at confidence {incident.confidence_low:.2f}", at)
        if any(begin <= at < end for begin, end in self.blind):
            self.violate("I1", f"{name} on evidence that was hours old", at)
        needed = 2 if incident.is_critical else 1 if asked.is_unsafe else 0
        heard = [s for s in self.said if (s.key, s.digest) == (one.key, asked.digest)]
        people = {s.person for s in heard if s.is_approval and s.at_ns <= at < s.until_ns + PERMIT_NS}
        vetoes = [s for s in heard if not s.is_approval and s.at_ns + PERMIT_NS <= at]
        if len(people) < needed or vetoes:
            self.violate("I6", f"{name} with {len(people)} of {needed} approvals and {len(vetoes)} vetoes", at)
        if one.kind == "conditional" and one.found != asked.befores[one.step]:
            self.violate("I1", f"{name} over '{one.found}', which nobody had looked at", at)
        ill = sum(target.is_ill(at - PERMIT_NS) and target.is_ill(at) for target in self.plant.targets.values())
        if ill > 3 and ill > ILL_SHARE * len(self.plant.targets) + 1:
            self.violate("I1", f"{name} while {ill} of {len(self.plant.targets)} targets are ill", at)
        self._switch(one, asked, name)
        self._budgets(one, name)
        same = [w for w in self.forward if (w.target, w.setting) == (one.target, one.setting) and w.key != one.key]
        if any(one.at_ns - w.at_ns < COOL_DOWN_NS and not self._was_undone(w) for w in same):
            self.violate("I2", f"{name}: the same change was made within the cool-down, by another key", at)
        lowest = -(-one.replicas * FLOOR // 1)
        if one.are_healthy < one.was_healthy and one.are_healthy < lowest and one.at_ns - one.sent_ns < NS:
            self.violate("I12", f"{name} leaves {one.are_healthy} of {one.replicas} serving", at)
        self.forward.append(one)

    def _was_undone(self, one: Written) -> bool:
        return any(w.step == one.step and w.way == "undo" for w in self.writes[one.key])

    def _switch(self, one: Written, asked: Proposed, name: str) -> None:
        service = one.target.split("/")[2]
        covering = {"all", f"target:{one.target}", f"service:{service}", f"verb:{asked.verb}"}
        for scope, begin, end in self.thrown:
            if scope in covering and begin <= one.sent_ns < end:
                self.late_after_kill_ns.append(one.sent_ns - begin)
                is_unheard = any(since <= begin + KILL_NS and one.sent_ns < until for since, until in self.unheard)
                if one.sent_ns > begin + (UNHEARD_NS if is_unheard else KILL_NS):
                    self.violate("I8", f"{name} {(one.sent_ns - begin) / NS:.1f} s after the switch", one.sent_ns)

    def _budgets(self, one: Written, name: str) -> None:
        at = one.sent_ns
        there = sum(w.target == one.target and at - w.sent_ns < HOUR - PERMIT_NS for w in self.forward)
        if there >= TARGET_AN_HOUR:
            self.violate("I7", f"{name} is number {there + 1} within an hour", at)
        everywhere = sum(at - w.sent_ns < 600 * NS - PERMIT_NS for w in self.forward)
        if everywhere >= ALL_IN_TEN_MINUTES:
            self.violate("I7", f"{name} is number {everywhere + 1} within ten minutes", at)

    # The end.

    def judge(self, ended: Iterable[Ended], open_keys: Iterable[str], now_ns: int) -> None:
        known = set[str]()
        for one in ended:
            known.add(one.key)
            self._truth(one)
            if one.state == "escalated" and not self._is_told(one):
                self.violate("L2", f"nobody was told that {_short(one.key)} was handed over ({one.reason})", now_ns)
        for key in open_keys:
            known.add(key)
            self.violate("L1", f"{_short(key)} has not ended: {self.states.get(key)}", now_ns)
        for key in self.writes:
            if any(w.at_ns > self.put_back_ns for w in self.writes[key]) and key not in known:
                self.violate("I4", f"{_short(key)} had an effect and the ledger does not know it", now_ns)

    def _is_told(self, one: Ended) -> bool:
        """By itself, in a message for several, or among the `more` of a long one."""
        target = self.proposed[one.key].targets[0]
        return any(
            key == one.key or (target in text and "escalated" in text) or " more" in text for _, key, text in self.told
        )

    def _truth(self, one: Ended) -> None:
        writes = self.writes.get(one.key, [])
        if writes and self._left_before_put_back(writes[0]):
            return  # the ledger was put back behind what it had known: it need not know, and people look
        done = {w.step for w in writes if w.way == "do"}
        undone = {w.step for w in writes if w.way == "undo"}
        present, name = done - undone, f"{_short(one.key)} ended {one.state} ({one.reason})"
        steps = len(self.proposed[one.key].targets) if one.key in self.proposed else 0
        if one.state == "succeeded":
            if present != set(range(steps)):
                self.violate("I4", f"{name} and {sorted(present)} of {steps} steps are there", one.at_ns)
            self._success(one, name)
        elif one.state == "escalated":
            if silent := present - set(one.left):
                self.violate("I4", f"{name} and does not say that {sorted(silent)} is there", one.at_ns)
            if gone := {n for n, what in one.left.items() if what == "applied"} - done:
                self.violate("I4", f"{name} and says that {sorted(gone)} is there", one.at_ns)
        elif one.state == "rolled_back":
            if present:
                self.violate("I4", f"{name} and {sorted(present)} is there", one.at_ns)
        elif done:
            self.violate("I4", f"{name} and did {sorted(done)}", one.at_ns)
        order = [w.step for w in writes if w.way == "undo"]
        if order != sorted(order, reverse=True):
            self.violate("I4", f"{name}: undone in the order {order}", one.at_ns)

    def _success(self, one: Ended, name: str) -> None:
        """Nobody may say recovered where a target was as ill for the last four minutes as in the one before the change.

        Of a minute, because what ends by itself seconds before the effect looks like what the effect ended: no window
        of telemetry lies between them. Where it was better for four minutes in between, it has fallen ill anew.
        """
        ended_ns = self.ended_ns.get(one.key, one.at_ns)
        for w in (w for w in self.writes[one.key] if w.way == "do" and w.target not in self.forged):
            target = self.plant.targets[w.target]
            was = max(target.ratio(w.at_ns - n * 10 * NS) for n in range(7))
            now = [target.ratio(ended_ns - n * 10 * NS) for n in range(1, 25)]
            is_ill = was > target.base + 0.03 and min(now) > was - 0.02
            if is_ill and not _was_better(target, was - 0.02, w.at_ns, ended_ns):
                self.violate("I4", f"{name} and {w.target} is as ill as before", one.at_ns)

    def audit(self, leaves: Iterable[bytes], anchors: Iterable[tuple[int, bytes]], now_ns: int) -> str:
        """The chain from its first entry, against every head that was anchored outside; its last hash."""
        heads, before = {0: bytes(32)}, bytes(32)
        for number, leaf in enumerate(leaves):
            if b'"prev":"sha256:%s"' % before.hex().encode() not in leaf or b'"index":%d,' % number not in leaf:
                self.violate("I11", f"entry {number} does not follow the one before", now_ns)
            before = hashlib.sha256(b"\x00" + leaf).digest()
            heads[number + 1] = before
        for size, head in anchors:
            if heads.get(size) != head:
                self.violate("I11", f"the log no longer holds what was anchored at {size} entries", now_ns)
        return before.hex()


def _was_better(target: Target, than: float, since_ns: int, until_ns: int) -> bool:
    """For four minutes at a stretch."""
    run = 0
    for at_ns in range(since_ns, until_ns, 10 * NS):
        run = run + 1 if target.ratio(at_ns) <= than else 0
        if run == 24:
            return True
    return False


def _short(key: str) -> str:
    return key.removeprefix("sha256:")[:10]
