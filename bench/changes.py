"""How often a healthy deploy is called worse, and how soon a bad one is: `python -m bench.changes [--json]`.

A simulated plant, not recorded data: services whose traffic has a day, whose failures come in clumps, wander by a third
of themselves from hour to hour (one by one, and all together), and rise with load; latency likewise. Each service is
deployed every eight hours; one deploy in ten is bad in one of five ways, on one endpoint. Days are busy at random:
traffic of all doubles for some hours. What is counted: deploys with an anomaly of `change_watch` that was not withdrawn
within the hour, with any at all, beyond the p at which one alone opens an incident, and minutes to the first.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import schemas as sc
from detectors import Watching
from schemas.core import NS

START = 1_767_225_600 * NS
MINUTE = 60 * NS
STATUSES = (("", 0.002), ("404", 0.01), ("422", 0.005))
EVERY_MIN, WARM_MIN = 480, 1440
BAD_SHARE, CLUMP = 0.1, 1.4
WAYS = ("422 five times", "422 ten times", "5xx ten times", "a third slower", "twice as slow")
OPEN_P = 1e-6
BUCKETS = np.arange(-80, 40)


@dataclass(slots=True)
class Told:
    """What was said of one deploy."""

    way: int = -1
    at_min: int = 0
    endpoint: str = ""
    first_min: float | None = None
    p: float = 1.0
    right: bool = False
    fires: set[str] = field(default_factory=set)
    withdrawn: int = 0
    verdicts: set[str] = field(default_factory=set)


class Plant:
    """Endpoints of services minute by minute; all columns (endpoints,) or (endpoints, statuses)."""

    def __init__(self, rng: np.random.Generator, services: int, endpoints: int) -> None:
        self.rng, self.n = rng, services * endpoints
        self.service = np.repeat(np.arange(services), endpoints)
        self.per_minute = np.exp(rng.uniform(np.log(5), np.log(300), self.n))
        self.share = np.array([s for _, s in STATUSES]) * np.exp(rng.normal(0, 0.5, (self.n, len(STATUSES))))
        self.wander = np.zeros((self.n, len(STATUSES)))
        self.common = np.zeros(len(STATUSES))
        self.slow, self.seconds = np.zeros(self.n), np.exp2(rng.normal(-4, 1, self.n))
        self.worse = np.ones((self.n, len(STATUSES)))
        self.slower = np.ones(self.n)
        self.busy_until = 0
        names = [("span.requests", ""), *(("span.errors", status) for status, _ in STATUSES), ("span.duration", "")]
        self.defs = [[_series(int(s), i, *name) for i, s in enumerate(self.service)] for name in names]
        self.ids = [np.array([int(d.id, 16) for d in column], np.uint64) for column in self.defs]

    def minute(self, at: int) -> Iterator[sc.Frame | sc.HistogramFrame]:
        rng = self.rng
        self.wander = self.wander * (1 - 1 / 180) + 0.3 * np.sqrt(2 / 180) * rng.standard_normal(self.wander.shape)
        self.common = self.common * (1 - 1 / 180) + 0.15 * np.sqrt(2 / 180) * rng.standard_normal(self.common.shape)
        self.slow = self.slow * (1 - 1 / 180) + 0.05 * np.sqrt(2 / 180) * rng.standard_normal(self.n)
        if at >= self.busy_until and rng.random() < 1 / 2880:
            self.busy_until = at + int(rng.integers(120, 360))
        load = (1 + 0.5 * np.sin(2 * np.pi * at / 1440)) * (2.0 if at < self.busy_until else 1.0)
        n = rng.poisson(self.per_minute * load * np.exp(0.05 * rng.standard_normal(self.n)))
        share = self.share * np.exp(self.wander + self.common) * load**0.5 * self.worse
        k = np.minimum(np.round(CLUMP * rng.binomial(n[:, None], np.clip(share / CLUMP, 0, 1))), n[:, None])
        middle = np.log2(self.seconds * self.slower * load**0.1) + self.slow
        from scipy.special import ndtr

        below = ndtr(((BUCKETS + 1) / 8 - middle[:, None]) / 0.8)
        part = np.diff(below, axis=1, prepend=0.0)
        part[:, -1] += 1 - below[:, -1]
        counts = np.array([rng.multinomial(m, p) for m, p in zip(n, part, strict=True)])
        t = START + at * MINUTE
        series = np.concatenate(self.ids[:-1])
        value = np.concatenate([n, *k.T]).astype(np.float64)
        defs = [d for column in self.defs for d in column] if at == 0 else []
        yield sc.Frame(series, np.full(len(series), t), value, sc.SeriesDefs.of(defs))
        row, bucket = np.nonzero(counts)
        yield sc.HistogramFrame(
            self.ids[-1][row], np.full(len(row), t), BUCKETS[bucket].astype(np.int16), counts[row, bucket],
            sc.SeriesDefs.of([]),
        )  # fmt: skip

    def deploy(self, service: int, way: int) -> str:
        """The service as it is from now on; what was bad before is mended. Returns the endpoint that is ill."""
        mine = np.flatnonzero(self.service == service)
        self.worse[mine], self.slower[mine] = 1.0, 1.0
        if way < 0:
            return ""
        ill = int(self.rng.choice(mine))
        if way < 3:
            self.worse[ill, 0 if way == 2 else 2] = (5.0, 10.0, 10.0)[way]
        else:
            self.slower[ill] = (4 / 3, 2.0)[way - 3]
        return f"GET /{ill}"


def _series(service: int, endpoint: int, name: str, status: str) -> sc.SeriesDef:
    labels = {"endpoint": f"GET /{endpoint}"} | ({"status": status} if status else {})
    entity = sc.Entity(service=f"s{service}", name=f"s{service}").entity_id
    return sc.SeriesDef(
        id=f"{sc.series_id('default', entity, name, labels):016x}", entity_id=entity, service=f"s{service}", name=name,
        labels=labels, kind="count", temporality="delta", is_event=True, signal="traces",
        is_histogram=name == "span.duration",
    )  # fmt: skip


def measure(seed: int, days: int, services: int, endpoints: int) -> dict[str, Any]:
    """Everything that was said of all deploys, and the time it took."""
    rng = np.random.default_rng(seed)
    plant, watching = Plant(rng, services, endpoints), Watching()
    state, told = watching.initial(), dict[str, Told]()
    when = {service: WARM_MIN + int(rng.integers(0, EVERY_MIN)) for service in range(services)}
    core_s = 0.0
    for at in range(days * 1440):
        for service in [s for s, due in when.items() if due == at]:
            when[service] += EVERY_MIN
            way = int(rng.integers(len(WAYS))) if rng.random() < BAD_SHARE else -1
            change = sc.Change(
                id=f"{service}/{at}", entity_id=f"default/service/s{service}", service=f"s{service}", kind="deploy",
                at_ns=START + at * MINUTE, title="deploy",
            )  # fmt: skip
            told[change.id] = Told(way, at, plant.deploy(service, way))
            watching.change(state, change)
        frames = list(plant.minute(at))
        begin = time.process_time()
        for frame in frames:
            if isinstance(frame, sc.Frame):
                watching.points(state, frame)
            else:
                watching.histograms(state, frame)
        said = list(watching.close(state, START + (at + 1) * MINUTE))
        core_s += time.process_time() - begin
        for record in said:
            _note(told, record, at)
    rows = {WAYS[way]: _row([t for t in told.values() if t.way == way]) for way in range(len(WAYS))}
    return {
        "seed": seed, "days": days, "services": services, "endpoints": services * endpoints,
        "healthy": _row([t for t in told.values() if t.way < 0]), "bad": rows,
        "cpu_us_a_minute_and_rate": 1e6 * core_s / (days * 1440) / len(state.rows),
    }  # fmt: skip


def _note(told: dict[str, Told], record: sc.Anomaly | sc.ChangeVerdict, at: int) -> None:
    if isinstance(record, sc.ChangeVerdict):
        told[record.change_id].verdicts.add(record.verdict)
        return
    one = told[record.labels["change"]]
    if record.status == "withdrawn":
        one.withdrawn += 1
        one.fires.discard(record.id)
        return
    one.fires.add(record.id)
    one.p = min(one.p, record.p_value)
    if one.way < 0 or record.labels["endpoint"] == one.endpoint:
        one.right = True
        if one.first_min is None:
            one.first_min = float(at + 1 - one.at_min)


def _row(found: list[Told]) -> dict[str, Any]:
    """Counts of deploys."""
    first = sorted(t.first_min for t in found if t.first_min is not None)
    return {
        "deploys": len(found), "called": sum(t.right for t in found),
        "stands": sum(t.right and bool(t.fires) for t in found), "withdrawn": sum(t.withdrawn > 0 for t in found),
        "opens": sum(t.right and t.p < OPEN_P for t in found),
        "not_worse": sum("not_worse" in t.verdicts and "worse" not in t.verdicts for t in found),
        "median_min": first[len(first) // 2] if first else None,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--services", type=int, default=20)
    parser.add_argument("--endpoints", type=int, default=4, help="of each service")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = measure(given.seed, given.days, given.services, given.endpoints)
    if given.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{'deploys':28} {'n':>5} {'called':>7} {'stands':>7} {'opens':>6} {'not worse':>10} {'median min':>11}")
    for name, row in (("healthy", result["healthy"]), *result["bad"].items()):
        numbers = f"{row['deploys']:5} {row['called']:7} {row['stands']:7} {row['opens']:6} {row['not_worse']:10}"
        print(f"{name:28} {numbers} {row['median_min'] or '':>11}")
    print(f"{result['cpu_us_a_minute_and_rate']:.1f} CPU-us a minute and rate")


if __name__ == "__main__":
    main()
