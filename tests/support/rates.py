"""Traffic of endpoints as the derived series have it: requests, failures by status, latency, minute by minute."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

import schemas as sc
from detectors import Watching, WatchState
from schemas.core import NS

START = 1_767_225_600 * NS
MINUTE = 60 * NS


@dataclass
class Endpoint:
    """One endpoint. failing: share of requests by status, "" is all failures. slow: factor of latency."""

    service: str
    name: str
    per_minute: float
    failing: dict[str, float] = field(default_factory=lambda: {"": 0.002, "422": 0.005})
    version: str = ""
    slow: float = 1.0


def series(endpoint: Endpoint, name: str, status: str = "", version: str = "") -> sc.SeriesDef:
    labels = {"endpoint": endpoint.name} | ({"status": status} if status else {})
    labels |= {"version": version} if version else {}
    entity = sc.Entity(service=endpoint.service, name=endpoint.service).entity_id
    identity = f"{sc.series_id('default', entity, name, labels):016x}"
    return sc.SeriesDef(
        id=identity, entity_id=entity, service=endpoint.service, name=name, labels=labels, kind="count",
        temporality="delta", is_event=True, signal="traces", is_histogram=name == "span.duration",
    )  # fmt: skip


def minute(rng: np.random.Generator, at: int, endpoints: list[Endpoint]) -> Iterator[sc.Frame | sc.HistogramFrame]:
    """Frames of one minute, counted from the start."""
    t = START + at * MINUTE
    points: dict[str, tuple[sc.SeriesDef, float]] = {}
    buckets: dict[str, tuple[sc.SeriesDef, Mapping[int, int]]] = {}
    for endpoint in endpoints:
        n = int(rng.poisson(endpoint.per_minute))
        fails = {status: int(rng.binomial(n, share)) for status, share in endpoint.failing.items()}
        logs = rng.normal(np.log2(0.05 * endpoint.slow), 0.8, n)
        found = dict(zip(*np.unique(np.ceil(8 * logs).astype(int) - 1, return_counts=True), strict=True))
        for version in dict.fromkeys(("", endpoint.version)):
            counts = [(series(endpoint, "span.requests", "", version), n)]
            counts += [(series(endpoint, "span.errors", s, version), k) for s, k in fails.items() if k or not s]
            for definition, value in counts:
                before = points.get(definition.id, (definition, 0.0))[1]
                points[definition.id] = definition, before + value
            definition = series(endpoint, "span.duration", "", version)
            whole = dict(buckets.get(definition.id, (definition, {}))[1])
            for bucket, count in found.items():
                whole[bucket] = whole.get(bucket, 0) + int(count)
            buckets[definition.id] = definition, whole
    ids = np.array([int(i, 16) for i in points], np.uint64)
    values = np.array([value for _, value in points.values()])
    yield sc.Frame(ids, np.full(len(ids), t), values, sc.SeriesDefs.of([d for d, _ in points.values()]))
    rows = [(int(i, 16), b, c) for i, (_, of) in buckets.items() for b, c in sorted(of.items())]
    yield sc.HistogramFrame(
        np.array([r[0] for r in rows], np.uint64), np.full(len(rows), t), np.array([r[1] for r in rows], np.int16),
        np.array([r[2] for r in rows], np.int64), sc.SeriesDefs.of([d for d, _ in buckets.values()]),
    )  # fmt: skip


def take(watching: Watching, state: WatchState, frame: sc.Frame | sc.HistogramFrame) -> None:
    if isinstance(frame, sc.Frame):
        watching.points(state, frame)
    else:
        watching.histograms(state, frame)


def deploy(at: int, service: str = "auth", *, version: str | None = None, **more: object) -> sc.Change:
    entity = sc.Entity(service=service, name=service).entity_id
    return sc.Change(
        id=sc.record_id("change", service, at), entity_id=entity, service=service, kind="deploy",
        at_ns=START + at * MINUTE, title=f"deploy of {service}", version_to=version, **more,
    )  # fmt: skip
