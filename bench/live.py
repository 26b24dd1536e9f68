"""From a fault to the first anomaly and to the decision, live: `python -m bench.live [--json] [--tenants 40]`.

Many small shops, each a tenant of its own, send at the pace of the clock: every ten seconds, each at another moment.
At known times a bad version is rolled out in half of them; in the others, which send gauges only, a few gauges become
four times as high. All stages run as processes on a real broker. Measured is from the fault, which is the rollout and
not its first effect, to Kafka's timestamps: of the first anomaly of the ill service that covers time after the fault,
and of the first decision about it. History before the start is sent at once, so that baselines are there.

How often such an anomaly came in the 25 s before a fault is told as `anomaly_by_chance`. An abnormal gauge by itself
opens no incident, so decisions are asked of bad versions only.

The budget is 25 s to the anomaly and 45 s to the decision, at the 95th percentile. `--aligned` lets all senders send
at the same moment, like a lone one: the watermark then moves only every ten seconds. Kept in `docs/results/live.json`.
"""

import argparse
import itertools
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import schemas as sc
from bench import _steady
from bench._player import Player
from bench._processes import quantile
from bench.throughput._data import FAULT_FACTOR, Workload
from bench.throughput._load import _Template
from schemas.core import NS, Message
from simulation import BadDeploy, shop

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs/results/live.json"
BUDGET_S = {"anomaly": 25.0, "decision": 45.0}
PARTITIONS = 2
HISTORY_S, CATCH_UP_S, LAST_S = 600, 45, 75
"""Sent before the start; from the start to the first fault; from the last fault to the end."""
_RENDER_S = 2.0
"""Wall time in which the messages of a tenant are surely made; all are made before the start."""
_ILL = 10
"""Gauges that become ill, of the fifty of a tenant."""


class Fault(NamedTuple):
    tenant: str
    kind: str
    service: str
    at_ns: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=300.0, help="over which the faults are spread")
    parser.add_argument("--aligned", action="store_true", help="all senders send at the same moment")
    parser.add_argument("--lateness-s", type=float, default=10.0, help="streams.lateness_s")
    parser.add_argument("--batch-s", type=float, default=1.0, help="how long senders collect logs and spans")
    parser.add_argument("--out", type=Path, default=KEPT)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    logging.disable(logging.CRITICAL)
    sys.path.insert(0, str(ROOT / "tests"))
    document = measure(
        told.tenants, told.seconds, batch_s=told.batch_s, is_aligned=told.aligned, lateness_s=told.lateness_s
    )
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(document, indent=1) + "\n")
    if told.json:
        print(json.dumps({name: value for name, value in document.items() if name != "faults"}))
    else:
        for name, value in document.items():
            if name != "faults":
                print(f"{name:20} {value}")
    return 0 if document["is_right"] else 1


def measure(
    tenants: int, seconds: float, *, batch_s: float = 1.0, is_aligned: bool = False, lateness_s: float = 10.0
) -> dict[str, Any]:
    """Returns what is kept; takes about `seconds`, two minutes, and two seconds a tenant."""
    from support.kafka import Cluster
    from support.pipeline import Deployed

    from tidegate._pipeline import ORDER

    with Cluster(1) as cluster, tempfile.TemporaryDirectory() as place:
        streams = {"idle_after_s": 30, "lateness_s": lateness_s}
        deployed = Deployed(cluster, Path(place), prefix="live", partitions=PARTITIONS, streams=streams)
        now_ns = time.time_ns() + round((20 + tenants * _RENDER_S) * NS)
        faults, messages = load(tenants, now_ns, seconds, batch_s=batch_s, is_aligned=is_aligned)
        for stage in ORDER:
            deployed.start(stage)
        player = Player(deployed.kafka, messages, now_ns, 1.0, is_live=True)
        try:
            player.start()
            player.join()
            deployed.stop()
            rows = judge(faults, deployed.read)
        finally:
            player.stop()
            deployed.kill()
    return _document(rows) | {
        "batch_s": batch_s, "is_aligned": is_aligned, "lateness_s": lateness_s,
        "sender_late_s": round(player.late_s, 2), "faults": rows,
    }  # fmt: skip


# --- the load ---


def load(
    tenants: int, now_ns: int, seconds: float, *, batch_s: float = 1.0, is_aligned: bool = False
) -> tuple[list[Fault], list[Message]]:
    """Faults and messages in order of time, from `HISTORY_S` before now to `LAST_S` after the last fault."""
    start_ns = (now_ns // _steady.STEP_NS) * _steady.STEP_NS - HISTORY_S * NS
    duration_s = HISTORY_S + CATCH_UP_S + seconds + LAST_S
    rng = np.random.Generator(np.random.PCG64(7))
    faults, loads = [], []
    for n in range(tenants):
        phase_ns = 0 if is_aligned else round(n / tenants * 10 * NS)
        at_ns = now_ns + round((CATCH_UP_S + seconds * rng.random()) * NS)
        begin, at_s = start_ns + phase_ns, (at_ns - start_ns - phase_ns) / NS
        if n % 2:
            faults.append(Fault(f"shop{n:03d}", "bad deploy", "checkout", at_ns))
            loads.append(_shop(faults[-1], n, begin, duration_s, at_s, batch_s))
        else:
            faults.append(Fault(f"gauges{n:03d}", "gauges", "svc0000", at_ns))
            loads.append(_gauges(faults[-1], n, begin, duration_s))
    return faults, sorted(itertools.chain(*loads), key=lambda message: message.event_ns)


def _shop(
    fault: Fault, number: int, start_ns: int, duration_s: float, at_s: float, batch_s: float
) -> Iterator[Message]:
    """Metrics every ten seconds, logs and spans as often as senders let go of what they have collected."""
    deploy = BadDeploy(at_s=at_s, error_ratio=0.5)
    for emit in shop(number, start_ns, duration_s, fault=deploy, rate=20):
        message = _steady.of_tenant(emit, fault.tenant, number // 2 % PARTITIONS)
        if sc.record_type(message) != "watermark":
            yield from rebatched(message, round(batch_s * NS))


def rebatched(message: Message, batch_ns: int) -> list[Message]:
    """A message of logs or spans as it would have been sent in shorter batches, each at its newest time."""
    if message.topic not in (sc.OTLP_LOGS, sc.OTLP_SPANS):
        return [message]
    is_logs = message.topic == sc.OTLP_LOGS
    kind: Any = ExportLogsServiceRequest if is_logs else ExportTraceServiceRequest
    found: dict[int, tuple[Any, int]] = {}
    request = kind.FromString(message.value)
    for resource in request.resource_logs if is_logs else request.resource_spans:
        open_ones: dict[int, Any] = {}
        for scope in resource.scope_logs if is_logs else resource.scope_spans:
            for row in scope.log_records if is_logs else scope.spans:
                t = row.time_unix_nano if is_logs else row.end_time_unix_nano
                at = t // batch_ns
                batch, newest = found.get(at) or (kind(), 0)
                found[at] = batch, max(newest, t)
                if at not in open_ones:
                    group = (batch.resource_logs if is_logs else batch.resource_spans).add()
                    group.resource.CopyFrom(resource.resource)
                    inner = (group.scope_logs if is_logs else group.scope_spans).add()
                    open_ones[at] = inner.log_records if is_logs else inner.spans
                open_ones[at].append(row)
    return [
        message._replace(value=batch.SerializeToString(), event_ns=newest, received_ns=newest)
        for batch, newest in found.values()
    ]


def _gauges(fault: Fault, number: int, start_ns: int, duration_s: float) -> Iterator[Message]:
    template = _Template(Workload(50, 50, 1), [0])
    rng = np.random.Generator(np.random.PCG64(number))
    level = rng.uniform(10, 100, 50)
    for t in range(start_ns, start_ns + round(duration_s * NS), _steady.STEP_NS):
        values = level * (1 + 0.05 * rng.standard_normal(50))
        values[:_ILL] *= FAULT_FACTOR if t >= fault.at_ns else 1
        headers = (("tidegate-tenant", fault.tenant.encode()),)
        yield Message(
            sc.OTLP_METRICS, number // 2 % PARTITIONS, 0, b"", template.fill(t, np.round(values, 3)), headers, t, t
        )  # fmt: skip


# --- what came of it ---


def judge(faults: Sequence[Fault], read: Callable[[str], list[Message]]) -> list[dict[str, Any]]:
    """For each fault the seconds to each hop; None where it never came."""
    hops = {"anomaly": sc.ANOMALIES, "incident": sc.INCIDENTS, "diagnosis": sc.DIAGNOSES, "decision": sc.ACTIONS}
    found: dict[str, list[tuple[int, Any]]] = {}
    for hop, topic in hops.items():
        records = [(m.received_ns, sc.read(m)) for m in read(topic) if sc.record_type(m) != "watermark"]
        found[hop] = sorted(records, key=lambda pair: pair[0])
    return [_judged(fault, found) for fault in faults]


def _judged(fault: Fault, found: dict[str, list[tuple[int, Any]]]) -> dict[str, Any]:
    before = fault._replace(at_ns=fault.at_ns - round(BUDGET_S["anomaly"] * NS))
    row: dict[str, Any] = {
        "tenant": fault.tenant, "kind": fault.kind, "in_pane_s": round(fault.at_ns / NS % 10, 2), "by": None,
        "window_end": None,
        "by_chance": any(before.at_ns < at <= fault.at_ns and _is_about(r, before) for at, r in found["anomaly"]),
    }  # fmt: skip
    for hop, records in found.items():
        first = next((pair for pair in records if pair[0] > fault.at_ns and _is_about(pair[1], fault)), None)
        row[hop] = None if first is None else round((first[0] - fault.at_ns) / NS, 2)
        if first is not None and isinstance(first[1], sc.Anomaly):
            row["by"] = f"{first[1].detector} of {first[1].name}"
            row["window_end"] = round((first[1].end_ns - fault.at_ns) / NS, 2)
    return row


def _is_about(record: Any, fault: Fault) -> bool:
    """Of the ill service, and of time after the fault."""
    if getattr(record, "tenant", "") != fault.tenant:
        return False
    if isinstance(record, sc.Anomaly):
        return record.service == fault.service and record.end_ns > fault.at_ns
    if isinstance(record, sc.Incident):
        return record.updated_ns > fault.at_ns and any(f"/{fault.service}" in entity for entity in record.entities)
    if isinstance(record, sc.Diagnosis):
        return record.as_of_ns > fault.at_ns and any(h.cause.entity == fault.service for h in record.hypotheses)
    if isinstance(record, sc.ActionEvent):
        return record.at_ns > fault.at_ns and record.hypothesis.cause.entity == fault.service
    return False


def _document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    document: dict[str, Any] = {
        "command": " ".join(["python -m bench.live", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit.stdout.strip(), "n": len(rows),
    }  # fmt: skip
    is_right = True
    for hop in ("anomaly", "incident", "diagnosis", "decision"):
        asked = [row for row in rows if hop == "anomaly" or row["kind"] == "bad deploy"]  # gauges open no incident
        seconds = [row[hop] for row in asked if row[hop] is not None]
        document[f"{hop}_p50_s"], document[f"{hop}_p95_s"] = quantile(seconds, 0.5), quantile(seconds, 0.95)
        document[f"{hop}_never"] = f"{len(asked) - len(seconds)} of {len(asked)}"
        if hop in BUDGET_S:
            reached = document[f"{hop}_p95_s"]
            is_right = is_right and reached is not None and reached <= BUDGET_S[hop]
    by_chance = sum(row["by_chance"] for row in rows) / max(len(rows), 1)
    return document | {"anomaly_by_chance": round(by_chance, 3), "is_right": is_right}


if __name__ == "__main__":
    sys.exit(main())
