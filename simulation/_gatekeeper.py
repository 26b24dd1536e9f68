"""The gate of the simulation: the production policies over a snapshot, approvals judged by the production rules.

The rules here are few and plain, because the oracle says in its own words what they must come to. The engine can be
away, and then nothing is permitted; approvals are looked at again at the reservation and once more when the permit is
signed, as everywhere.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from actions import Ask, Panel, Policies, Rule, Standing, standing
from actions._ledger import Keep
from actions._machine_types import Action, Gated, Refused, Reserved
from actions._permit import mint
from actions._ports import DryRun, EffectRequest, Reservation
from actions._saga import Plan
from schemas import Decision
from schemas.core import NS
from simulation._faults import Faults
from simulation._loop import Loop, Task, wait
from simulation._people import AGENT, AGENT_KEY, AUDIENCE, RING
from simulation._scenario import Incident
from simulation._telemetry import Instruments

PERMIT_KID = "permit"
LIFETIME_S = 300

RULES = (
    Rule(id="freeze", when="in_freeze", effect="deny", priority=100, reason="CHANGE_FREEZE", text="Nothing is changed"),
    Rule(id="weak", when="confidence_low < 0.7", effect="advise", priority=90, reason="WEAK", text="Not sure enough"),
    Rule(
        id="critical", when="is_critical", effect="require_approval", priority=80, reason="CRITICAL_SERVICE",
        obligations=["quorum:2"], text="Two people decide",
    ),
    Rule(
        id="unsafe", when="effect_class == 'unsafe'", effect="require_approval", priority=70, reason="UNSAFE",
        text="A person decides",
    ),
    Rule(id="sure", when="confidence_low >= 0.7", effect="permit", priority=10, reason="SURE", text="Sure enough"),
)  # fmt: skip
POLICIES = Policies(RULES)
_decided: dict[tuple[bool, float, bool, str, str], Decision] = {}


class Put(NamedTuple):
    """What was put to the worker under a key."""

    incident: Incident
    plan: Plan


class Gate:
    """The worker's `Gatekeeper`. put: by action key, what asks. panels: what people said, by action key."""

    def __init__(
        self, loop: Loop, faults: Faults, telemetry: Instruments, freezes: tuple[tuple[int, int], ...]
    ) -> None:
        self.loop, self.faults, self.telemetry, self.freezes = loop, faults, telemetry, freezes
        self.put: dict[str, Put] = {}
        self.panels: dict[str, Panel] = {}
        self.away_until_ns = 0
        self.signed: Callable[[EffectRequest], None] = lambda request: None
        """Told of each permit."""
        self._nonces = 0

    def decide(self, key: str) -> Decision:
        incident, plan = self.put[key]
        now = self.loop.now_ns
        frozen = any(begin <= now < end for begin, end in self.freezes)
        unsafe = "unsafe" if plan.is_unsafe else "keyed"
        known = (frozen, incident.confidence_low, incident.is_critical, unsafe, plan.targets[0])
        if known not in _decided:
            if len(_decided) > 50_000:
                _decided.clear()
            _decided[known] = POLICIES.evaluate({
                "in_freeze": frozen, "confidence_low": incident.confidence_low, "is_critical": incident.is_critical,
                "effect_class": unsafe, "target": plan.targets[0],
            })  # fmt: skip
        return _decided[known]

    async def gate(self, action: Action) -> Gated:
        answer: Gated = await self._answer(lambda: self._gated(action), lambda: self._error(action))
        return answer

    async def reserve(self, action: Action, step: int, dry_run: DryRun) -> Reservation:
        down = Reservation(Refused(self.loop.now_ns, "POLICY_ERROR", False))
        answer: Reservation = await self._answer(lambda: self._reserved(action), lambda: down)
        return answer

    async def invite(self, action: Action, dry_run: DryRun) -> tuple[Keep, ...]:
        """What people are shown lies at the desk of the simulation, not in the ledger."""
        return ()

    async def permit(self, request: EffectRequest) -> bytes:
        answer: bytes = await self._answer(lambda: self._signed(request), lambda: b"")
        return answer

    def ask(self, key: str) -> Ask:
        """What people are asked, as it is now."""
        decision, plan = self.decide(key), self.put[key].plan
        quorum = next((int(o.removeprefix("quorum:")) for o in decision.obligations if o.startswith("quorum:")), 1)
        return Ask(
            aud=AUDIENCE, action_id=key, action_digest=plan.digest, plan_digest=plan.digest, dryrun_digest="",
            policy_digest=decision.policy_digest, target_uid=plan.targets[0],
            target_version="", barred=frozenset({AGENT}), roles=frozenset({"sre", "service-owner"}), quorum=quorum,
            lifetime_s=LIFETIME_S,
        )  # fmt: skip

    def panel(self, key: str) -> Panel:
        return self.panels.setdefault(key, Panel())

    def nonce(self) -> str:
        self._nonces += 1
        return sha256(f"{self.faults.seed}/nonce/{self._nonces}".encode()).hexdigest()[:32]

    def standing(self, key: str) -> Standing:
        """What the approvals come to now; everything is verified again."""
        return standing(self.panel(key), self.ask(key), RING, now_s=self.loop.now_ns // NS, audited_s=0)

    def _gated(self, action: Action) -> Gated:
        decision = self.decide(action.key)
        return Gated(self.loop.now_ns, decision.effect, decision.reason, "act", self.telemetry.through_ns())

    def _error(self, action: Action) -> Gated:
        return Gated(self.loop.now_ns, "deny", "POLICY_ERROR", "act", self.telemetry.through_ns())

    def _reserved(self, action: Action) -> Reservation:
        now, decision = self.loop.now_ns, self.decide(action.key)
        needs = decision.effect == "require_approval"
        if decision.effect in ("deny", "advise"):
            return Reservation(Refused(now, decision.reason, True))
        if needs and self.standing(action.key).state != "approved":
            return Reservation(Refused(now, "APPROVALS_GONE", True))
        used = tuple(sorted(self.panel(action.key).spent.values())) if needs and not action.applied else ()
        return Reservation(Reserved(now, action.plan.digest, now + 20 * NS, self.telemetry.through_ns()), used)

    def _signed(self, request: EffectRequest) -> bytes:
        """A forward permit needs everything once more; an undo needs that it is ours, which the gateway looks at."""
        put, now = self.put[request.key], self.loop.now_ns
        people = 0
        if request.direction == "do":
            decision = self.decide(request.key)
            if decision.effect in ("deny", "advise"):
                return b""
            if decision.effect == "require_approval":
                now_standing = self.standing(request.key)
                people = len(now_standing.people)
                if now_standing.state != "approved":
                    return b""
        try:
            permit = mint(
                request, audience=AUDIENCE, now_ns=now, nonce=self.nonce(), kid=PERMIT_KID, key=AGENT_KEY,
                is_under_kill=put.plan.rollback_on_kill, approved_by=people,
            )  # fmt: skip
        except ValueError:
            return b""  # it ran out on the way
        self.signed(request)
        return permit

    async def _answer(self, say: Callable[[], Any], down: Callable[[], Any]) -> Any:
        def begin(task: Task) -> None:
            loop, faults = self.loop, self.faults
            if loop.now_ns >= self.away_until_ns and faults.strikes("policy_down", 0.02):
                self.away_until_ns = loop.now_ns + faults.chance("policy_down").between(5, 200) * NS
            is_away = loop.now_ns < self.away_until_ns
            loop.after(NS // 100, lambda: task.answer(down() if is_away else say()))

        return await wait(begin)
