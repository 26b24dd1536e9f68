"""Spans become rates, errors and latencies by endpoint, edges by caller and callee, and the topology.

Parent and child meet by (trace id, span id) among the spans of the last minute; a pair belongs to the pane in which
the later of the two ended. The edge gap, caller's time minus callee's, is what the network took: it moves for delays
that no resource metric shows. Self time is a span's own time without its known children. A span that crosses into
its service (parent elsewhere, unknown or none, or kind server/consumer) counts as a request of its endpoint. One whose
parent did not come within half a minute is an orphan: somebody's spans are lost. Where all came there is no such
series. A failed call of which nothing arrived by then is known by the name that its caller gave (`_lost_calls.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

import schemas as sc
from schemas.core import F64, I64, Bool, Emit, Event, Output, Tick
from streams._derived import Panes, PointsOut, announced, duration_buckets, series
from streams._ledger import Ledger
from streams._lost_calls import lost_calls
from streams._senders import Writers
from streams._settings import PANE_NS, StreamSettings
from streams._spans import Spans, columns_of
from streams._state import pack, unpack

_HORIZON_PANES = 6
_WAIT_PANES = 3
"""After so many panes whoever belongs to a span has come, or is lost; what ended up to two panes before it is held."""
_OTHER = "<other>"
_COUNT = {"signal": "traces", "kind": "count", "temporality": "delta", "is_event": True, "unit": "{request}"}
_SECONDS = {"signal": "traces", "unit": "s"}
_EDGE_REFRESH_NS = 600_000_000_000


def _panes() -> Panes:
    return Panes("end", sc.SPAN_FIELDS)


@dataclass(slots=True)
class SpanState:
    panes: Panes = field(default_factory=_panes)
    held: list[tuple[int, pa.Table]] = field(default_factory=list)
    """Closed panes still within the horizon of joining, oldest first."""
    known: set[str] = field(default_factory=set)
    endpoints: dict[str, set[str]] = field(default_factory=dict)
    edges: dict[str, list[int]] = field(default_factory=dict)
    """By "caller callee" entity ids: first seen, last said."""
    ledger: Ledger = field(default_factory=Ledger)
    writers: Writers = field(default_factory=Writers)


class DeriveSpans:
    """The stage from span batches to frames, histograms and topology, once a pane is closed."""

    name = "derive-spans"
    inputs = (sc.SPANS,)
    outputs = (sc.FRAMES, sc.HISTOGRAMS, sc.SERIES, sc.TOPOLOGY, sc.DEAD_LETTERS)
    ordered = False
    makes_time = False

    def __init__(self, settings: StreamSettings | None = None) -> None:
        self._settings = settings or StreamSettings()

    def initial(self) -> SpanState:
        return SpanState()

    def step(self, state: SpanState, event: Event) -> tuple[SpanState, list[Output]]:
        out: list[Output] = []
        if isinstance(event, Tick):
            for start, table in state.panes.close(event.through_ns):
                out += self._pane(state, start, table)
        elif not sc.record_type(event):
            batch = sc.decode_rows(event.value, sc.SPAN_FIELDS)
            state.writers.hear(batch, event)
            out += state.panes.add(batch, state.ledger, "spans", self.name)
        return state, out

    def _pane(self, state: SpanState, start: int, table: pa.Table) -> list[Output]:
        state.held = [(s, held) for s, held in state.held if s > start - _HORIZON_PANES * PANE_NS]
        room = self._settings.max_spans_held - len(table)
        while state.held and sum(len(held) for _, held in state.held) > room:
            state.ledger.add("spans.unjoined", len(state.held.pop(0)[1]))
        spans = columns_of([*(held for _, held in state.held), table])
        repeated = spans.repeated()[len(spans.start) - len(table) :]
        if repeated.any():
            state.ledger.add("spans.duplicate", int(repeated.sum()))
            table = table.filter(pa.array(~repeated))
            spans = columns_of([*(held for _, held in state.held), table])
        state.held.append((start, table))
        state.ledger.add("spans.processed", len(table))
        parent = spans.parents()
        is_now = np.arange(len(spans.start)) >= len(spans.start) - len(table)
        points = PointsOut(self._settings.shards, self._settings.partitions, state.writers)
        self._totals(state, start, spans, is_now, points)
        histograms = self._requests(state, start, spans, parent, is_now, points)
        edges = self._edges(state, start, spans, parent, is_now, points)
        self._self_time(state, start, spans, parent, is_now, points)
        return [*points.frames(state.ledger, self.name), *histograms, *edges]

    def _totals(self, state: SpanState, start: int, spans: Spans, is_now: Bool, points: PointsOut) -> None:
        """All spans of a service, of whatever kind: their silence is that of its traces."""
        found: dict[tuple[str, str], int] = {}
        for code, n in zip(*np.unique(spans.service[is_now], return_counts=True), strict=True):
            owner = spans.tenants[int(code)], spans.services[int(code)]
            found[owner] = found.get(owner, 0) + int(n)
        for (tenant, service), n in sorted(found.items()):
            points.add(state.known, series(service, tenant, "span.total", {}, **{**_COUNT, "unit": "{span}"}), start, n)

    # --- requests by endpoint ---

    def _requests(
        self, state: SpanState, start: int, spans: Spans, parent: I64, is_now: Bool, points: PointsOut
    ) -> list[Emit]:
        foreign = (parent < 0) | (spans.service[np.maximum(parent, 0)] != spans.service)
        entry = np.where(np.isin(spans.kind, (2, 5)), True, np.where(np.isin(spans.kind, (1, 3, 4)), False, foreign))
        self._orphans(state, start, spans, entry & (parent < 0) & (spans.parent_key != 0), points)
        rows = np.flatnonzero(entry & is_now)
        slots: dict[tuple[str, str, str, str], list[int]] = {}
        for row in rows.tolist():
            tenant, service = spans.tenants[spans.service[row]], spans.services[spans.service[row]]
            slots.setdefault(
                (tenant, service, spans.names[spans.name[row]], spans.versions[spans.version[row]]), []
            ).append(row)
        requests: dict[tuple[str, str, str, str], list[int]] = {}
        for (tenant, service, name, version), mine in sorted(slots.items()):
            endpoint = self._endpoint(state, tenant, service, name)
            requests.setdefault((tenant, service, endpoint, ""), []).extend(mine)
            if version:  # beside the whole, so that a new version is held against the old one
                requests.setdefault((tenant, service, endpoint, version), []).extend(mine)
        buckets: list[tuple[sc.SeriesDef, F64]] = []
        for (tenant, service, endpoint, version), mine in sorted(requests.items()):
            labels = {"endpoint": endpoint} | ({"version": version} if version else {})
            total = series(service, tenant, "span.requests", labels, **_COUNT)
            points.add(state.known, total, start, len(mine))
            seconds = np.sort(spans.seconds[mine])
            mean = series(service, tenant, "span.duration.mean", labels, **_SECONDS)
            points.add(state.known, mean, start, float(seconds.mean()))
            self._errors(state, start, spans, mine, total, points)
            histogram = series(service, tenant, "span.duration", labels, is_histogram=True, **{**_COUNT, "unit": "s"})
            buckets.append((histogram, seconds))
        return self._histograms(state, start, buckets)

    def _orphans(self, state: SpanState, start: int, spans: Spans, orphan: Bool, points: PointsOut) -> None:
        """Requests of `_WAIT_PANES` before by endpoint; counted now, for those windows are closed."""
        told = orphan & self._told(spans, start)
        found: dict[tuple[str, str, str], int] = {}
        for row in np.flatnonzero(told).tolist():
            tenant, service = spans.tenants[spans.service[row]], spans.services[spans.service[row]]
            endpoint = spans.names[spans.name[row]]
            endpoint = endpoint if endpoint in state.endpoints.get(f"{tenant}\x1f{service}", ()) else _OTHER
            found[tenant, service, endpoint] = found.get((tenant, service, endpoint), 0) + 1
        for (tenant, service, endpoint), n in sorted(found.items()):
            whole = series(service, tenant, "span.requests", {"endpoint": endpoint}, **_COUNT).id
            lost = series(service, tenant, "span.orphans", {"endpoint": endpoint}, denominator=whole, **_COUNT)
            points.add(state.known, lost, start, n)

    def _errors(
        self, state: SpanState, start: int, spans: Spans, mine: list[int], total: sc.SeriesDef, points: PointsOut
    ) -> None:
        """Failed requests: in all (status without a label), and by status from 400 on."""
        status, failed = spans.status[mine], spans.is_error[mine]
        found = {"": int(np.sum(failed | (status >= 500)))}
        for code, n in zip(*np.unique(status[status >= 400], return_counts=True), strict=True):
            found[str(code)] = int(n)
        for code, n in sorted(found.items()):
            labels = total.labels | ({"status": code} if code else {})
            errors = series(total.service, total.tenant, "span.errors", labels, denominator=total.id, **_COUNT)
            points.add(state.known, errors, start, n)

    def _endpoint(self, state: SpanState, tenant: str, service: str, name: str) -> str:
        known = state.endpoints.setdefault(f"{tenant}\x1f{service}", set())
        if name not in known:
            if len(known) >= self._settings.max_endpoints_per_service:
                state.ledger.add("spans.other_endpoint")
                return _OTHER
            known.add(name)
        return name

    def _histograms(self, state: SpanState, start: int, found: Iterable[tuple[sc.SeriesDef, F64]]) -> list[Emit]:
        parts: dict[int, list[tuple[sc.SeriesDef, Any, I64]]] = {}
        for definition, seconds in found:
            bucket, count = np.unique(duration_buckets(seconds), return_counts=True)
            shard = sc.shard_of(definition.tenant, definition.service, self._settings.shards)
            parts.setdefault(shard % self._settings.partitions, []).append((definition, bucket, count))
        out = []
        for partition, rows in sorted(parts.items()):
            state.ledger.add("derived.decoded", len(rows))
            ids = np.concatenate([np.full(len(bucket), int(d.id, 16), np.uint64) for d, bucket, _ in rows])
            fresh = [d for d, _, _ in rows if d.id not in state.known]
            state.known.update(d.id for d in fresh)
            value = sc.encode_histograms(
                ids, np.full(len(ids), start), np.concatenate([b for _, b, _ in rows]).astype(np.int16),
                np.concatenate([c for _, _, c in rows]), defs=fresh,
            )  # fmt: skip
            out.append(Emit(sc.HISTOGRAMS, b"", value, (), start, partition))
            out += announced(fresh, self.name, start)
        return out

    # --- edges ---

    def _edges(
        self, state: SpanState, start: int, spans: Spans, parent: I64, is_now: Bool, points: PointsOut
    ) -> list[Emit]:
        has = parent >= 0
        over = np.maximum(parent, 0)
        pair = has & (spans.service[over] != spans.service) & (is_now | is_now[over])
        child = np.flatnonzero(pair)
        caller, callee = spans.service[over[child]], spans.service[child]
        gap = spans.seconds[over[child]] - spans.seconds[child]
        key = caller.astype(np.int64) * len(spans.services) + callee
        codes = {
            (spans.services[e // len(spans.services)], spans.services[e % len(spans.services)],
             spans.tenants[e % len(spans.services)]): e
            for e in np.unique(key).tolist()
        }  # fmt: skip
        lost = lost_calls(spans, parent, self._told(spans, start), state.endpoints)
        out: list[Emit] = []
        for edge in sorted({*codes, *lost}):
            caller_name, callee_name, tenant = edge
            labels = {"caller": caller_name, "callee": callee_name}
            mine = key == codes.get(edge, -1)
            n = lost.get(edge, 0)
            total = series(callee_name, tenant, "edge.requests", labels, **_COUNT)
            points.add(state.known, total, start, int(mine.sum()) + n)
            if mine.any():
                seconds = series(callee_name, tenant, "edge.gap", labels, **_SECONDS)
                points.add(state.known, seconds, start, float(np.sort(gap[mine]).mean()))
            if mine.any() and self._settings.edge_latency:
                took = series(callee_name, tenant, "edge.duration", labels, **_SECONDS)
                points.add(state.known, took, start, float(np.sort(spans.seconds[child[mine]]).mean()))
            if n:
                errors = series(callee_name, tenant, "edge.errors", labels, denominator=total.id, **_COUNT)
                points.add(state.known, errors, start, n)
            out += self._topology(state, tenant, caller_name, callee_name, start)
        return out

    @staticmethod
    def _told(spans: Spans, start: int) -> Bool:
        """Spans that ended so long ago that whoever belongs to them has come, or is lost."""
        ended = spans.start + np.round(spans.seconds * 1e9).astype(np.int64)
        return np.asarray(ended // PANE_NS == start // PANE_NS - _WAIT_PANES)

    def _topology(self, state: SpanState, tenant: str, caller: str, callee: str, start: int) -> list[Emit]:
        a, b = (sc.Entity(tenant=tenant, service=s, name=s).entity_id for s in (caller, callee))
        seen = state.edges.get(f"{a} {b}")
        if seen is not None and start - seen[1] < _EDGE_REFRESH_NS:
            return []
        first = seen[0] if seen else start
        state.edges[f"{a} {b}"] = [first, start]
        identity = sc.record_id("edge", a, b)
        edge = sc.TopologyEdge(id=identity, tenant=tenant, caller=a, callee=b, first_ns=first, last_ns=start)
        said = sc.record_id("edge", a, b, start)
        return [sc.emit(sc.TOPOLOGY, edge, id=said, key=identity, source=f"tidegate/{self.name}", event_ns=start)]

    def _self_time(
        self, state: SpanState, start: int, spans: Spans, parent: I64, is_now: Bool, points: PointsOut
    ) -> None:
        inner = np.zeros(len(spans.start))
        order = np.lexsort((spans.key, spans.seconds))
        known = order[parent[order] >= 0]
        np.add.at(inner, parent[known], spans.seconds[known])
        own = np.clip(spans.seconds - inner, 0, None)
        for code in np.unique(spans.service[is_now]).tolist():
            mine = np.sort(own[is_now & (spans.service == code)])
            definition = series(spans.services[code], spans.tenants[code], "span.self_time", {}, **_SECONDS)
            points.add(state.known, definition, start, float(mine.mean()))

    # --- snapshots ---

    def dump(self, state: SpanState) -> bytes:
        held = Panes("end", sc.SPAN_FIELDS, 0, {s: t.combine_chunks().to_batches() for s, t in state.held if len(t)})
        blobs = {f"pending/{k}": v for k, v in state.panes.dump().items()} | {
            f"held/{k}": v for k, v in held.dump().items()
        }
        document = {
            "through_ns": state.panes.through_ns, "ledger": state.ledger.dump(), "known": sorted(state.known),
            "writers": state.writers.names,
            "endpoints": {owner: sorted(found) for owner, found in sorted(state.endpoints.items())},
            "edges": state.edges,
        }  # fmt: skip
        return pack(document, blobs=blobs)

    def load(self, data: bytes) -> SpanState:
        document, _, blobs = unpack(data)
        state = SpanState(
            ledger=Ledger.load(document["ledger"]),
            known=set(document["known"]),
            writers=Writers(document.get("writers", {})),
            edges=document["edges"],
        )
        parts: dict[str, dict[str, bytes]] = {"pending": {}, "held": {}}
        for name, blob in blobs.items():
            part, start = name.split("/")
            parts[part][start] = blob
        state.panes.restore(document["through_ns"], parts["pending"])
        held = _panes()
        held.restore(0, parts["held"])
        state.held = [(start, pa.Table.from_batches(found)) for start, found in sorted(held.pending.items())]
        state.endpoints = {owner: set(found) for owner, found in document["endpoints"].items()}
        return state
