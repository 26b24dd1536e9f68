"""A cascade with two ends: subsystems are asked in parallel about both, and joined in one diagnosis of one incident.

The questions are those of the shipped queries and run in the real pool, on a virtual clock; each server takes its time.
"""

import asyncio

from support.query_answers import T, argocd, kubernetes
from support.scenario_503 import anomaly, message, records
from support.virtual_loop import run

import schemas as sc
from diagnosis import Context, Diagnose, equal_weights
from diagnosis.queries.argocd import ArgoCd
from diagnosis.queries.kubernetes import Kubernetes
from diagnosis.queries.postgres import Postgres
from schemas.core import NS, Tick
from tidegate._investigate import Pool

QUERIES = {query.kind: query for query in (ArgoCd(), Kubernetes(), Postgres())}
CALLS = [("front", "cart"), ("cart", "redis"), ("front", "orders"), ("orders", "ledger")]
SECONDS = {"argocd": 4.0, "kubernetes": 5.0, "postgres": 3.0}
NEVER = 10**6


class Slow:
    """A server that takes so long; the sessions of `ledger` wait for each other, nothing else is wrong."""

    def __init__(self, seconds):
        self.seconds, self.busy, self.most = seconds, 0, 0

    async def get(self, path, query):
        await asyncio.sleep(self.seconds)
        return argocd(10**6, "a1", "a1") if path.startswith("/api/v1/applications") else kubernetes(path)

    async def rows(self, query):
        await asyncio.sleep(self.seconds)
        return [{"application": name, "sessions": 90, "waiting": 80 if name == "ledger" else 0, "idle": 0, "most": 100}
                for name in ("cart", "ledger", "redis")]  # fmt: skip


def edge(caller, callee):
    return sc.TopologyEdge(id=f"{caller}>{callee}", caller=f"default/service/{caller}",
                           callee=f"default/service/{callee}", first_ns=T - 900 * NS, last_ns=T)  # fmt: skip


def answered(inquiries, seconds):
    """All at once to the pool; each observation with the virtual time at which it was given."""
    found = []

    async def main():
        async def send(observation):
            found.append((asyncio.get_running_loop().time(), observation))
            if len(found) == len(inquiries):
                everything.set()

        everything = asyncio.Event()
        context = Context(**{name: Slow(each) for name, each in seconds.items()})
        pool = Pool(QUERIES, context, send, now_ns=lambda: 1)
        for inquiry in inquiries:
            pool.submit(inquiry)
        working = asyncio.create_task(pool.run())
        await everything.wait()
        working.cancel()

    run(main())
    return found


def investigated(seconds):
    """What was asked and answered in each round, and the diagnoses."""
    stage = Diagnose(equal_weights(), queries=QUERIES, mode="ask")
    state, out, rounds = stage.initial(), [], []
    for pair in CALLS:
        state, _ = stage.step(state, message(edge(*pair), sc.TOPOLOGY, T - 900 * NS))
    for service in ("front", "cart", "redis", "orders", "ledger"):
        state, _ = stage.step(state, message(anomaly(service, 1e-9), sc.ANOMALIES, T))
    for at_s in (5, 15, 25, 35, 70):
        state, more = stage.step(state, Tick(T + at_s * NS))
        out += more
        if asked := records(more, sc.Inquiry):
            rounds.append((asked, answered(asked, seconds)))
            for _, observation in rounds[-1][1]:
                state, _ = stage.step(state, message(observation, sc.OBSERVATIONS, T + at_s * NS))
    return rounds, records(out, sc.Diagnosis)


def test_several_subsystems_are_asked_at_once_and_take_no_longer_than_the_slowest():
    (asked, found), *_ = investigated(SECONDS)[0]
    subsystems = {inquiry.subsystem for inquiry in asked}
    assert len(subsystems) > 1 and len({str(inquiry.parameters["service"]) for inquiry in asked}) > 1
    assert max(at for at, _ in found) < 2 * max(SECONDS.values()) < sum(SECONDS[i.subsystem] for i in asked)


def test_what_the_subsystems_found_is_joined_in_one_diagnosis_that_names_the_right_end():
    rounds, said = investigated(SECONDS)
    first = said[-1].hypotheses[0]
    assert len({d.incident_id for d in said}) == 1 and first.cause.entity == "ledger"
    assert any(evidence.kind.startswith("asked_") and evidence.supports for evidence in first.evidence)
    assert sum(len(asked) for asked, _ in rounds) <= 8 and not said[-1].unknown


def test_a_subsystem_that_hangs_holds_up_no_other_and_is_known_to_be_unknown():
    rounds, said = investigated(SECONDS | {"argocd": NEVER})
    quick = [at for at, o in rounds[0][1] if o.status == "answered"]
    assert quick and max(quick) < 2 * max(SECONDS.values())
    assert {(u.subsystem, u.reason) for u in said[-1].unknown} == {("argocd", "QUERY_TIMEOUT")}
    assert said[-1].hypotheses[0].cause.entity == "ledger"
