"""A thousand incidents at once in one domain, most severe first: `python -m bench.incidents [--json] [--out FILE]`.

Two services that call each other fail in each of them, all at the same instant; every cause is open, so each incident
asks about both. The stage runs in this process with the clock for its time, ticks come twice a second, and the real
pool of investigators answers, 64 at a time (`--running`), each answer after half a second. Measured is how long
after the symptoms the fifty most severe have a diagnosis that rests on answers (wanted: 60 s at the 95th percentile),
and what the first look at one incident of fifty services takes (wanted: 1 s). With `--virtual` the clock jumps over
waiting and stands while there is work: what the order of questions alone gives, whatever else the machine does.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import schemas as sc
from bench._processes import quantile
from diagnosis import Answer, Context, Diagnose, Finding, Parameters, Query, Speaks, Suspect, equal_weights
from schemas.core import NS, Emit, Message, Output, Tick
from tidegate._investigate import Pool

T = 1_800_000_000 * NS
FIRST, EVERY_S, ANSWER_S, MOST_S = 50, 0.5, 0.5, 240.0
SETTLED_S = 35.0  # revisions are half a minute apart
ROOT = Path(__file__).resolve().parent.parent


class Named(Parameters):
    service: str


class Slow:
    """Speaks for the service that is called, after half a second."""

    kind, subsystem, version, about, cost, timeout_s = "slow", "toys", "1", "nothing", 1.0, 10.0
    evidence: Mapping[str, Speaks] = {"asked_toy": Speaks("toy", "is broken")}
    parameters: type[Parameters] = Named

    def ask(self, suspect: Suspect) -> Named:
        return Named(service=suspect.service)

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        assert isinstance(parameters, Named)
        await asyncio.sleep(ANSWER_S)
        strength = float(parameters.service.startswith("b"))
        return Answer(findings=[Finding(kind="asked_toy", service=parameters.service, strength=strength, start_ns=0,
                                        end_ns=1)])  # fmt: skip


def message(emit: Output) -> Message:
    assert isinstance(emit, Emit)
    return Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns)


def edge(caller: str, callee: str) -> Message:
    at = T - 600 * NS
    record = sc.TopologyEdge(id=f"{caller}>{callee}", caller=f"default/service/{caller}",
                             callee=f"default/service/{callee}", first_ns=at, last_ns=at)  # fmt: skip
    return message(sc.emit(sc.TOPOLOGY, record, id=record.id, key="k", source="bench", event_ns=at))


def anomaly(service: str, p: float) -> Message:
    pointer = sc.EvidencePointer(signal="traces", subject=service, t_min_ns=T - 10 * NS, t_max_ns=T, sha256="s")
    record = sc.Anomaly(
        id=service, entity_id=f"default/service/{service}", service=service, series=f"{sum(map(ord, service)):016x}",
        name="span.errors", signal="traces", kind="error_ratio", detector="t@1", start_ns=T - 10 * NS, end_ns=T,
        p_value=p, observed=0.5, expected=0.0, residual=0.5, unit="1", direction=1, pointer=pointer,
    )  # fmt: skip
    return message(sc.emit(sc.ANOMALIES, record, id=record.id, key="k", source="bench", event_ns=T))


async def storm(n: int, running: int = 64, seed: int = 1) -> dict[str, Any]:
    """Seconds until each incident has a diagnosis that rests on answers."""
    clock = asyncio.get_running_loop().time
    rng = random.Random(seed)
    query: Query = Slow()
    stage = Diagnose(equal_weights(), queries={"slow": query}, mode="ask")
    state, answers = stage.initial(), list[sc.Observation]()

    async def send(observation: sc.Observation) -> None:
        answers.append(observation)

    pool = Pool({"slow": query}, Context(), send, size=running, now_ns=time.time_ns)
    working = asyncio.create_task(pool.run())
    severity, first, done = dict[str, float](), dict[str, float](), dict[str, float]()
    symptoms = [anomaly(f"{end}{i}", p) for i in range(n) for p in (10 ** -rng.uniform(7, 15),) for end in ("a", "b")]
    began, cpu = clock(), time.process_time()
    calls = [edge(f"{one}{i}", f"{other}{i}") for i in range(n) for one, other in ("ab", "ba")]
    for given in [*calls, *symptoms]:
        state, _ = stage.step(state, given)
    moved = began
    while len(done) < n and clock() - began < MOST_S and clock() - moved < SETTLED_S:
        await asyncio.sleep(EVERY_S)
        now = T + round((clock() - began) * NS)
        came, answers[:] = list(answers), []
        said = list[Output]()
        for observation in came:
            told = sc.emit(sc.OBSERVATIONS, observation, id=observation.id, key="k", source="b", event_ns=now - 1)
            state, more = stage.step(state, message(told))
            said += more
        state, more = stage.step(state, Tick(now))
        said += more
        at = clock() - began
        if came or said or pool.waiting:
            moved = clock()
        for record in (sc.read(message(emit)) for emit in said):
            if isinstance(record, sc.Inquiry):
                pool.submit(record)
            elif isinstance(record, sc.Diagnosis):
                severity[record.incident_id] = record.severity
                first.setdefault(record.incident_id, at)
                if any(e.kind == "asked_toy" for h in record.hypotheses for e in h.evidence):
                    done.setdefault(record.incident_id, at)
    working.cancel()
    worst = sorted(severity, key=lambda i: (-severity[i], i))[:FIRST]
    return {
        "at_once": n, "running": running, "incidents": len(severity), "answered": len(done),
        "questions": pool.counts.get("taken", 0),
        "first_diagnosis_p95_s": _round(quantile([first[i] for i in worst], 0.95)),
        "of_all_first_diagnosis_p95_s": _round(quantile(list(first.values()), 0.95)),
        "first_50_p95_s": _round(quantile([done.get(i, MOST_S) for i in worst], 0.95)),
        "of_all_p95_s": _round(quantile(list(done.values()), 0.95)), "cpu_s": _round(time.process_time() - cpu),
    }  # fmt: skip


def look(services: int = 50, times: int = 40) -> dict[str, Any]:
    """CPU seconds of the first look at one incident in which so many services are disturbed, each by three series."""
    took = []
    for n in range(times):
        rng = random.Random(n)
        stage = Diagnose(equal_weights())
        state = stage.initial()
        calls = {(f"s{rng.randrange(i)}", f"s{i}") for i in range(1, services)}
        for given in [*(edge(*pair) for pair in sorted(calls)),
                      *(anomaly(f"s{i}", 10 ** -rng.uniform(4, 12)) for i in range(services))]:  # fmt: skip
            state, _ = stage.step(state, given)
        began = time.process_time()
        state, out = stage.step(state, Tick(T + NS))
        took.append(time.process_time() - began)
        assert any(isinstance(emit, Emit) and emit.topic == sc.DIAGNOSES for emit in out)
    return {"services": services, "times": times, "p95_s": _round(quantile(took, 0.95)), "max_s": _round(max(took))}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=1000)
    parser.add_argument("--running", type=int, default=64, help="Questions at a time, as `investigate.at_once`.")
    parser.add_argument("--virtual", action="store_true", help="Waiting takes no time, and work none either.")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if told.virtual:
        sys.path.insert(0, str(ROOT / "tests"))
        from support.virtual_loop import run  # type: ignore[import-not-found,unused-ignore]  # by the path above
    else:
        run = asyncio.run
    row, seen = run(storm(told.at_once, told.running)), look()
    document = {
        "command": f"python -m bench.incidents --running {told.running}{' --virtual' if told.virtual else ''}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": commit.stdout.strip(), "storm": row, "look": seen,
    }  # fmt: skip
    is_right = row["incidents"] == told.at_once and row["first_50_p95_s"] < 60 and seen["p95_s"] < 1
    document["is_right"] = is_right
    if told.out is not None:
        told.out.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document) if told.json else json.dumps(document, indent=1))
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
