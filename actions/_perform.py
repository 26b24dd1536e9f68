"""How one command of the machine becomes one event: ask the ports, add what the worker itself must look at.

Nothing here writes. Whatever is asked may be answered late or never; the machine's timers decide then. Forward effects
are held back where the kill switch covers them or its state is stale, whatever was permitted before: right before the
permit, and once more right before the request leaves.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from actions._drive import NOTHING_ELSE, With
from actions._kill import is_supervised, why_held
from actions._ledger import Ledger
from actions._machine import step
from actions._machine_types import (
    Action,
    ActionCommand,
    ActionInput,
    Answered,
    Apply,
    Fence,
    Fenced,
    Gate,
    Gated,
    Probe,
    Read,
    Refused,
    Renewed,
    Reserve,
    TakeEpoch,
    Verify,
    load_action,
)
from actions._modes import Bound, lowest
from actions._ports import (
    Clock,
    DryRun,
    EffectRequest,
    Gatekeeper,
    Gateway,
    KillSwitch,
    Look,
    ProbeRequest,
    Survey,
    Telemetry,
    Unavailable,
    Watch,
)
from actions._put_back import forgotten
from actions._safety import Safety
from actions._verbs import service_of
from actions._verify import Finding, judge
from schemas.core import NS

DRY_RUNS = 5
LOOK_AGAIN_NS = 5 * NS
"""While the watermark has not reached the end of what is measured."""
_APART_NS = 24 * 3600 * NS
"""Clocks of two workers are not further apart."""


class Reply(NamedTuple):
    """The event that answers a command, with what belongs into its transaction.

    block: the targets are for people from now on, with this reason. is_behind: the gateway knows newer epochs than the
    ledger, so the ledger is old. forgotten: targets to which the gateway wrote under epochs that the ledger never gave
    out, so it was put back. finding: what was measured.
    """

    event: ActionInput | None
    rest: With = NOTHING_ELSE
    block: str = ""
    is_behind: bool = False
    forgotten: tuple[str, ...] = ()
    finding: Finding | None = None


class Reserving(NamedTuple):
    """What a permit was given for; lost with the process, and the permit with it."""

    dry_run: DryRun
    evidence_ns: int
    approvals: tuple[str, ...]


@dataclass(slots=True)
class Performer:
    """`floor_ns`: the ledger's last time; a clock that shows less has gone back and is not believed."""

    ledger: Ledger
    clock: Clock
    gateway: Gateway
    gatekeeper: Gatekeeper
    telemetry: Telemetry
    kill: KillSwitch
    safety: Safety
    floor_ns: int = 0
    leaves: int = 0
    """So many entries of the audit log this process has written or taken note of."""
    _seen: dict[tuple[str, int], "Reserving"] = field(default_factory=dict)

    def now(self) -> int:
        self.floor_ns = max(self.floor_ns, self.clock.now_ns())
        return self.floor_ns

    def wrote(self, leaves: Iterable[int]) -> None:
        """These entries are our own; one of somebody else between them stays to be noticed."""
        for number in sorted(leaves):
            self.leaves += number == self.leaves

    def catch_up(self) -> None:
        """Learn what another worker has ended: for a while there may be two, and each brakes by all that was done."""
        size, _ = self.ledger.head()
        if size == self.leaves:
            return
        for row in self.ledger.ended(self.safety.last_ns - _APART_NS, 1 << 30):
            if row.key not in self.safety.known:
                self.safety.learn(load_action(row.body))
        self.leaves = size

    async def perform(self, action: Action, command: ActionCommand) -> Reply:
        """The reply; without an event where nothing is to be said."""
        if isinstance(command, Gate):
            return await self._gate(action)
        if isinstance(command, Reserve):
            return await self._reserve(action, command.step)
        if isinstance(command, TakeEpoch):
            return self._take_epoch(action, command)
        if isinstance(command, Apply):
            return await self._apply(action, command)
        if isinstance(command, Fence):
            return await self._fence(command)
        if isinstance(command, Probe):
            change = action.plan.steps[command.step].change
            request = ProbeRequest(action.key, command.step, change, command.target, command.epoch)
            found = await self.gateway.probe(request)
            return Reply(Read(self.now(), command.target, command.epoch, found))
        if isinstance(command, Verify):
            return await self._verify(action, command)
        return Reply(None)

    async def _gate(self, action: Action) -> Reply:
        """The policies' answer, never further than the kill switch, the supervisor and the past allow."""
        gated = await self.gatekeeper.gate(action)
        groups = await self.telemetry.illness(action.target)
        watch = await self.kill.read()
        self.catch_up()
        now = self.now()
        bounds = [Bound(gated.mode, gated.reason), self.safety.bound(action, groups, now)]
        if why := self._held(action, watch, now):
            bounds.append(Bound("advise", why))
        if not is_supervised(watch, now):
            bounds.append(Bound("advise", "SUPERVISOR_SILENT"))
        mode, reason = lowest(bounds)
        gated = gated._replace(at_ns=now, mode=mode, reason=reason if mode != gated.mode else gated.reason)
        if step(action, gated)[0].state != "awaiting_approval":
            return Reply(gated)
        return await self._invite(action, gated)

    async def _invite(self, action: Action, gated: Gated) -> Reply:
        """People are shown exactly what would be done, so without a dry run nobody is asked."""
        dry_run = await self.gateway.dry_run(action.key, 0, action.plan.steps[0].change)
        for _ in range(DRY_RUNS):
            if not isinstance(dry_run, Unavailable) or dry_run.is_final:
                break
            await self.clock.sleep(LOOK_AGAIN_NS)
            dry_run = await self.gateway.dry_run(action.key, 0, action.plan.steps[0].change)
        if isinstance(dry_run, Unavailable):
            return Reply(gated._replace(at_ns=self.now(), effect="advise", reason=dry_run.reason))
        keeps = await self.gatekeeper.invite(action, dry_run)
        return Reply(gated._replace(at_ns=self.now()), With(keeps=keeps))

    async def _reserve(self, action: Action, index: int) -> Reply:
        change = action.plan.steps[index].change
        groups = await self.telemetry.illness(change.target)
        watch = await self.kill.read()
        now = self.now()
        if why := self._held(action, watch, now):
            return Reply(Refused(now, why, False))
        if not is_supervised(watch, now):
            return Reply(Refused(now, "SUPERVISOR_SILENT", False))
        self.catch_up()
        if held := self.safety.why_not(action, index, groups, now):
            return Reply(Refused(now, held.reason, held.is_final), block=held.reason if held.blocks else "")
        dry_run = await self.gateway.dry_run(action.key, index, change)
        if isinstance(dry_run, Unavailable):
            return Reply(Refused(self.now(), dry_run.reason, dry_run.is_final))
        if targets := forgotten(self.ledger, dry_run.newest):
            return Reply(Refused(self.now(), "LEDGER_PUT_BACK", False), forgotten=targets)
        outcome, approvals = await self.gatekeeper.reserve(action, index, dry_run)
        if isinstance(outcome, Refused):
            return Reply(outcome)
        self._seen[action.key, index] = Reserving(dry_run, outcome.evidence_ns, approvals)
        takes = self.safety.takes(action, index, groups)
        return Reply(outcome._replace(at_ns=self.now()), With(takes=takes))

    def _take_epoch(self, action: Action, command: TakeEpoch) -> Reply:
        """The state before, as the dry run saw it, goes into the intent, and the approvals are spent with it."""
        seen = self._seen.get((action.key, action.step)) if action.state == "reserved" else None
        rest = With(snapshot=seen.dry_run.snapshot, used_approvals=seen.approvals) if seen else NOTHING_ELSE
        return Reply(Renewed(self.now(), command.target, self.ledger.target(command.target).epoch + 1), rest)

    async def _apply(self, action: Action, command: Apply) -> Reply:
        """An effect that was surely never sent is `not_applied`; this is the only place that sends this one."""
        taken = action.plan.steps[command.step]
        dry_run, evidence_ns, _ = self._seen.get((action.key, command.step), _NOTHING)
        forward = command.direction == "do"
        request = EffectRequest(
            action.key, action.plan.digest, command.step, command.direction, taken.change, taken.effect_class,
            command.target, command.epoch, command.until_ns, evidence_ns,
            dry_run.target_version if forward else "", dry_run.digest if forward else "",
            action.plan.rollback_on_kill,
        )  # fmt: skip
        permit = await self.gatekeeper.permit(request)
        watch = await self.kill.read()
        now = self.now()
        held = self._held(action, watch, now) if forward else ""
        self.catch_up()
        if forward and self.safety.is_cooling(action, command.target, now):
            held = "COOLING_DOWN"  # another worker has ended one there since the reservation
        if held or not permit or now >= command.until_ns:
            return Reply(Answered(now, command.target, command.epoch, "not_applied"))
        answer = await self.gateway.apply(request._replace(permit=permit))
        event = Answered(self.now(), command.target, command.epoch, answer.result)
        return Reply(event, is_behind=answer.reason == "STALE_EPOCH")

    async def _fence(self, command: Fence) -> Reply:
        if await self.gateway.fence(command.target, command.epoch):
            return Reply(Fenced(self.now(), command.target, command.epoch))
        survey = await self.gateway.survey(command.target)
        return Reply(None, is_behind=isinstance(survey, Survey) and survey.epoch > command.epoch)

    async def _verify(self, action: Action, command: Verify) -> Reply:
        """Wait until the effect has settled and the windows after it are closed; what is thin then is inconclusive."""
        times, targets = action.plan.times, action.plan.targets
        since_ns = command.since_ns + times.settle_ns
        until_ns = since_ns + times.measure_ns
        deadline_ns = command.since_ns + times.verify_ns - 2 * LOOK_AGAIN_NS
        await self.clock.sleep(max(0, until_ns - self.now()))
        while True:
            looks = [Look(target, action.origin.incident_id, since_ns, until_ns) for target in targets]
            seen = [await self.telemetry.read(look) for look in looks]
            if all(one.through_ns >= until_ns for one in seen) or self.now() + LOOK_AGAIN_NS > deadline_ns:
                break
            await self.clock.sleep(LOOK_AGAIN_NS)
        is_calm = bool(action.origin.reverts) or action.origin.is_foreseen
        findings = [judge(one, command.since_ns, since_ns, until_ns, is_calm=is_calm) for one in seen]
        finding = _worst(findings)
        return Reply(finding.event(self.now()), finding=finding)

    def _held(self, action: Action, watch: Watch, now_ns: int) -> str:
        for one in action.plan.steps:
            target = one.change.target
            if why := why_held(watch, one.change.verb, service_of(target), target, now_ns):
                return why
        return ""


_NOTHING = Reserving(DryRun("", "", ""), 0, ())


def _worst(findings: list[Finding]) -> Finding:
    """Of several targets: harm anywhere is harm, and all must have recovered."""
    order = ("regressed", "inconclusive", "not_recovered", "recovered")
    worst = min(findings, key=lambda one: order.index(one.verdict))
    return worst._replace(
        completeness=min(one.completeness for one in findings),
        control_completeness=min(one.control_completeness for one in findings),
        residual=tuple(dict.fromkeys(name for one in findings for name in one.residual)),
    )
