"""How often a healthy fleet pages, and what is found at that price: `python -m bench.pages [--json]`.

A simulated fleet, not recorded data: services of 250 gauges each, a sixth of them what users feel (latencies, shares of
errors and successes), the others resources. Each has its own level, daily swing, inertia and log-normal noise, and in
one window of two thousand a spike that is gone the next minute (a job, a pause), twice as high on average. Two days
teach the detectors of the default set; then a week is watched in which nothing is wrong, so every incident that opens
is a false page. On the day after each service has one fault of half an hour: a third of its latencies rise by a factor.
Incidents open by the rule of the pipeline (`diagnosis/_correlate.py`), for several `diagnosis.open_p`, and with several
`detection.false_share`, one budget for all services.

Services are simulated twenty at a time, each lot with its own seed, so `--services 20` is a tenth of the same fleet.
With `--data D` the noise is real: each gauge is ten days of a one-minute series of the sets `wsd` and `kpi2018` in D,
begun at a midnight of its own, what is labelled as a fault and ten minutes around it left out. Stretches are used again
in other services, with other neighbours, once all were, so such pages come in clumps and their interval is too narrow.
"""

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import schemas as sc
from bench.detection._figures import poisson_interval
from detectors import Detect, FdrLedger, FdrRule, discoveries
from diagnosis._correlate import Around, Group, Settings, arrive, check, close, due_ns
from diagnosis._kinds import SYMPTOMS, kind_of
from diagnosis._related import Topology
from schemas.core import F64, I64, NS, WindowBlock
from tidegate import _catalogue
from tidegate._pipeline import opening

START = 1_767_571_200 * NS
MINUTE, DAY = 60 * NS, 1440
SERIES, LOT = 250, 20
NAMES = (
    *(f"http_latency_p{q}_{i}" for q in (50, 95, 99) for i in range(7)),
    *(f"{name}_{i}" for name in ("success_rate", "error_ratio") for i in range(10)),
    *(f"{name}_{i}" for name in ("cpu_usage", "memory_usage", "qps", "network_bytes", "disk_usage") for i in range(42)),
)[:SERIES]  # fmt: skip
FACTORS = (1.25, 1.5, 2.0, 4.0)
FAULT_MIN, HURT = 30, 7
SPIKES = 1 / 2000
TAUGHT_D = 2
LADDER = (1e-4, 1e-5, 1e-6, 1e-8, 1e-12)
"""Of `diagnosis.open_p`; the third is the default."""
SHARES = (0.05, 0.5)
"""Of `detection.false_share`, each at the default `diagnosis.open_p`."""
AROUND = 10


class Fault(NamedTuple):
    service: int
    begin: int
    factor: float


class Fleet:
    """One lot of services, minute by minute; columns are (services * SERIES,)."""

    def __init__(self, lot: int, services: int) -> None:
        self.rng = rng = np.random.Generator(np.random.PCG64([41, lot]))
        n = services * SERIES
        self.level = np.exp(rng.normal(2, 1.5, n))
        self.swing, self.peak = rng.uniform(0, 0.5, n), rng.uniform(0, DAY, n)
        self.noise, self.inertia = rng.uniform(0.01, 0.15, n), rng.choice([0.0, 0.5, 0.8, 0.95], n)
        self.own = np.sqrt(1 - self.inertia**2) * self.noise
        self.state = np.zeros(n)
        self.defs = {
            row: _definition(lot * LOT + row // SERIES, NAMES[row % SERIES], row) for row in range(n)
        }  # fmt: skip

    def minute(self, at: int, worse: Iterable[tuple[int, float]]) -> F64:
        """Values of a minute; services of `worse` have latencies so many times what they were."""
        n = len(self.state)
        self.state = self.inertia * self.state + self.own * self.rng.standard_normal(n)
        day = 1.0 + self.swing * np.cos((at % DAY - self.peak) * (2 * np.pi / DAY))
        value = self.level * day * np.exp(self.state)
        spikes = np.flatnonzero(self.rng.random(n) < SPIKES)
        value[spikes] *= 1.0 + self.rng.exponential(size=len(spikes))
        for service, factor in worse:
            value[service * SERIES : service * SERIES + HURT] *= factor
        return np.asarray(value)


class Stretches(NamedTuple):
    """values: a series each, one value a minute. series, begin: of each stretch, its series and first minute."""

    values: list[F64]
    series: I64
    begin: I64
    minutes: int


def stretches_of(data: Path, minutes: int) -> Stretches:
    """Every stretch of so many minutes that begins at a midnight and of which nine tenths are known and unlabelled."""
    values: list[F64] = []
    series: list[int] = []
    begin: list[int] = []
    for file in sorted(file for name in ("wsd", "kpi2018") for file in (data / name).glob("*.npz")):
        with np.load(file) as found:
            t, x, ill = (
                np.concatenate([found[f"train{part}"], found[f"test{part}"]]) for part in ("_timestamp", "", "_label")
            )
        if np.median(np.diff(np.sort(t))) != 60:
            continue
        row = ((t - t.min() // 86_400 * 86_400) // 60).astype(np.int64)
        line = np.full(int(row.max()) + 1, np.nan)
        line[row] = x
        for at in row[ill > 0].tolist():
            line[max(at - AROUND, 0) : at + AROUND + 1] = np.nan
        for first in range(0, len(line) - minutes, DAY):
            if np.isfinite(line[first : first + minutes]).mean() >= 0.9:
                series.append(len(values))
                begin.append(first)
        values.append(line)
    return Stretches(values, np.array(series, np.int64), np.array(begin, np.int64), minutes)


class RealFleet(Fleet):
    """The same gauges with the values of recorded ones. stretches: float64 (n, minutes), NaN where nothing is known."""

    def __init__(self, lot: int, services: int, stretches: Stretches) -> None:
        super().__init__(lot, services)
        order = np.random.Generator(np.random.PCG64(43)).permutation(len(stretches.begin))
        first = lot * LOT * SERIES
        at = order[(first + np.arange(services * SERIES)) % len(order)]
        minutes = range(stretches.minutes)
        self.table = np.empty((len(minutes), len(at)), np.float32)  # 288 MB for twenty services and ten days
        for column, (s, b) in enumerate(zip(stretches.series[at], stretches.begin[at], strict=True)):
            self.table[:, column] = stretches.values[s][b : b + len(minutes)]

    def minute(self, at: int, worse: Iterable[tuple[int, float]]) -> F64:
        value = self.table[at].astype(np.float64)
        for service, factor in worse:
            value[service * SERIES : service * SERIES + HURT] *= factor
        return np.asarray(value)


class Lot(NamedTuple):
    """symptoms: anomalies that may open an incident, by minute they were told. discoveries: up to which p, by share and
    minute.
    """

    symptoms: list[tuple[int, sc.Anomaly]]
    discoveries: dict[float, dict[int, float]]
    services: list[str]
    faults: list[Fault]
    anomalies: int
    points: int


def run(lot: int, services: int, days: int, lots: int = 1, real: Stretches | None = None) -> Lot:
    """Everything of one lot of so many up to anomalies."""
    fleet = Fleet(lot, services) if real is None else RealFleet(lot, services, real)
    detect = Detect(_catalogue.detectors(()))
    detect.use_kernels()
    state, n = detect.initial(), services * SERIES
    faulty = (TAUGHT_D + days) * DAY
    faults = [
        Fault(s, faulty + int(fleet.rng.integers(0, DAY - 2 * FAULT_MIN)), FACTORS[(lot + s) % len(FACTORS)])
        for s in range(services)
    ]
    symptoms: list[tuple[int, sc.Anomaly]] = []
    rules = {share: FdrRule(share / lots) for share in SHARES}
    ledgers, upto = {share: FdrLedger() for share in SHARES}, {share: dict[int, float]() for share in SHARES}
    total = 0
    for at in range(faulty + DAY):
        worse = [(f.service, f.factor) for f in faults if f.begin <= at < f.begin + FAULT_MIN] if at >= faulty else []
        state, found = detect.observe(state, _block(at, fleet.minute(at, worse), n), fleet.defs)
        if at >= TAUGHT_D * DAY:
            total += len(found)
            p = np.array([one.p_value for one in found])
            for share, rule in rules.items():
                upto[share][at] = discoveries(ledgers[share], p, n, START + (at + 1) * MINUTE, rule)
            symptoms += [(at, one) for one in found if kind_of(one) in SYMPTOMS]
    return Lot(symptoms, upto, [_name(lot * LOT + s) for s in range(services)], faults, total, n * (faulty + DAY))


def opened(
    symptoms: Iterable[tuple[int, sc.Anomaly]], settings: Settings, services: Iterable[str]
) -> list[tuple[int, set[str]]]:
    """Incidents by the minute they opened in, with the services that they began with."""
    group, found = Group(), []
    around = Around(topology=Topology(known=set(services)))
    by_minute: dict[int, list[sc.Anomaly]] = {}
    for at, one in symptoms:
        by_minute.setdefault(at, []).append(one)
    for at, some in sorted(by_minute.items()):
        now = START + (at + 1) * MINUTE
        for over in [one for one in group.open if due_ns(one, settings) < now]:
            close(group, over, due_ns(over, settings), settings)
        before = {one.id for one in group.open}
        for anomaly in some:
            arrive(group, anomaly, now, settings)
        check(group, ("default", "d"), settings, around)
        found += [(at, set(one.services)) for one in group.open if one.id not in before]
    return found


def figures(lots: list[Lot], days: int, settings: Settings, share: float = 0.0) -> dict[str, Any]:
    """Pages of the quiet week and what was found of the day of faults, by its factor."""
    quiet, right = 0, {factor: [0, 0] for factor in FACTORS}
    for lot in lots:
        told = [(at, one) for at, one in lot.symptoms if not share or one.p_value <= lot.discoveries[share][at]]
        pages = opened(told, settings, lot.services)
        faulty = (TAUGHT_D + days) * DAY
        quiet += sum(at < faulty for at, _ in pages)
        for fault in lot.faults:
            name = lot.services[fault.service]
            hit = any(fault.begin <= at < fault.begin + FAULT_MIN + 5 and name in about for at, about in pages)
            right[fault.factor][0] += hit
            right[fault.factor][1] += 1
    return _row({"open_p": settings.open_p, "open_orders": settings.open_orders, "false_share": share, "pages": quiet,
                 "found": {str(factor): pair for factor, pair in right.items()}}, days)  # fmt: skip


def _row(counted: dict[str, Any], days: int) -> dict[str, Any]:
    """What follows from the counts."""
    low, high = poisson_interval(counted["pages"])
    pairs = counted["found"]
    return {
        **counted, "pages_per_week": counted["pages"] * 7 / days, "interval95": [low * 7 / days, high * 7 / days],
        "recall": {factor: hit / max(n, 1) for factor, (hit, n) in pairs.items()},
        "recall_all": sum(hit for hit, _ in pairs.values()) / sum(n for _, n in pairs.values()),
    }  # fmt: skip


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Several slices of one fleet as one."""
    first, days = parts[0], parts[0]["days"]
    sums = ("services", "series", "points", "anomalies", "symptoms", "cpu_s")
    rows = {
        kind: [
            _row({**{key: same[0][key] for key in ("open_p", "open_orders", "false_share")},
                  "pages": sum(one["pages"] for one in same),
                  "found": {factor: [sum(one["found"][factor][i] for one in same) for i in (0, 1)]
                            for factor in same[0]["found"]}}, days)
            for same in zip(*(part[kind] for part in parts), strict=True)
        ]
        for kind in ("thresholds", "false_shares")
    }  # fmt: skip
    return {**first, **{key: sum(part[key] for part in parts) for key in sums}, **rows}


def measure(
    services: int, days: int, data: Path | None = None, first: int = 0, fleet: int | None = None
) -> dict[str, Any]:
    """Keys of the JSON object. first: the lot to begin with. fleet: services that share one budget, else these."""
    begin, count = time.process_time(), -(-(fleet or services) // LOT)
    real = None if data is None else stretches_of(data, (TAUGHT_D + days + 1) * DAY)
    lots = [run(first + at // LOT, min(LOT, services - at), days, count, real) for at in range(0, services, LOT)]
    usual = Settings().open_p
    return {
        "services": services, "series": services * SERIES, "days": days, "points": sum(lot.points for lot in lots),
        "anomalies": sum(lot.anomalies for lot in lots), "symptoms": sum(len(lot.symptoms) for lot in lots),
        "thresholds": [figures(lots, days, opening(open_p)) for open_p in LADDER],
        "false_shares": [figures(lots, days, opening(usual), share) for share in SHARES],
        "real_stretches": None if real is None else len(real.begin),
        "cpu_s": time.process_time() - begin,
    }  # fmt: skip


def _block(at: int, value: F64, n: int) -> WindowBlock:
    rows, blank = np.arange(n), np.full(n, np.nan)
    return WindowBlock(
        start_ns=START + at * MINUTE, end_ns=START + (at + 1) * MINUTE, series=rows.astype(np.uint64), rows=rows,
        total=value, mean=value, low=value, high=value, last=value, count=np.full(n, 6), expected=np.full(n, 6.0),
        weight=blank, recorded=np.ones(n),
    )  # fmt: skip


def _name(service: int) -> str:
    return f"svc{service:04d}"


def _definition(service: int, name: str, row: int) -> sc.SeriesDef:
    return sc.SeriesDef(
        id=f"{row:016x}", entity_id=f"default/service/{_name(service)}", service=_name(service), name=name, unit="1"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.pages", description=__doc__)
    parser.add_argument("--services", type=int, default=200)
    parser.add_argument("--days", type=int, default=7, help="days without a fault that are watched")
    parser.add_argument("--data", type=Path, help="directory with wsd/ or kpi2018/: real series as noise")
    parser.add_argument("--first-lot", type=int, default=0, help="of twenty services, to measure a fleet in slices")
    parser.add_argument("--fleet", type=int, help="services that share one budget; else those of this slice")
    parser.add_argument("--join", type=Path, nargs="+", help="outputs of slices, to be put together instead")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    chosen = parser.parse_args()
    if chosen.join:
        found = joined([json.loads(file.read_text().strip().splitlines()[-1]) for file in chosen.join])
    else:
        found = measure(chosen.services, chosen.days, chosen.data, chosen.first_lot, chosen.fleet)
    if not chosen.json:
        print(f"{found['services']} services, {found['series']:,} series, {found['anomalies']:,} anomalies")
        for one in found["thresholds"] + found["false_shares"]:
            low, high = one["interval95"]
            told = ", ".join(f"x{factor} {share:.2f}" for factor, share in one["recall"].items())
            print(
                f"open_p {one['open_p']:.0e}, false share {one['false_share']:g}: {one['pages_per_week']:.1f} false "
                f"pages a week (95% {low:.1f} to {high:.1f}); faults found: {told}"
            )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
