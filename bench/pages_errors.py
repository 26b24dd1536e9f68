"""How often shares of errors page a healthy fleet, and what is found at that price: `python -m bench.pages_errors`.

A simulated fleet beside that of `bench.pages`, which has gauges only. Each service has twelve counts of errors, each of
the requests of one endpoint. Of each: 3 to 30,000 requests a minute with a daily swing; a share of errors between 1e-5
and 5 %; slow wander of that share (up to a factor of two as a standard deviation, within an hour, six or a day), spread
from minute to minute beside it (a coefficient of variation of up to .6), and errors that come several at once, as a
request that failed is tried again. A third of the series do not wander, half have no spread: those are the calm ones.

Two days teach `error_ratio`; in so many days after them nothing is wrong, so every incident that opens is a false page.
On the day after each service has a fault of half an hour: 1 %, 2 % or 5 % of the requests of one endpoint begin to
fail. On the day after that four of its quiet endpoints have one each that a person would see, a quarter of an hour in
which a fifth, half or all of the requests fail. Windows of a minute slide by ten seconds, as in the pipeline, and
incidents open by its rule. Beside the detector as it is stands the one that never believes a share to be calm: what
calm shares cost and find is the difference.
Lots below `HELD_OUT` were looked at while the detector was changed; the others were not.
"""

import argparse
import json
import time
from collections import deque
from typing import Any, NamedTuple

import numpy as np

import schemas as sc
from bench.detection._figures import poisson_interval
from bench.pages import DAY, FAULT_MIN, LADDER, LOT, MINUTE, START, TAUGHT_D, opened
from detectors import Detect
from detectors._contract import State
from detectors.error_ratio import ErrorRatio
from diagnosis._kinds import SYMPTOMS, kind_of
from schemas.core import F64, NS, WindowBlock
from tidegate._pipeline import opening

SERIES = 12
TICK_S, TICKS = 10, 6
REQUESTS, SHARES = (3.0, 30_000.0), (1e-5, 0.05)
WANDER, WANDER_H = (0.0, 0.0, 0.1, 0.2, 0.35, 0.7), (1.0, 6.0, 24.0)
SPREAD, CLUMPS = (0.0, 0.0, 0.0, 0.1, 0.3, 0.6), (1.0, 1.0, 1.5, 3.0)
ADDED = (0.01, 0.02, 0.05)
BUSY = (100.0, 1000.0)
"""Requests a minute that part quiet, middling and busy endpoints where faults are counted."""
SEVERE, SEVERE_MIN, SEVERE_A_DAY = (0.2, 0.5, 1.0), 15, 4
FEW = (10.0, 30.0)
"""Requests a minute that part quiet endpoints where severe faults are counted."""
FEW_NAMES = ("below 10", "below 30", "below 100")
HELD_OUT = 100


class Wide(ErrorRatio):
    """No share is ever calm."""

    def initial(self, n: int) -> State:
        return {**super().initial(n), "strayed": np.full(n, np.inf)}


class Fault(NamedTuple):
    row: int
    begin: int
    added: float
    minutes: int = FAULT_MIN


class Found(NamedTuple):
    """symptoms: by minute they were told. faults: with requests a minute of their endpoint; severe: likewise."""

    symptoms: list[tuple[int, sc.Anomaly]]
    faults: list[tuple[Fault, float]]
    severe: list[tuple[Fault, float]] = []


class Errors:
    """One lot of services, minute by minute; columns are (services * SERIES,)."""

    def __init__(self, lot: int, services: int) -> None:
        self.rng = rng = np.random.Generator(np.random.PCG64([47, lot]))
        n = services * SERIES
        self.requests = np.exp(rng.uniform(np.log(REQUESTS[0]), np.log(REQUESTS[1]), n))
        self.swing, self.peak = rng.uniform(0, 0.8, n), rng.uniform(0, DAY, n)
        self.share = np.exp(rng.uniform(np.log(SHARES[0]), np.log(SHARES[1]), n))
        self.wander, hours = rng.choice(WANDER, n), rng.choice(WANDER_H, n)
        self.kept = np.exp(-1.0 / (60.0 * hours))
        self.spread, self.clump = rng.choice(SPREAD, n), rng.choice(CLUMPS, n)
        self.state = self.wander * rng.standard_normal(n)

    def minute(self, at: int, added: F64) -> tuple[F64, F64]:
        """Errors and requests of its six ticks, float64 (6, n) each. added: share of new errors (n,)."""
        rng, n = self.rng, len(self.state)
        fresh = np.sqrt(1.0 - self.kept**2) * self.wander * rng.standard_normal(n)
        self.state = self.kept * self.state + fresh
        shape = np.where(self.spread > 0, 1.0 / np.maximum(self.spread, 1e-3) ** 2, 1.0)
        spread = np.where(self.spread > 0, rng.gamma(shape) / shape, 1.0)
        share = np.minimum(self.share * np.exp(self.state) * spread, 0.5)
        share = share + added * (1.0 - share)
        day = 1.0 + self.swing * np.cos((at % DAY - self.peak) * (2 * np.pi / DAY))
        requests = rng.poisson(self.requests * day / TICKS, (TICKS, n))
        begun = rng.binomial(requests, share / self.clump)
        more = rng.negative_binomial(np.maximum(begun, 1), 1.0 / self.clump, (TICKS, n))
        errors = begun + np.where(begun > 0, more, 0)  # as often as it takes: a geometric number, `clump` on average
        return np.minimum(errors, requests).astype(float), requests.astype(float)


def run(lot: int, services: int, days: int, detectors: dict[str, ErrorRatio]) -> dict[str, Found]:
    """Everything of one lot up to anomalies, by name of the detector; all see the same errors."""
    fleet, n = Errors(lot, services), services * SERIES
    defs = {row: _definition(lot * LOT + row // SERIES, row) for row in range(n)}
    cores = {name: Detect([one]) for name, one in detectors.items()}
    states = {name: core.initial() for name, core in cores.items()}
    faulty = (TAUGHT_D + days) * DAY
    faults = [
        Fault(s * SERIES + int(fleet.rng.integers(SERIES)), faulty + int(fleet.rng.integers(DAY - 2 * FAULT_MIN)),
              ADDED[(lot + s) % len(ADDED)])
        for s in range(services)
    ]  # fmt: skip
    severe = severe_of(lot, fleet, faulty + DAY)
    symptoms: dict[str, list[tuple[int, sc.Anomaly]]] = {name: [] for name in detectors}
    before: deque[tuple[F64, F64]] = deque([(np.zeros(n), np.zeros(n))] * TICKS, TICKS)
    errors, requests, served = np.zeros(n), np.zeros(n), np.zeros(n)
    for at in range(faulty + 2 * DAY):
        added = np.zeros(n)
        for fault in (*faults, *severe):
            if fault.begin <= at < fault.begin + fault.minutes:
                added[fault.row] = fault.added
        for tick, (k, r) in enumerate(zip(*fleet.minute(at, added), strict=True)):
            gone_k, gone_r = before[0]
            before.append((k, r))
            errors, requests, served = errors + k - gone_k, requests + r - gone_r, served + gone_r
            if at < TAUGHT_D * DAY and tick < TICKS - 1:
                continue
            block = _block(at * TICKS + tick + 1, errors, requests, served)
            for name, core in cores.items():
                states[name], found = core.observe(states[name], block, defs)
                symptoms[name] += [(at, one) for one in found if at >= TAUGHT_D * DAY and kind_of(one) in SYMPTOMS]
    told, plain = ([(fault, float(fleet.requests[fault.row])) for fault in some] for some in (faults, severe))
    return {name: Found(some, told, plain) for name, some in symptoms.items()}


def severe_of(lot: int, fleet: Errors, first: int) -> list[Fault]:
    """Severe faults of a day that begins at minute `first`: of each service four quiet endpoints, six hours apart."""
    rng, apart = np.random.Generator(np.random.PCG64([53, lot])), DAY // SEVERE_A_DAY
    found = list[Fault]()
    for service in range(len(fleet.requests) // SERIES):
        rows = service * SERIES + np.flatnonzero(fleet.requests[service * SERIES :][:SERIES] < BUSY[0])
        for slot, row in enumerate(rng.permutation(rows)[:SEVERE_A_DAY].tolist()):
            begin = first + slot * apart + int(rng.integers(apart - 2 * FAULT_MIN))
            found.append(Fault(row, begin, SEVERE[(service + slot) % len(SEVERE)], SEVERE_MIN))
    return found


def figures(lots: list[Found], first: int, services: int, days: int, open_p: float) -> dict[str, Any]:
    """Pages of the quiet days and what was found of the days of faults, by what was added and how busy it was.

    severe_minutes: median of those that were found, counted from the first minute of the fault.
    """
    quiet, faulty, settings = 0, (TAUGHT_D + days) * DAY, opening(open_p)
    right = {f"{added:g}": {busy: [0, 0] for busy in ("quiet", "middling", "busy")} for added in ADDED}
    severe = {f"{added:g}": {few: [0, 0] for few in FEW_NAMES} for added in SEVERE}
    crying, late = dict[str, int](), list[int]()
    for number, lot in enumerate(lots):
        names = [_name((first + number) * LOT + s) for s in range(min(LOT, services - number * LOT))]
        pages = opened(lot.symptoms, settings, names)
        for at, about in pages:
            if at < faulty:
                quiet += 1
                for name in about:
                    crying[name] = crying.get(name, 0) + 1
        for faults, table, part in ((lot.faults, right, _busy), (lot.severe, severe, _few)):
            for fault, requests in faults:
                name = names[fault.row // SERIES]
                after = [at - fault.begin for at, about in pages if name in about]
                told = [since for since in after if 0 <= since < fault.minutes + 5]
                of = table[f"{fault.added:g}"][part(requests)]
                of[0] += bool(told)
                of[1] += 1
                if told and table is severe:
                    late.append(min(told) + 1)
    low, high = poisson_interval(quiet)
    pairs = [pair for by in right.values() for pair in by.values()]
    return {
        "open_p": open_p, "pages": quiet, "pages_per_week": quiet * 7 / days,
        "interval95": [low * 7 / days, high * 7 / days], "services_that_paged": crying, "found": right,
        "found_all": [sum(hit for hit, _ in pairs), sum(n for _, n in pairs)],
        "found_severe": severe, "severe_minutes": float(np.median(late)) if late else None,
    }  # fmt: skip


def measure(services: int, days: int, first: int) -> dict[str, Any]:
    """Keys of the JSON object. first: the lot to begin with."""
    begin = time.process_time()
    lots = [
        run(first + at // LOT, min(LOT, services - at), days, {"error_ratio": ErrorRatio(), "never calm": Wide()})
        for at in range(0, services, LOT)
    ]
    return {
        "services": services, "series": services * SERIES, "days": days, "first_lot": first,
        "is_held_out": first >= HELD_OUT,
        "ways": {
            name: [figures([lot[name] for lot in lots], first, services, days, open_p) for open_p in LADDER]
            for name in lots[0]
        },
        "cpu_s": time.process_time() - begin,
    }  # fmt: skip


def _busy(requests: float) -> str:
    return ("quiet", "middling", "busy")[sum(requests >= bound for bound in BUSY)]


def _few(requests: float) -> str:
    return FEW_NAMES[sum(requests >= bound for bound in FEW)]


def _block(ticks: int, errors: F64, requests: F64, served: F64) -> WindowBlock:
    """The minute that ends after so many ticks; learned where it is a whole one."""
    n = len(errors)
    end = START + ticks * TICK_S * NS
    rows, count = np.arange(n), np.full(n, TICKS)
    return WindowBlock(
        start_ns=end - MINUTE, end_ns=end, series=rows.astype(np.uint64), rows=rows, total=errors, mean=errors,
        low=errors, high=errors, last=errors, count=count, expected=count.astype(float), weight=requests,
        recorded=np.ones(n), is_tumbling=ticks % TICKS == 0, weight_before=served,
    )  # fmt: skip


def _name(service: int) -> str:
    return f"svc{service:04d}"


def _definition(service: int, row: int) -> sc.SeriesDef:
    return sc.SeriesDef(
        id=f"{row:016x}", entity_id=f"default/service/{_name(service)}", service=_name(service), unit="1",
        name="http.server.errors", labels={"endpoint": f"/{row % SERIES}"}, kind="count",
        denominator=f"{row + 10**6:016x}",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.pages_errors", description=__doc__)
    parser.add_argument("--services", type=int, default=20)
    parser.add_argument("--days", type=int, default=7, help="days without a fault that are watched")
    parser.add_argument("--first-lot", type=int, default=HELD_OUT, help="of twenty services; a lot has its own seed")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    chosen = parser.parse_args()
    found = measure(chosen.services, chosen.days, chosen.first_lot)
    for name, rows in found["ways"].items() if not chosen.json else ():
        for one in rows:
            low, high = one["interval95"]
            told = "; ".join(
                f"+{added} " + ", ".join(f"{busy} {hit} of {n}" for busy, (hit, n) in by.items())
                for kind in ("found", "found_severe")
                for added, by in one[kind].items()
            )
            print(f"{name}, open_p {one['open_p']:.0e}: {one['pages_per_week']:.1f} false pages a week "
                  f"(95% {low:.1f} to {high:.1f}); found {told}")  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
