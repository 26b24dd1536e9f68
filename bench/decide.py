"""How long a decision takes: `python -m bench.decide [--decisions N] [--write] [--json]`.

A decision is what `decide` does with one diagnosis, from bytes to bytes: read the record, choose the runbook, build the
exact change, its snapshot (blast radius over the topology, calendar, service profiles), judge it by the shipped
policies, emit the life of the action with its digests. The state is that of a busy day: 300 services with 1,500 calls,
2,000 changes, 300 calendar entries, 5,000 decisions before. Each diagnosis is of another incident about another
change, so nothing is answered from memory. The bar, p99 of 5 ms, is held to the CPU time of the process; wall time and
the load of the machine stand beside it. `--write` keeps the result in `docs/results/decide.json`.
"""

import argparse
import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import schemas as sc
from actions import NEUTRAL, Decide, DecideSettings, ServiceProfile, check_policies, load_policies, load_runbooks
from schemas.core import NS, Message
from tidegate import _pipeline

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs/results/decide.json"
BAR_MS = 5.0
AT = 1_767_268_800 * NS
SERVICES, CALLS, CHANGES, ENTRIES, BEFORE = 300, 1500, 2000, 300, 5000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=5000)
    parser.add_argument("--write", action="store_true", help="keep the result")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    document = measured(told.decisions)
    if told.write:
        KEPT.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document) if told.json else "\n".join(f"{name:24} {value}" for name, value in document.items()))
    return 0 if document["decision"]["cpu_ms"]["p99"] <= BAR_MS else 1


def measured(decisions: int) -> dict[str, Any]:
    """Every figure, with where and from what it was taken."""
    stage, state, chance = busy()
    asked = [diagnosis(n, chance) for n in range(decisions)]
    outputs = 0

    def decide(message: Message) -> None:
        nonlocal state, outputs
        state, found = stage.step(state, message)
        outputs += len(found)

    texts = _pipeline.texts(None, "policies")
    policies = load_policies(texts)
    snapshots = [NEUTRAL | {"confidence_low": chance.random(), "is_calibrated": True, "severity": float(n)}
                 for n in range(decisions)]  # fmt: skip
    began = time.process_time()
    check_policies(texts)
    checked_s = time.process_time() - began
    whole = timed(decide, asked)
    if outputs < 3 * decisions:
        raise SystemExit(f"only {outputs} events came of {decisions} diagnoses: this is not what was to be measured")
    return {
        "decision": whole, "policies_alone": timed(policies.evaluate, snapshots), "decisions": decisions,
        "rules": len(policies.rules), "bar_p99_ms": BAR_MS, "policy_check_cpu_s": round(checked_s, 2),
        "state": {"services": SERVICES, "calls": CALLS, "changes": CHANGES, "calendar": ENTRIES, "before": BEFORE},
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(),
        "command": "python -m bench.decide --write", "machine": "2 shared cores, Python 3.11",
        "load_1m": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def timed(call: Callable[[Any], object], inputs: list[Any]) -> dict[str, dict[str, float]]:
    """Milliseconds of each call, by the CPU of the process and by the clock on the wall."""
    cpu, wall = [], []
    for one in inputs:
        a, b = time.perf_counter_ns(), time.process_time_ns()
        call(one)
        cpu.append((time.process_time_ns() - b) / 1e6)
        wall.append((time.perf_counter_ns() - a) / 1e6)
    return {"cpu_ms": quantiles(cpu), "wall_ms": quantiles(wall)}


def quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    last = len(ordered) - 1
    found = {"p50": ordered[last // 2], "p99": ordered[round(last * 0.99)], "max": ordered[-1]}
    return {name: round(value, 3) for name, value in found.items()}


def busy() -> tuple[Decide, Any, random.Random]:
    """The stage as a pipeline builds it, with the state of a busy day behind it."""
    chance = random.Random(7)
    verbs = _pipeline.verbs()
    profiles = {
        f"s{n}": ServiceProfile("standard" if n % 10 else "critical", frozenset(() if n % 7 else {"pci"}))
        for n in range(SERVICES)
    }
    stage = Decide(
        verbs, load_runbooks(_pipeline.texts(None, "runbooks"), verbs),
        load_policies(_pipeline.texts(None, "policies")), DecideSettings(services=profiles),
    )  # fmt: skip
    state = stage.initial()
    for n in range(CALLS):
        a, b = chance.sample(range(SERVICES), 2)
        edge = sc.TopologyEdge(id=f"e{n}", caller=entity(a), callee=entity(b), first_ns=AT - NS, last_ns=AT)
        state, _ = stage.step(state, message(sc.TOPOLOGY, edge))
    for n in range(CHANGES):
        state, _ = stage.step(state, message(sc.CHANGES, change(n)))
    for n in range(ENTRIES):
        entry = sc.CalendarEntry(
            id=f"c{n}", kind=("maintenance", "peak", "freeze", "business")[n % 4], title="t", start_ns=AT,
            end_ns=AT + 3600 * NS, services=[f"s{chance.randrange(SERVICES)}"],
        )  # fmt: skip
        state, _ = stage.step(state, message(sc.CALENDAR, entry))
    for n in range(BEFORE):
        state, _ = stage.step(state, diagnosis(-n - 1, chance))
    return stage, state, chance


def diagnosis(n: int, chance: random.Random) -> Message:
    """Five hypotheses with six pieces of evidence each; the first is a deploy nobody asked about in the last hour."""
    pointers = [
        sc.EvidencePointer(signal="metrics", subject=f"{k:016x}", t_min_ns=AT, t_max_ns=AT + NS, sha256=f"sha256:{k}")
        for k in range(6)
    ]
    evidence = [
        sc.Evidence.model_validate({"kind": "onset", "for": True, "weight": 0.5, "text": "began after", "pointer": p})
        for p in pointers
    ]
    hypotheses = []
    for k in range(5):
        of = (n + k) % CHANGES
        cause = sc.Cause(
            entity=f"s{of % SERVICES}", entity_id=entity(of % SERVICES), family="change", change=f"chg-{of}"
        )
        low = chance.random()
        hypotheses.append(sc.Hypothesis(cause=cause, score=5.0 - k, confidence=low, confidence_state="OWN",
                                        interval=(low * 0.9, low), reason="onset", evidence=evidence))  # fmt: skip
    at_ns = AT + (n // CHANGES) * 2 * 3600 * NS
    return message(sc.DIAGNOSES, sc.Diagnosis(
        id=f"d{n}", incident_id=f"i{n}", as_of_ns=at_ns, opened_ns=at_ns, entities=[entity(n % SERVICES)],
        severity=float(n % 16), hypotheses=hypotheses,
    ))  # fmt: skip


def change(n: int) -> sc.Change:
    return sc.Change(
        id=f"chg-{n}", entity_id=entity(n % SERVICES), service=f"s{n % SERVICES}", kind="deploy", at_ns=AT - 60 * NS,
        title=f"deploy #{n}", version_from=f"v{n}", version_to=f"v{n + 1}",
    )  # fmt: skip


def entity(n: int) -> str:
    return f"default/service/s{n}"


def message(topic: str, record: sc.Record) -> Message:
    sent = sc.emit(topic, record, id="m", key="k", source="bench", event_ns=AT)
    return Message(topic, 0, 0, sent.key, sent.value, sent.headers, AT, AT)


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
