"""How often a service that is merely quiet is said to be silent, and what lost telemetry is found: `bench.silences`.

Simulated minute counts of lines or spans of services of four ways of life, for two weeks in which nothing is lost:
`swinging` ones have 0.05 to 3,000 a minute, which fall by night to a share between all and a ten-thousandth, wander by
a third within an hour and come in clumps; `office` ones stop at once in the evening and at weekends; `jobs` run for
some minutes every quarter to six hours; `rare` ones speak at random, once in two minutes to once in two hours. On the
day after each loses everything for three hours. A finding is the first window of a silence with so small a p; losses
are counted where the service spoke in the ten minutes before, so that a person could notice.
"""

import argparse
import json
import time
from typing import Any

import numpy as np

from bench.detection._figures import poisson_interval
from detectors.signal_silent import SignalSilent
from diagnosis._unheard import SILENT_P
from schemas.core import F64, I64, NS, Bool, WindowBlock

MINUTE, DAY = 60 * NS, 1440
START = 1_767_571_200 * NS  # a Monday
TAUGHT_D, LOST_MIN = 14, 180
WAYS = ("swinging", "office", "jobs", "rare")
SPOKE_MIN = 10
LADDER = (SILENT_P, 1e-3, 1e-4)
"""Of p; the first is that from which on diagnosis believes less."""
BUSY = (1.0, 10.0, 100.0)
"""Counts a minute of the last hour that part services where losses are counted."""


class Services:
    """Counts minute by minute; columns are (services,), a quarter of each way."""

    def __init__(self, seed: int, services: int) -> None:
        self.rng = rng = np.random.Generator(np.random.PCG64([61, seed]))
        self.n, self.way = services, np.arange(services) % len(WAYS)
        self.rate = np.exp(rng.uniform(np.log(0.05), np.log(3000.0), services))
        self.rate = np.where(self.way == 3, np.exp(rng.uniform(np.log(1 / 120), np.log(0.5), services)), self.rate)
        self.night, self.peak = 10.0 ** -rng.uniform(0, 4, services), rng.uniform(0, DAY, services)
        self.opens, self.hours = rng.integers(6, 10, services) * 60, rng.integers(7, 12, services) * 60
        self.every, self.takes = rng.integers(15, 360, services), rng.integers(1, 12, services)
        self.clump, self.state = rng.choice([1.0, 1.0, 3.0, 10.0], services), 0.3 * rng.standard_normal(services)

    def minute(self, at: int) -> F64:
        """Lines of a minute, float64 (n,)."""
        fresh = np.sqrt(1 - np.exp(-2 / 60)) * 0.3 * self.rng.standard_normal(self.n)
        self.state = np.exp(-1 / 60) * self.state + fresh
        depth = (1.0 - np.cos((at % DAY - self.peak) * (2 * np.pi / DAY))) / 2.0
        rate = self.rate * np.exp(self.state) * np.where(self.way == 0, self.night**depth, 1.0)
        is_open = (at % DAY >= self.opens) & (at % DAY < self.opens + self.hours) & (at // DAY % 7 < 5)
        runs = at % self.every < self.takes
        rate = np.where(self.way == 1, rate * is_open, rate)
        rate = np.where(self.way == 2, np.maximum(self.rate, 5.0) * runs, rate)
        begun = self.rng.poisson(rate / self.clump)
        more = self.rng.negative_binomial(np.maximum(begun, 1), 1.0 / self.clump)
        return np.asarray(begun + np.where(begun > 0, more, 0), np.float64)


def measure(services: int, seed: int) -> dict[str, Any]:
    """Keys of the JSON object."""
    begin = time.process_time()
    fleet, detector = Services(seed, services), SignalSilent()
    state, rng = detector.initial(services), np.random.Generator(np.random.PCG64([67, seed]))
    lost = TAUGHT_D * DAY + rng.integers(60, DAY - LOST_MIN, services)
    spoke, hour = np.full(services, -DAY), np.zeros((60, services))
    false, told = np.zeros((len(LADDER), TAUGHT_D, services), np.int64), np.zeros((len(LADDER), services), bool)
    late = np.full((len(LADDER), services), -1)
    busy, could = np.zeros(services), np.zeros(services, bool)
    bounds = np.array(LADDER)[:, None]
    for at in range((TAUGHT_D + 1) * DAY):
        is_lost = (at >= lost) & (at < lost + LOST_MIN)
        count = np.where(is_lost, 0.0, fleet.minute(at))
        block = _block(at, count)
        found = detector.score(state, block).p <= bounds
        state = detector.learn(state, block)
        if at < TAUGHT_D * DAY:
            false[:, at // DAY] += found & ~told
        now = at == lost
        busy, could = np.where(now, hour.mean(axis=0), busy), np.where(now, at - spoke <= SPOKE_MIN, could)
        late = np.where(found & (late < 0) & is_lost, at - lost + 1, late)
        told, hour[at % 60], spoke = found, count, np.where(count > 0, at, spoke)
    return {
        "services": services, "seed": seed, "days": TAUGHT_D,
        "p": {
            f"{p:g}": {
                way: {"false": _false(false[i][:, fleet.way == code]), "found": _found(late[i], busy, could & mine)}
                for code, way in enumerate(WAYS)
                for mine in (fleet.way == code,)
            }
            for i, p in enumerate(LADDER)
        },
        "cpu_s": time.process_time() - begin,
    }  # fmt: skip


def _false(by_day: I64) -> dict[str, Any]:
    """Findings a service and week, with their 95 % interval: of the first day, the rest of its week, the next week."""
    out: dict[str, Any] = {}
    for name, part in (("first_day", by_day[:1]), ("first_week", by_day[1:7]), ("second_week", by_day[7:])):
        weeks, n = part.size / 7, int(part.sum())
        low, high = poisson_interval(n)
        out[name] = {"findings": n, "a_week": n / weeks, "interval95": [low / weeks, high / weeks]}
    return out


def _found(late: I64, busy: F64, could: Bool) -> dict[str, Any]:
    """Losses that a person could notice, by how much there was in the hour before: how many, and after how long."""
    part = np.searchsorted(BUSY, busy, side="right")
    out = {}
    for code, name in enumerate(("below 1", "below 10", "below 100", "100 and more")):
        mine = late[could & (part == code)]
        found = mine[mine > 0]
        median = float(np.median(found)) if len(found) else None
        out[name] = {"found": len(found), "of": len(mine), "median_minutes": median}
    return out


def _block(at: int, count: F64) -> WindowBlock:
    n, rows = len(count), np.arange(len(count))
    return WindowBlock(
        start_ns=START + at * MINUTE, end_ns=START + (at + 1) * MINUTE, series=rows.astype(np.uint64), rows=rows,
        total=count, mean=count, low=count, high=count, last=count, count=np.full(n, 6), expected=np.full(n, 6.0),
        weight=np.full(n, np.nan), recorded=np.ones(n), is_tumbling=True, weight_before=None,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.silences", description=__doc__)
    parser.add_argument("--services", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=100, help="seeds below 100 were looked at while it was made")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    chosen = parser.parse_args()
    measured = measure(chosen.services, chosen.seed)
    for p, by_way in measured["p"].items() if not chosen.json else ():
        for way, one in by_way.items():
            rates = ", ".join(f"{name} {of['a_week']:.4f}" for name, of in one["false"].items())
            told = ", ".join(f"{name} {of['found']} of {of['of']}" for name, of in one["found"].items())
            print(f"p {p}, {way}: false findings a service and week {rates}; losses found by rate: {told}")
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
