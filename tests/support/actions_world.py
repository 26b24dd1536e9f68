"""A small hostile world for the machine and its ledger: late, lost and doubled requests, crashes at every durable step,
paused workers that wake up late, kills, and people who change targets. An oracle that reads the targets' truth, not
the ledger, says what is wrong. One integer seed fixes everything.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from support.actions import NS, plan_of, step_of

from actions import _machine
from actions._drive import Prepared, open_action, prepare, read_action
from actions._ledger import Committed, Ledger, Refusal, Transaction, Unblock, write
from actions._machine_errors import IllegalTransition
from actions._machine_types import (
    Action,
    Answered,
    Apply,
    Approved,
    Due,
    Fence,
    Fenced,
    Gate,
    Gated,
    Killed,
    Measured,
    Probe,
    Read,
    Recovered,
    Refused,
    Rejected,
    Renewed,
    Reserve,
    Reserved,
    TakeEpoch,
    Verify,
    Withdrawn,
)

MUTANTS = (
    "no_fencing", "read_without_fence", "commands_before_commit", "blind_retry", "no_dedupe", "thin_is_fine",
    "kill_is_deaf", "undo_without_looking", "epoch_of_any_target",
)  # fmt: skip
"""Bugs that `World` can be given; a run over some hundred seeds must find each."""


class Request(NamedTuple):
    key: str
    command: Apply


@dataclass
class Gateway:
    """The only one who touches targets; a process of its own that keeps what it knows."""

    mutant: str
    epochs: dict[str, int] = field(default_factory=dict)
    seen: dict[tuple[Any, ...], str] = field(default_factory=dict)
    marks: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    overwritten: set[tuple[str, int]] = field(default_factory=set)
    touched: list[tuple[str, int]] = field(default_factory=list)

    def fence(self, target: str, epoch: int) -> bool:
        if self.mutant == "read_without_fence":
            return True
        if epoch < self.epochs.get(target, 0):
            return False
        self.epochs[target] = epoch
        return True

    def apply(self, request: Request, now_ns: int, refuses: bool) -> tuple[str, bool]:
        """The answer, and whether there was an effect."""
        key, (step, direction, target, epoch, until_ns) = request
        name = (key, step, direction, epoch)
        if name in self.seen and self.mutant != "no_dedupe":
            return self.seen[name], False
        if self.mutant != "no_fencing" and epoch < self.epochs.get(target, 0):
            return "not_applied", False
        self.epochs[target] = max(epoch, self.epochs.get(target, 0))
        if refuses or now_ns > until_ns:
            self.seen[name] = "not_applied"
            return "not_applied", False
        marks = self.marks.setdefault(target, set())
        if direction == "undo" and (key, step) not in marks and self.mutant != "undo_without_looking":
            self.seen[name] = "not_applied"  # the conditional write: our mark is not there
            return "not_applied", False
        if direction == "undo" and (key, step) not in marks:
            self.touched.append((key, step))
        marks.add((key, step)) if direction == "do" else marks.discard((key, step))
        self.seen[name] = "applied"
        return "applied", True

    def read(self, key: str, step: int, target: str) -> str:
        if (key, step) in self.marks.get(target, set()):
            return "applied"
        return "foreign" if (key, step) in self.overwritten else "not_applied"


class World:
    """`reopen` is what a crash does to the ledger: it gives back what was committed."""

    def __init__(self, seed: int, ledger: Ledger, reopen: Callable[[Ledger], Ledger], *, mutant: str = "") -> None:
        self.rng, self.ledger, self.reopen, self.mutant = Random(seed), ledger, reopen, mutant
        self.now, self.trouble = 1_000 * NS, True
        self.gateway = Gateway(mutant)
        self.volatile: list[tuple[str, Any]] = []
        self.zombies: list[tuple[str, Any]] = []
        self.network: list[tuple[int, Request]] = []
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self.commanded: set[tuple[Any, ...]] = set()
        self.effects: list[tuple[str, int, str]] = []
        self.killed: set[str] = set()
        self.keys: list[str] = []
        self.leaves: set[tuple[Any, ...]] = set()
        self.read_leaves = 0
        self.measured: set[str] = set()
        self.epochs: dict[str, int] = {}

    def run(self, steps: int) -> list[str]:
        """What the oracle found; empty is right."""
        for _ in range(steps):
            self.one()
        self.trouble = False
        until = self.now + 40 * 60 * NS
        while self.ledger.open_actions() and self.now < until:
            self.one()
        for key in self.ledger.open_actions():
            self.wrong.append(f"L1: {key[:15]} has not ended")
        for _, request in self.network:
            self.land(request)
        self.network = []
        self.judge()
        return self.wrong

    def one(self) -> None:
        self.counts["steps"] += 1
        self.now += int(self.rng.expovariate(1.0) * 0.4 * NS)
        if self.trouble and self.rng.random() < 0.004:
            self.now += self.rng.randrange(5, 120) * NS
        roll = self.rng.random()
        if self.trouble and roll < 0.04:
            self.propose()
        elif self.trouble and roll < 0.07:
            self.crash()
        elif self.trouble and roll < 0.09:
            self.disturb()
        elif self.trouble and roll < 0.10 and self.zombies:
            self.perform(*self.zombies.pop(self.rng.randrange(len(self.zombies))))
        elif roll < 0.35:
            self.ring()
        elif roll < 0.55:
            for landed in [one for one in self.network if one[0] <= self.now]:
                self.network.remove(landed)
                self.land(landed[1])
        elif self.volatile:
            self.perform(*self.volatile.pop(self.rng.randrange(len(self.volatile))))
        else:
            self.people()

    def propose(self) -> None:
        targets = [f"t/flag/{self.rng.choice('abcdefgh')}" for _ in range(self.rng.choice((1, 1, 2, 3)))]
        flag = lambda p: self.rng.random() < p
        plan = plan_of(
            *(
                step_of(
                    target, self.rng.choice("xyz"), is_reversible=flag(0.9), point_of_no_return=flag(0.05),
                    undo_on_no_effect=flag(0.6), undo_valid_for_ns=self.rng.choice((20, 3600)) * NS,
                )
                for target in targets
            ),
            rollback_on_kill=flag(0.4),
        )  # fmt: skip
        last = self.ledger.latest(plan.change_key)
        generation = 0 if last is None else last.generation + self.rng.choice((0, 1))
        self.commit(open_action(plan, generation, self.now, cool_down_ns=60 * NS))

    def feed(self, key: str, event: Any) -> None:
        if self.ledger.action(key) is None:
            self.wrong.append(f"I3: something was commanded for {key[:15]}, which the ledger does not know")
            return
        action = read_action(self.ledger, key)
        if self.mutant == "epoch_of_any_target" and isinstance(event, Answered | Read | Fenced):
            event = event._replace(target=action.target)
        try:
            prepared = prepare(action, event)
        except IllegalTransition:
            self.counts["illegal"] += 1
            return
        if self.trouble and self.rng.random() < 0.01:
            self.zombies.append(("commit", prepared))  # a worker that sleeps between reading and writing
            return
        result = self.commit(prepared)
        if isinstance(event, Reserved) and isinstance(result, Refusal) and result.code.startswith("TARGET"):
            self.volatile.append(("event", (key, Refused(self.now, result.code, False))))

    def commit(self, prepared: Prepared) -> Committed | Refusal | None:
        """With a crash before the submit, before the commit, and between the commit and each command."""
        key = prepared.action.key
        commands = [("command", (key, command)) for command in prepared.commands]
        if self.mutant == "commands_before_commit":
            self.volatile += commands
        if self.may_crash():
            return None
        ticket = self.ledger.submit(prepared.transaction)
        if self.may_crash():
            return None
        result = self.ledger.commit()[ticket]
        if isinstance(result, Refusal):
            self.counts[result.code] += 1
            return result
        self.watch(prepared.action)
        if self.may_crash():
            return result
        if self.mutant != "commands_before_commit":
            self.volatile += commands
        return result

    def may_crash(self) -> bool:
        if self.trouble and self.rng.random() < 0.01:
            self.crash()
            return True
        return False

    def crash(self) -> None:
        """A worker dies, or sleeps for so long that another takes over; what was sent goes on its way."""
        self.counts["crashes"] += 1
        if self.rng.random() < 0.5:
            self.zombies += [one for one in self.volatile if one[0] == "command"]
        self.volatile = []
        self.ledger = self.reopen(self.ledger)
        self.zombies = self.zombies[-20:]
        for key in self.ledger.open_actions():
            action = read_action(self.ledger, key)
            if self.mutant == "blind_retry" and action.state == "executing" and action.attempt:
                command = Apply(action.step, "do", action.target, action.attempt.epoch + 1, self.now + 20 * NS)
                self.network.append((self.now, Request(key, command)))
            self.volatile.append(("event", (key, Recovered(self.now))))

    def disturb(self) -> None:
        for target in self.epochs:
            if self.ledger.target(target).blocked:
                write(self.ledger, Transaction(self.now, targets=(Unblock(target),)))
        open_keys = list(self.ledger.open_actions())
        if self.rng.random() < 0.5 and open_keys:
            key = self.rng.choice(open_keys)
            self.volatile.append(("event", (key, self.rng.choice((Killed(self.now), Withdrawn(self.now))))))
        elif marked := sorted(target for target, marks in self.gateway.marks.items() if marks):
            target = self.rng.choice(marked)
            self.gateway.overwritten |= self.gateway.marks[target]
            self.gateway.marks[target] = set()

    def people(self) -> None:
        """They answer when asked."""
        for key in self.ledger.open_actions():
            row = self.ledger.action(key)
            if row and row.state == "awaiting_approval" and self.rng.random() < 0.3:
                yes = Approved(self.now, row.digest) if self.rng.random() < 0.9 else Rejected(self.now)
                self.volatile.append(("event", (key, yes)))

    def ring(self) -> None:
        for key in self.ledger.due(self.now, 3):
            self.feed(key, Due(self.now))

    def perform(self, kind: str, what: Any) -> None:
        if kind == "event":
            self.feed(*what)
        elif kind == "commit":
            self.commit(what)
        else:
            self.command(*what)

    def command(self, key: str, command: Any) -> None:
        answer: Any = None
        rng, now = self.rng, self.now
        calm = not self.trouble
        if isinstance(command, Gate):
            effect = "permit" if calm else rng.choice(("permit",) * 14 + ("require_approval",) * 4 + ("advise", "deny"))
            age = 0 if calm else rng.choice((0,) * 19 + (400,))
            answer = Gated(now, effect, "RULE", rng.choice(("act",) * 18 + ("shadow", "advise")), now - age * NS)
        elif isinstance(command, Reserve):
            action = read_action(self.ledger, key)
            answer = Reserved(now, action.plan.digest, now + 20 * NS, now - rng.choice((0,) * 18 + (60, 400)) * NS)
            if not calm and rng.random() < 0.1:
                answer = Refused(now, "BUDGET_SPENT", rng.random() < 0.3)
        elif isinstance(command, TakeEpoch):
            answer = Renewed(now, command.target, self.ledger.target(command.target).epoch + 1)
        elif isinstance(command, Apply):
            self.sent(key, command)
            return
        elif isinstance(command, Fence):
            if (calm or rng.random() > 0.1) and self.gateway.fence(command.target, command.epoch):
                answer = Fenced(now, command.target, command.epoch)
        elif isinstance(command, Probe):
            found: Any = self.gateway.read(key, command.step, command.target)
            answer = Read(
                now, command.target, command.epoch, "unreadable" if not calm and rng.random() < 0.1 else found
            )
        elif isinstance(command, Verify):
            seen = rng.choice((1.0, 1.0, 1.0, 0.9, 0.5, 0.0, float("nan")))
            verdict: Any = rng.choice(("recovered", "recovered", "not_recovered", "regressed", "inconclusive"))
            if verdict == "recovered" and seen >= 0.8:
                self.measured.add(key)
            answer = Measured(now, verdict, seen, 1.0)
        if answer is not None and (calm or rng.random() > 0.03):
            self.volatile.append(("event", (key, answer)))

    def sent(self, key: str, command: Apply) -> None:
        """An effect leaves for the gateway: late, lost or doubled."""
        name = (key, command.step, command.direction, command.epoch)
        self.check(name not in self.commanded, f"commanded twice: {name}")
        self.commanded.add(name)
        self.absorb_leaves()
        reason = "INTENT" if command.direction == "do" else "UNDO_INTENT"
        self.check((key, reason, command.epoch) in self.leaves, f"I3: no leaf before {name}")
        if not self.trouble:
            self.network.append((self.now, Request(key, command)))
            return
        if self.rng.random() < 0.1:
            return
        for _ in range(2 if self.rng.random() < 0.1 else 1):
            delay = self.rng.choice((0.05, 0.1, 1.0, 6.0, 14.0, 19.0))
            self.network.append((self.now + int(delay * NS), Request(key, command)))

    def land(self, request: Request) -> None:
        """A request reaches the gateway; the oracle looks at each effect."""
        key, command = request
        refuses = self.trouble and self.rng.random() < 0.08
        result, happened = self.gateway.apply(request, self.now, refuses)
        if happened:
            self.counts["effects"] += 1
            row, intent = self.ledger.action(key), self.ledger.intent(command.target)
            self.check(row is not None and row.ended_ns is None, f"I5: an effect after the end of {key[:15]}")
            named = (key, command.step, command.direction, command.epoch)
            self.check(intent is not None and intent[1:5] == named, f"I3: no open intent for {named}")
            logical = (key, command.step, command.direction)
            self.check(logical not in self.effects, f"I2: twice {logical}")
            self.effects.append(logical)
        if not self.trouble or self.rng.random() > 0.1:
            answer: Any = result if not self.trouble or self.rng.random() > 0.05 else "lost"
            self.volatile.append(("event", (key, Answered(self.now, command.target, command.epoch, answer))))

    def watch(self, action: Action) -> None:
        """What must hold at each commit."""
        if action.key not in self.keys:
            self.keys.append(action.key)
        for target in action.plan.targets:
            epoch = self.ledger.target(target).epoch
            self.check(epoch >= self.epochs.get(target, 0), f"I10: the epoch of {target} fell to {epoch}")
            self.epochs[target] = epoch
        if action.is_killed and action.key not in self.killed:
            self.killed.add(action.key)
        elif action.key in self.killed and action.state == "executing":
            self.wrong.append(f"I8: {action.key[:15]} goes forward after its kill")

    def absorb_leaves(self) -> None:
        for leaf in self.ledger.leaves(self.read_leaves, 10_000):
            told = json.loads(leaf.leaf[40:])
            self.leaves.add((told["action"], told["reason"], told["epoch"]))
            self.read_leaves += 1

    def check(self, holds: bool, wrong: str) -> None:
        if not holds:
            self.wrong.append(wrong)

    def judge(self) -> None:
        """The end: what the ledger says of each action against the truth of the targets."""
        self.check(not self.gateway.touched, f"undone what is not ours: {self.gateway.touched}")
        for key in self.keys:
            row = self.ledger.action(key)
            if row is None:
                self.wrong.append(f"lost: {key[:15]}")
                continue
            action = read_action(self.ledger, key)
            self.counts[action.state] += 1
            steps = range(len(action.plan.steps))
            present = {
                n for n in steps if (key, n) in self.gateway.marks.get(action.plan.steps[n].change.target, set())
            }
            done = {n for n in steps if (key, n, "do") in self.effects}
            if action.state == "succeeded":
                self.check(done == set(steps) and key in self.measured, f"I4: false success of {key[:15]}")
                self.check(not any((key, n, "undo") in self.effects for n in steps), f"I4: undone success {key[:15]}")
            elif action.state == "escalated":
                left = {one.step: one.left for one in action.residue}
                lost = {n for n in present if n not in left}
                self.check(not lost, f"I4: {key[:15]} leaves {lost} unsaid, {action.reason}")
                gone = {n for n, what in left.items() if what == "applied" and n not in done}
                self.check(not gone, f"I4: {key[:15]} says {gone} is applied, {action.reason}")
            elif action.state == "rolled_back":
                self.check(not present, f"I4: {key[:15]} is rolled back and leaves {present}")
            else:
                self.check(not done, f"I4: {key[:15]} is {action.state} and did {done}")
            undos = [step for one, step, direction in self.effects if one == key and direction == "undo"]
            self.check(undos == sorted(undos, reverse=True), f"undone out of order: {undos}")


def run_world(seed: int, ledger: Ledger, reopen: Callable[[Ledger], Ledger], *, steps: int, mutant: str = "") -> World:
    """A whole run; `wrong` and `counts` say what happened. Bugs of the machine itself are put in for its time only."""
    kept, rules = _machine.COMPLETE_ENOUGH, dict(_machine._RULES)
    if mutant == "thin_is_fine":
        _machine.COMPLETE_ENOUGH = -1.0
    if mutant == "kill_is_deaf":
        _machine._RULES.update(
            {key: lambda walk, event: walk.stay("KILLED", is_killed=True) for key in rules if key[1] is Killed}
        )
    if mutant == "undo_without_looking":

        def blind(walk: Any, event: Any) -> None:
            _machine._undo_read(walk, event._replace(found="applied") if not walk.attempt().is_sent else event)

        _machine._RULES["compensating", Read] = blind
    try:
        world = World(seed, ledger, reopen, mutant=mutant)
        world.run(steps)
        return world
    finally:
        _machine.COMPLETE_ENOUGH = kept
        _machine._RULES.update(rules)
