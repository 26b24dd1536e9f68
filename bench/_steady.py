"""A steady load in order of event time: gauges of many services every ten seconds, and a shop with hourly trouble.

Nothing ends, so nothing is said to be final. Gauges are those of `bench.throughput`: independent noise, in messages of
at most 500 points; a few series are ill for two minutes, every half hour. The shop brings what gauges do not: counters,
histograms, log lines, spans, changes, incidents with a cause; it is another tenant.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

import schemas as sc
from bench.throughput._data import FAULT_FACTOR, FAULT_TICKS, Workload
from bench.throughput._load import _batches, _Template
from schemas.core import NS, Emit, Message
from simulation import BadDeploy, shop

STEP_NS = 10 * NS
HOUR_S = 3600
_ILL_EVERY = 180
"""Ticks from one illness to the next: half an hour."""
_ILL = 5


def steady(series: int, start_ns: int, *, partitions: int, seed: int = 1, rate: float = 10.0) -> Iterator[Message]:
    """Without end. series: a multiple of fifty; rate: requests a second of the shop, 0 for none."""
    loads: list[Iterable[Message]] = [gauges(series, start_ns, partitions=partitions, seed=seed)]
    if rate:
        loads.append(shops(start_ns, partitions=partitions, seed=seed, rate=rate))
    return heapq.merge(*loads, key=lambda message: message.event_ns)


def gauges(series: int, start_ns: int, *, partitions: int, seed: int = 1) -> Iterator[Message]:
    """Every series at every tick; without end."""
    work = Workload(series, series, partitions, seed)
    rng = np.random.Generator(np.random.PCG64(seed))
    templates = [_Template(work, services) for services in _batches(work)]
    level, left = rng.uniform(10, 100, series), np.zeros(series, np.int64)
    for tick in itertools.count():
        if tick % _ILL_EVERY == _ILL_EVERY - 1:
            left[rng.choice(series, min(_ILL, series), replace=False)] = FAULT_TICKS
        values = np.round(level * (1 + 0.05 * rng.standard_normal(series)), 3)
        values[left > 0] *= FAULT_FACTOR
        left -= left > 0
        t = start_ns + tick * STEP_NS
        for template in templates:
            yield Message(sc.OTLP_METRICS, template.partition, 0, b"", template.fill(t, values), (), t, t)


def shops(
    start_ns: int, *, partitions: int, seed: int = 1, rate: float = 10.0, tenant: str = "shop"
) -> Iterator[Message]:
    """The shop, hour after hour; after a quarter of each checkout is bad, at its end all is as before."""
    for hour in itertools.count():
        begin = start_ns + hour * HOUR_S * NS
        fault = BadDeploy(at_s=HOUR_S / 4, error_ratio=0.5)
        for n, emit in enumerate(shop(seed + hour, begin, HOUR_S, fault=fault, rate=rate)):
            message = of_tenant(emit, tenant, n % partitions)
            if sc.record_type(message) != "watermark":
                at = min(message.event_ns, begin + HOUR_S * NS)
                yield message._replace(event_ns=at, received_ns=at)


def of_tenant(emit: Emit, tenant: str, partition: int) -> Message:
    """What a simulated shop sends, as the gateway hands it on that knows whose it is."""
    at = emit.event_ns
    plain = Message(emit.topic, partition, 0, emit.key, emit.value, emit.headers, at, at)
    if sc.record_type(plain) != "change":
        return plain._replace(headers=(*emit.headers, ("tidegate-tenant", tenant.encode())))
    change = sc.read(plain)
    assert isinstance(change, sc.Change)
    entity_id = sc.Entity(tenant=tenant, service=change.service, name=change.service).entity_id
    identity = sc.record_id("change", tenant, change.service, change.title, at)
    change = change.model_copy(update={"id": identity, "tenant": tenant, "entity_id": entity_id})
    told = sc.emit(sc.RAW, change, id=identity, key=entity_id, source="simulation/shop", event_ns=at)
    return plain._replace(key=told.key, value=told.value, headers=(*told.headers, ("tidegate-kind", b"records")))
