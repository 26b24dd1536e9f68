"""A small web shop that sends OTLP bytes on a virtual clock, and the days that befall it.

Pure and seeded: the same arguments give the same bytes. Eight services with two instances each; traffic has a shape
over the day and noise; requests become spans with parents, log lines and metrics. What goes wrong, and when, is said
by a `Day` (`simulation/shop_days/`, one file each).
"""

from collections.abc import Iterator, Sequence

import numpy as np

import schemas as sc
from schemas.core import I64, NS, Bool, Emit
from simulation._shop_day import Day
from simulation._shop_messages import SOURCE, Messages, change, noted
from simulation._shop_metrics import Meter
from simulation._shop_plan import ENDPOINTS, VERSIONS, Call, Endpoint
from simulation._shop_spans import Part, Requests, Served, standalone

PANE_NS = 10 * NS
ERROR_RATIO = 0.001
"""Share of orders that fail on a good day, 0 to 1."""

_INSTANCES = 2
_CHUNK = 400  # requests served at once, so that a message stays near its size at any rate
_DAY_SWING, _PANE_NOISE = 0.35, 0.04


def shop(
    seed: int, start_ns: int, duration_s: float, *, fault: Day | None = None, rate: float = 40.0
) -> Iterator[Emit]:
    """Everything that the shop sends in `duration_s`, in order of event time, with final marks at the end.

    rate: requests a second at the gateway, on average over a quiet day. Messages hold at most 10 s and about 1000 rows
    of one signal; a Change comes on the raw topic at the second of the deploy. No deploy happens without a fault.
    """
    day = fault or Day()
    plant = _Plant(np.random.Generator(np.random.PCG64(seed)), start_ns, day, rate)
    waiting = [change(deploy, plant.versions[deploy.service], start_ns) for deploy in day.deploys]
    waiting += [noted(entry, start_ns) for entry in day.calendar]
    end_ns = start_ns + round(duration_s * NS)
    waiting = [emit for emit in waiting if start_ns <= emit.event_ns < end_ns]
    for pane in range(start_ns, end_ns, PANE_NS):
        after = min(pane + PANE_NS, end_ns)
        waiting = sorted([*waiting, *plant.run(pane, after)], key=lambda emit: emit.event_ns)
        yield from (emit for emit in waiting if emit.event_ns < after)
        waiting = [emit for emit in waiting if emit.event_ns >= after]
    yield from waiting
    last = max([end_ns, *(emit.event_ns for emit in waiting)])
    for topic in (sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS, sc.RAW):
        mark = sc.Watermark(stage=f"source:{topic}/0", through_ns=last, final=True)
        id = sc.record_id(mark.TYPE, SOURCE, topic, last)
        yield sc.emit(topic, mark, id=id, key="", source=SOURCE, event_ns=last)


def truth(start_ns: int, fault: Day | None) -> list[dict[str, str | int]]:
    """Ground truth in the form of a recording's labels, for evaluation only."""
    if fault is None or fault.cause is None:
        return []
    title, service, family = fault.cause
    return [{"id": title, "at_ns": start_ns + round(fault.at_s * NS), "entity": service, "family": family}]


class _Plant:
    """The running shop. An instance is numbered service * 4 + slot * 2 + (1 once it runs the new version)."""

    def __init__(self, rng: np.random.Generator, start_ns: int, day: Day, rate: float) -> None:
        self._rng, self._start_ns, self._day, self._rate = rng, start_ns, day, rate
        self.versions = {**VERSIONS, **day.services}
        self._services = tuple(self.versions)
        deploys = [deploy for deploy in day.deploys if deploy.kind == "deploy"]
        self._rolls = {
            deploy.service: start_ns
            + np.array([round((deploy.at_s + i * deploy.roll_s) * NS) for i in range(_INSTANCES)])
            for deploy in deploys
        }
        new = {deploy.service: deploy.version for deploy in deploys}
        self._messages = Messages(self._services, self.versions, new)
        self._ways = day.ways
        self._trees = [tuple(way.change(endpoint.call) for way in self._ways) for endpoint in ENDPOINTS]
        self._meters: dict[int, Meter] = {}

    def run(self, pane_ns: int, end_ns: int) -> Iterator[Emit]:
        """Messages of one pane [pane_ns, end_ns), in no order."""
        hour = pane_ns / (3600 * NS) % 24
        shape = 1 + _DAY_SWING * np.sin(2 * np.pi * (hour - 9) / 24)
        mean = self._rate * shape * np.exp(_PANE_NOISE * self._rng.standard_normal()) * (end_ns - pane_ns) / NS
        mean *= self._day.rate(self._age(pane_ns))
        counts = self._rng.multinomial(self._rng.poisson(mean), [endpoint.share for endpoint in ENDPOINTS])
        served = Served()
        for endpoint, trees, count in zip(ENDPOINTS, self._trees, counts.tolist(), strict=True):
            for first in range(0, count, _CHUNK):
                size = min(_CHUNK, count - first)
                self._serve(endpoint, trees, np.sort(self._rng.integers(pane_ns, end_ns, size)), served)
        served.logs += self._lines(pane_ns, end_ns)
        yield from self._messages.of(sc.OTLP_SPANS, served.spans)
        yield from self._messages.of(sc.OTLP_LOGS, served.logs)
        yield from self._messages.of(sc.OTLP_METRICS, self._metrics(served, pane_ns, end_ns))

    def _serve(self, endpoint: Endpoint, trees: Sequence[Call], start: I64, served: Served) -> None:
        slots = self._rng.integers(0, _INSTANCES, (len(VERSIONS), len(start)))
        instances = {service: self._instance(service, slots[i], start) for i, service in enumerate(VERSIONS)}
        luck = self._rng.random(len(start))
        way = np.where((luck < ERROR_RATIO) & (endpoint.timeout is not None), 1, 0)
        taken, age = np.zeros(len(start)), (start - self._start_ns) / NS
        for i, (one, tree) in enumerate(zip(self._ways, trees, strict=True), 2):
            if tree == endpoint.call:
                continue
            here = instances[one.service]
            share = one.share(age, here % 4 // 2) * (here % 2 if one.is_new_only else 1)
            taken = taken + share
            way = np.where((luck < taken) & (share > 0) & (way == 0), i, way)
        for i, call in enumerate((endpoint.call, endpoint.timeout, *trees)):
            rows = np.flatnonzero(way == i)
            if len(rows) and call is not None:
                going = {service: of[rows] for service, of in instances.items()}
                Requests(self._rng, start[rows], going, served, self._kept).serve(call)

    def _kept(self, service: str, end: I64) -> Bool:
        lost = self._day.lost_spans(service, (end - self._start_ns) / NS)
        return self._rng.random(len(end)) >= lost if lost.any() else np.ones(len(end), bool)

    def _instance(self, service: str, slot: I64, at: I64) -> I64:
        rolls = self._rolls.get(service)
        is_new = (at >= rolls[slot]).astype(np.int64) if rolls is not None else 0
        return self._services.index(service) * 4 + slot * 2 + is_new

    def _now(self, t_ns: int) -> Iterator[tuple[str, int, int]]:
        """Service, slot and number of all instances of that time."""
        now = np.array([t_ns] * _INSTANCES)
        for service in self._services:
            for slot, instance in enumerate(self._instance(service, np.arange(_INSTANCES), now).tolist()):
                yield service, slot, instance

    def _lines(self, pane_ns: int, end_ns: int) -> Iterator[Part]:
        for service, slot, instance in self._now(end_ns - 1):
            for line in self._day.lines(service, slot, self._age(pane_ns), self._age(end_ns)):
                yield standalone(instance, self._start_ns + round(line.at_s * NS), line.log)

    def _metrics(self, served: Served, pane_ns: int, end_ns: int) -> Iterator[Part]:
        t_ns = end_ns - 1_000_000  # just inside the pane
        for service, slot, instance in self._now(t_ns):
            if instance not in self._meters:
                self._meters[instance] = Meter(service, pane_ns)
            mine = {
                (name, status): np.concatenate(seconds)
                for (i, name, status), seconds in served.durations.items() if i == instance
            }  # fmt: skip
            more = self._day.gauges(service, slot, self._age(t_ns), self._rng.standard_normal(self._day.noises))
            items, size = self._meters[instance].read(t_ns, end_ns - pane_ns, mine, self._rng, more)
            if self._day.is_heard(service, self._age(t_ns)):
                yield Part(instance, items, size, t_ns)

    def _age(self, t_ns: int) -> float:
        return (t_ns - self._start_ns) / NS
