"""What the action worker costs and what it never does: `python -m bench.act [--json]`.

The production worker, gateway core, policies, signed permits, and both stores with full sync on the disk of the
checkout; targets are in memory. latency: from a decided record to the executor's write, one after the other, wall time
because a disk is waited for. kills: many actions under way, a signed order is appended to the kill file at a random
moment; how long after it was durable the last forward write happened. storm: so many incidents at once on a virtual
clock. backlog: six hours of old records. thin: random telemetry of which too little is there, never a success.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.act import ACT, NS, Stand, plan_of, replace, stand, step_of  # noqa: E402
from support.act_place import order  # noqa: E402
from support.actions import seal  # noqa: E402
from support.gateway import KEY, NOW, PARAMETERS, TRUST, VERBS, Locks, Shelf  # noqa: E402

from actions import NEUTRAL, KeyRing, Policies, Rule, asked_of, mint  # noqa: E402
from actions._budget import Limit, Limits  # noqa: E402
from actions._gatekeeper import PolicyGatekeeper  # noqa: E402
from actions._gateway_desk import GatewayDesk  # noqa: E402
from actions._gateway_store import SqliteGatewayStore  # noqa: E402
from actions._ledger_sqlite import SqliteLedger  # noqa: E402
from actions._ports import Indicator, Seen, Window  # noqa: E402
from actions._verify import judge  # noqa: E402
from actions._view import View  # noqa: E402
from actions._worker import WorkerSettings  # noqa: E402
from schemas import ActionEvent, Cause, Hypothesis  # noqa: E402
from tidegate._act_ports import Orders  # noqa: E402

UNBOUND = Limits(Limit(10**6, NS), Limit(10**6, NS), Limit(10**6, NS), 10**6)
LOOSE = WorkerSettings(replace(ACT.safety, limits=UNBOUND))
RULE = {"id": "r", "text": "bench", "when": "true", "effect": "permit", "reason": "RULE", "priority": 1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actions", type=int, default=300, help="for the latency")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--storm", type=int, default=1000)
    parser.add_argument("--thin", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    began = time.process_time()
    kept = ROOT / "runs"
    kept.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept) as place:
        document = latency(Path(place), told.actions) | kills(Path(place), told.kills)
    document |= storm(told.storm) | backlog() | thin(told.thin)
    document["cpu_s"] = round(time.process_time() - began, 1)
    print(json.dumps(document) if told.json else "\n".join(f"{name:32} {value}" for name, value in document.items()))
    return 1 if document["thin_successes"] or document["backlog_effects"] or document["storm_over_budget"] else 0


class Shelves:
    """Many targets in memory; the moment of each write."""

    def __init__(self, clock: Any) -> None:
        self.clock, self.shelves, self.writes = clock, dict[str, Shelf](), list[tuple[str, int]]()

    def of(self, effect: Any) -> Shelf:
        return self.shelves.setdefault(effect.target, Shelf())

    def capabilities(self, verb: str) -> Any:
        return Shelf().capabilities(verb)

    async def read(self, effect: Any) -> Any:
        return await self.of(effect).read(effect)

    async def check(self, effect: Any, reading: Any) -> Any:
        return None

    async def fence(self, effect: Any, epoch: int) -> None:
        await self.of(effect).fence(effect, epoch)

    async def write(self, effect: Any, mark: Any, reading: Any) -> Any:
        written = await self.of(effect).write(effect, mark, reading)
        self.writes.append((effect.target, time.time_ns()))
        return written


class WallClock:
    def now_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, ns: int) -> None:
        await asyncio.sleep(ns / NS)


class Real(Stand):
    """Production parts but for the targets."""

    def __init__(self, place: Path) -> None:
        super().__init__(SqliteLedger(place / "ledger", seal), LOOSE)
        clock: Any = WallClock()
        self.file, self.numbers = place / "kill", 0
        self.file.write_text("")
        self.orders = Orders(self.file, self.ledger, {"on-call": KEY.public_key()})
        self.shelves = Shelves(clock)
        self.policies = Policies([Rule.model_validate(RULE)])
        desk = GatewayDesk(
            TRUST, VERBS, SqliteGatewayStore(place / "gateway"), self.shelves, self.orders, clock, Locks()
        )
        keeper = PolicyGatekeeper(clock, self.ledger, self.policies, View(), KeyRing, self._sign, "shop")
        self.worker.ports = self.worker.ports._replace(
            clock=clock, gateway=desk, gatekeeper=keeper, kill=self.orders
        )  # fmt: skip
        one = self.worker.performer
        one.clock, one.gateway, one.gatekeeper, one.kill = clock, desk, keeper, self.orders

    def _sign(self, request: Any, people: int) -> bytes:
        self.numbers += 1
        return mint(
            request, audience="shop", now_ns=time.time_ns(), nonce=f"{self.numbers:032x}", kid="decide-1", key=KEY
        )

    async def decided(self, name: str) -> None:
        """Take what decide would write now."""
        target = f"default/service/{name}"
        change = VERBS.change("gitops.revert", target, PARAMETERS | {"service": name}, "r")
        snapshot = NEUTRAL | {"target": target, "verb": "gitops.revert", "has_executor": True, "mode": "act"}
        cause = Cause(entity=name, entity_id=target, family="change", change="chg-1")
        event = ActionEvent(
            id=f"e-{name}", action_id=f"a-{name}", incident_id=f"i-{name}", diagnosis_id="d", sequence=1, state="gated",
            at_ns=time.time_ns(), change=change, hypothesis=Hypothesis(cause=cause, score=1.0, reason="deploy"),
            decision=self.policies.evaluate(snapshot), snapshot=snapshot,
        )  # fmt: skip
        asked = asked_of(event, VERBS, self.policies.digest, None)
        assert asked is not None
        await self.worker.take(asked)


def latency(place: Path, actions: int) -> dict[str, Any]:
    async def whole() -> list[float]:
        found, world = list[float](), Real(place)
        await world.begin()
        for number in range(actions):
            began = time.time_ns()
            await world.decided(f"s{number}")
            while len(world.shelves.writes) <= number:
                await asyncio.sleep(0)
            found.append((world.shelves.writes[number][1] - began) / 1e6)
        await world.kill_it()
        return found

    found = sorted(asyncio.run(whole()))
    return {
        "decide_to_executor_p50_ms": round(found[len(found) // 2], 1),
        "decide_to_executor_p99_ms": round(found[int(len(found) * 0.99)], 1),
        "decide_to_executor_max_ms": round(found[-1], 1), "latency_actions": actions,
    }  # fmt: skip


def kills(place: Path, count: int) -> dict[str, Any]:
    """Each with a stream of new actions, so that there is always something on its way."""
    random, after, late, before = Random(1), list[float](), 0, 0

    async def one(number: int) -> None:
        nonlocal late, before
        folder = place / f"kill-{number}"
        folder.mkdir()
        world, stop_ns, names = Real(folder), 0, 0
        await world.begin()
        end = time.monotonic() + random.uniform(0.2, 0.8)
        while time.monotonic() < end:
            world.crew.start("ask", world.decided(f"k{names}"))
            names += 1
            await asyncio.sleep(random.uniform(0.0, 0.02))
        with world.file.open("ab") as file:
            file.write(order().to_bytes() + b"\n")
            file.flush()
        stop_ns = time.time_ns()
        for _ in range(60):
            world.crew.start("ask", world.decided(f"k{names}"))
            names += 1
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.0)
        writes = [at_ns for _, at_ns in world.shelves.writes if at_ns > stop_ns]
        late, before = late + len(writes), before + len(world.shelves.writes) - len(writes)
        after.append(max([(at_ns - stop_ns) / 1e6 for at_ns in writes], default=0.0))
        await world.kill_it()

    for number in range(count):
        asyncio.run(one(number))
    after.sort()
    return {
        "kills": count, "kill_last_effect_p99_ms": round(after[int(len(after) * 0.99)], 1) if after else None,
        "kill_last_effect_max_ms": round(after[-1], 1) if after else None, "kill_effects_after": late,
        "kill_effects_before": before,
    }  # fmt: skip


def storm(incidents: int) -> dict[str, Any]:
    """All at once on a virtual clock, then ten minutes; effects against the budget of everything, 10 in 10 minutes."""

    async def scene(world: Stand) -> Stand:
        for number in range(incidents):
            plan = plan_of(step_of(f"t/service/s{number}", undo_on_no_effect=True))
            await world.ask(f"t/service/s{number}", incident=f"i{number}", plan=plan)
        await world.wait(1800)
        return world

    began = time.process_time()
    world = stand(scene)
    times = [at_ns for at_ns, _, _ in world.gateway.effects]
    most = max((sum(at - 600 * NS < t <= at for t in times) for at in times), default=0)
    pages = [notice.at_ns for notice in world.people.pages]
    return {
        "storm_incidents": incidents, "storm_effects": len(times), "storm_most_in_10_min": most,
        "storm_over_budget": max(0, most - 5), "storm_pages": len(pages),
        "storm_open": len(world.ledger.open_actions()), "storm_cpu_s": round(time.process_time() - began, 1),
    }  # fmt: skip


def backlog(records: int = 500) -> dict[str, Any]:
    async def scene(world: Stand) -> Stand:
        world.gatekeeper.age_ns = 6 * 3600 * NS
        for number in range(records):
            await world.ask(f"t/service/s{number}", incident=f"i{number}")
            await world.wait(0.05)
        await world.wait(60)
        return world

    world = stand(scene)
    return {
        "backlog_records": records, "backlog_effects": len(world.gateway.effects),
        "backlog_pages": len(world.people.pages),
    }  # fmt: skip


def thin(cases: int) -> dict[str, Any]:
    """Cured, by every window that is there; but over a fifth of them, here or in the control, is missing."""
    random, successes, window = Random(2), 0, 10 * NS
    fault, effect, since, until = (NOW + n * 300 * NS for n in (0, 1, 2, 3))
    for _ in range(cases):
        pair = [[], []]  # type: ignore[var-annotated]
        after = range(since, until, window)
        lost, place = set(random.sample(after, random.randint(len(after) // 5 + 1, len(after)))), random.randrange(2)
        for side in range(2):
            for start in range(fault - 300 * NS, until, window):
                ill = 0.2 if side == 0 and fault <= start < effect else 0.01
                value, complete = ill + random.random() * 0.001, 1.0
                if side == place and start in lost:
                    how = random.random()
                    if how < 0.3:
                        continue
                    value, complete = (float("nan"), 1.0) if how < 0.6 else (value, random.random() * 0.79)
                pair[side].append(Window(start, start + window, value, complete))
        one = Indicator("errors", "1", 1, True, tuple(pair[0]), tuple(pair[1]), "peers")
        successes += judge(Seen((one,), fault, until), effect, since, until).verdict == "recovered"
    return {"thin_cases": cases, "thin_successes": successes}


if __name__ == "__main__":
    sys.exit(main())
