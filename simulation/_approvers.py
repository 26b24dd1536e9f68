"""The desk at which approvals are handed in, and those who hand them in: honest, slow, absent, malicious.

The desk is the shell of the simulation around the production rules: it issues nonces, lets `cast_approval` judge, and
tells the worker when the standing is complete. What it accepted is durable.
"""

from collections.abc import Callable

from actions import cast_approval, issue_nonce
from schemas.core import NS
from simulation._chance import Chance
from simulation._faults import Faults
from simulation._gatekeeper import LIFETIME_S, Gate
from simulation._loop import Loop
from simulation._oracle import Oracle
from simulation._people import PEOPLE, RING, Person, Said, signed, trick

HONEST = PEOPLE[:4]


class Approvers:
    """`approved(key)` and `rejected(key)` are called when the worker is to hear of it."""

    def __init__(
        self, loop: Loop, faults: Faults, gate: Gate, oracle: Oracle,
        approved: Callable[[str], None], rejected: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._loop, self._faults, self._gate, self._oracle = loop, faults, gate, oracle
        self._approved, self._rejected = approved, rejected
        self._chance = Chance(faults.seed, "approvers")
        self._seen: list[bytes] = []
        self.refusals = 0.04
        """Share of the answers that are a no."""
        self._asked: set[str] = set()

    def asked(self, key: str) -> None:
        """People see that an action waits for them. Asked again, they do not answer twice."""
        if key in self._asked:
            return
        self._asked.add(key)
        chance = self._chance
        first = chance.below(len(HONEST))
        for n in range(2):
            person, wait_ns = HONEST[(first + n) % len(HONEST)], chance.between(15, 90) * NS
            is_yes = chance.share() >= self.refusals
            if self._faults.strikes("absence", 0.25):
                continue
            self._loop.after(wait_ns, self._hand_in, key, person, is_yes)
        if self._faults.has("malice"):
            for _ in range(4):
                if self._faults.strikes("malice", 0.3):
                    wait_ns = self._faults.chance("malice").between(1, 200) * NS
                    self._loop.after(wait_ns, self._hand_in, key, HONEST[first], True)
                if self._faults.strikes("malice", 0.6):
                    self._loop.after(self._faults.chance("malice").between(1, 200) * NS, self._attack, key)

    def _hand_in(self, key: str, person: Person, is_yes: bool) -> None:
        gate, now = self._gate, self._loop.now_ns
        ask, nonce = gate.ask(key), gate.nonce()
        gate.panels[key] = issue_nonce(gate.panel(key), nonce)
        envelope = signed(person, ask, nonce, now // NS, "approve" if is_yes else "reject")
        until_ns = (now // NS + LIFETIME_S) * NS
        self._oracle.said.append(Said(person.name, key, ask.plan_digest, now, until_ns, is_yes))
        self._seen.append(envelope)
        self._judge(key, envelope)

    def _attack(self, key: str) -> None:
        gate = self._gate
        nonce = gate.nonce()
        gate.panels[key] = issue_nonce(gate.panel(key), nonce)
        envelope = trick(self._faults.chance("malice"), gate.ask(key), nonce, self._loop.now_ns // NS, self._seen)
        self._judge(key, envelope)

    def _judge(self, key: str, envelope: bytes) -> None:
        gate, now_s = self._gate, self._loop.now_ns // NS
        gate.panels[key], _ = cast_approval(gate.panel(key), envelope, gate.ask(key), RING, now_s=now_s, audited_s=0)
        state = gate.standing(key).state
        if state == "approved":
            self._approved(key)
        elif state == "rejected":
            self._rejected(key)
