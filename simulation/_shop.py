"""A small web shop that sends OTLP bytes on a virtual clock, and the bad deploy that the demo is about.

Pure and seeded: the same arguments give the same bytes. Eight services with two instances each; traffic has a shape
over the day and noise; requests become spans with parents, log lines and metrics. A bad deploy rolls a new version of
checkout out, from then on some of its orders fail; an innocent deploy of another service goes before it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

import schemas as sc
from schemas.core import I64, NS, Emit
from simulation._shop_metrics import Meter
from simulation._shop_plan import ENDPOINTS, VERSIONS, Endpoint
from simulation._shop_spans import Part, Requests, Served
from streams._otlp_encode import Attributes, request

PANE_NS = 10 * NS
ERROR_RATIO = 0.001
"""Share of orders that fail on a good day, 0 to 1."""

_SOURCE = "simulation/shop"
_SERVICES = tuple(VERSIONS)
_INSTANCES = 2
_MESSAGE_ROWS = 1000
_CHUNK = 400  # requests served at once, so that a message stays near its size at any rate
_DAY_SWING, _PANE_NOISE = 0.35, 0.04


@dataclass(frozen=True, slots=True)
class Deploy:
    """A new version of a service; instances change over one after the other, `roll_s` apart, the first at once."""

    at_s: float
    title: str
    service: str
    version: str
    roll_s: float = 15.0


@dataclass(frozen=True, slots=True)
class BadDeploy:
    """At `at_s` checkout 1.9.0 is deployed; `error_ratio` of the orders that it serves fail. Catalogue goes before."""

    at_s: float = 900.0
    error_ratio: float = 0.05
    innocent_s: float = 120.0
    """How long before it the innocent deploy happens."""

    @property
    def deploys(self) -> tuple[Deploy, ...]:
        innocent = Deploy(self.at_s - self.innocent_s, "deploy #4520", "catalogue", "2.3.1")
        return innocent, Deploy(self.at_s, "deploy #4521", "checkout", "1.9.0")


def shop(
    seed: int, start_ns: int, duration_s: float, *, fault: BadDeploy | None = None, rate: float = 40.0
) -> Iterator[Emit]:
    """Everything that the shop sends in `duration_s`, in order of event time, with final marks at the end.

    rate: requests a second at the gateway, on average over the day. Messages hold at most 10 s and about 1000 rows of
    one signal; a Change comes on the raw topic at the second of the deploy. No deploy happens without a fault.
    """
    plant = _Plant(np.random.Generator(np.random.PCG64(seed)), start_ns, fault, rate)
    waiting = [_change(deploy, start_ns) for deploy in (fault.deploys if fault else ())]
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
        id = sc.record_id(mark.TYPE, _SOURCE, topic, last)
        yield sc.emit(topic, mark, id=id, key="", source=_SOURCE, event_ns=last)


def truth(start_ns: int, fault: BadDeploy | None) -> list[dict[str, str | int]]:
    """Ground truth in the form of a recording's labels, for evaluation only."""
    if fault is None:
        return []
    bad = fault.deploys[-1]
    at_ns = start_ns + round(bad.at_s * NS)
    return [{"id": bad.title, "at_ns": at_ns, "entity": bad.service, "family": "bad_deploy"}]


class _Plant:
    """The running shop. An instance is numbered service * 4 + slot * 2 + (1 once it runs the new version)."""

    def __init__(self, rng: np.random.Generator, start_ns: int, fault: BadDeploy | None, rate: float) -> None:
        self._rng, self._start_ns, self._rate = rng, start_ns, rate
        self._error_ratio = fault.error_ratio if fault else 0.0
        self._rolls = {
            deploy.service: start_ns
            + np.array([round((deploy.at_s + i * deploy.roll_s) * NS) for i in range(_INSTANCES)])
            for deploy in (fault.deploys if fault else ())
        }
        self._versions = {deploy.service: deploy.version for deploy in (fault.deploys if fault else ())}
        self._meters: dict[int, Meter] = {}

    def run(self, pane_ns: int, end_ns: int) -> Iterator[Emit]:
        """Messages of one pane [pane_ns, end_ns), in no order."""
        hour = pane_ns / (3600 * NS) % 24
        shape = 1 + _DAY_SWING * np.sin(2 * np.pi * (hour - 9) / 24)
        mean = self._rate * shape * np.exp(_PANE_NOISE * self._rng.standard_normal()) * (end_ns - pane_ns) / NS
        counts = self._rng.multinomial(self._rng.poisson(mean), [endpoint.share for endpoint in ENDPOINTS])
        served = Served()
        for endpoint, count in zip(ENDPOINTS, counts.tolist(), strict=True):
            for first in range(0, count, _CHUNK):
                size = min(_CHUNK, count - first)
                self._serve(endpoint, np.sort(self._rng.integers(pane_ns, end_ns, size)), served)
        yield from self._messages(sc.OTLP_SPANS, served.spans)
        yield from self._messages(sc.OTLP_LOGS, served.logs)
        yield from self._messages(sc.OTLP_METRICS, self._metrics(served, pane_ns, end_ns))

    def _serve(self, endpoint: Endpoint, start: I64, served: Served) -> None:
        slots = self._rng.integers(0, _INSTANCES, (len(_SERVICES), len(start)))
        instances = {service: self._instance(service, slots[i], start) for i, service in enumerate(_SERVICES)}
        luck = self._rng.random(len(start))
        is_timeout = luck < ERROR_RATIO if endpoint.timeout else np.zeros(len(start), bool)
        is_new = instances["checkout"] % 2 == 1
        is_broken = is_new & (luck < self._error_ratio) & ~is_timeout if endpoint.broken else np.zeros(len(start), bool)
        for way, call in enumerate((endpoint.call, endpoint.timeout, endpoint.broken)):
            rows = np.flatnonzero(is_timeout + 2 * is_broken == way)
            if len(rows) and call is not None:
                going = {service: of[rows] for service, of in instances.items()}
                Requests(self._rng, start[rows], going, served).serve(call)

    def _instance(self, service: str, slot: I64, at: I64) -> I64:
        rolls = self._rolls.get(service)
        is_new = (at >= rolls[slot]).astype(np.int64) if rolls is not None else 0
        return _SERVICES.index(service) * 4 + slot * 2 + is_new

    def _metrics(self, served: Served, pane_ns: int, end_ns: int) -> Iterator[Part]:
        t_ns = end_ns - 1_000_000  # just inside the pane
        now = np.array([t_ns] * _INSTANCES)
        for service in _SERVICES:
            for instance in self._instance(service, np.arange(_INSTANCES), now).tolist():
                if instance not in self._meters:
                    self._meters[instance] = Meter(service, pane_ns)
                mine = {
                    (name, status): np.concatenate(seconds)
                    for (i, name, status), seconds in served.durations.items() if i == instance
                }  # fmt: skip
                items, size = self._meters[instance].read(t_ns, end_ns - pane_ns, mine, self._rng)
                yield Part(instance, items, size, t_ns)

    def _messages(self, topic: str, parts: Iterable[Part]) -> Iterator[Emit]:
        batch: list[Part] = []
        for part in sorted(parts, key=lambda part: part.instance):
            if batch and sum(p.size for p in batch) + part.size > _MESSAGE_ROWS:
                yield self._message(topic, batch)
                batch = []
            batch.append(part)
        if batch:
            yield self._message(topic, batch)

    def _message(self, topic: str, parts: list[Part]) -> Emit:
        groups: dict[int, list[bytes]] = {}
        for part in parts:
            groups.setdefault(part.instance, []).append(part.items)
        value = request((self._resource(instance), items) for instance, items in groups.items())
        return Emit(topic, b"", value, (), max(part.newest_ns for part in parts))

    def _resource(self, instance: int) -> Attributes:
        service = _SERVICES[instance // 4]
        version = self._versions[service] if instance % 2 else VERSIONS[service]
        hashes = hashlib.blake2b(f"{service} {version}".encode(), digest_size=5).hexdigest()
        own = hashlib.blake2b(f"{service} {version} {instance}".encode(), digest_size=5).hexdigest()[:5]
        pod = f"{service}-{hashes}-{own}"
        return ("service.name", service), ("service.version", version), ("k8s.pod.name", pod)


def _change(deploy: Deploy, start_ns: int) -> Emit:
    at_ns = start_ns + round(deploy.at_s * NS)
    change = sc.Change(
        id=sc.record_id("change", deploy.service, deploy.title, at_ns),
        entity_id=sc.Entity(service=deploy.service, name=deploy.service).entity_id, service=deploy.service,
        kind="deploy", at_ns=at_ns, title=deploy.title, version_from=VERSIONS[deploy.service],
        version_to=deploy.version,
    )  # fmt: skip
    told = sc.emit(sc.RAW, change, id=change.id, key=change.entity_id, source=_SOURCE, event_ns=at_ns)
    return replace(told, headers=(*told.headers, ("tidegate-kind", b"records")))
