"""Watches over changes for days: which rate is worse since, which was not, and what is withdrawn when load explains it.

Minutes of requests, failures and slow requests come from spans. With each change of a service a watch begins
(`_watch_change.py`) and ends after `watch_s`, or with the next change of the same service: then nobody could tell which
of the two it was. A finding becomes an anomaly of the endpoint's series; as all is counted anew each minute, it is
amended when p moves a thousandfold and withdrawn when it has gone. Everything is bounded and counted.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors._watch_change import MINUTE_NS, Alarm, Watch, owner_of
from detectors._watch_rows import HALF, Rows
from detectors._watch_verdict import State, assess
from schemas import Anomaly, Change, ChangeVerdict, Frame, HistogramFrame, SeriesDefs
from schemas.core import I64, NS

MOST_ROWS, MOST_WATCHES = 50_000, 100
LOOKS = (2, 5, 15, 30, 60, 180, 720, 1440, 2880)
"""Ages in minutes at which an assessment is said even if nothing happened; canaries are judged at these too."""
CLOSE_MINUTES, REST_MINUTES = 60, 5
"""A change is looked at every minute for an hour, then every five."""
JUMP = 120
"""So many minutes without time moving are skipped at once: nothing can have come in them."""


@dataclass(frozen=True, slots=True)
class WatchRule:
    """watch_s: how long a change is watched. p: of all rates of a change together, for a finding."""

    watch_s: float = 3 * 86_400.0
    p: float = 1e-3
    withdraw_p: float = 0.2


@dataclass(slots=True)
class WatchState:
    rows: Rows = field(default_factory=Rows)
    minute: int = -1
    """The last that was closed."""
    pending: dict[int, dict[int, float]] = field(default_factory=dict)
    """Events by minute and row."""
    buckets: dict[int, list[tuple[I64, I64, I64]]] = field(default_factory=dict)
    """Rows, buckets and counts by pane."""
    waiting: dict[str, Change] = field(default_factory=dict)
    watches: dict[str, Watch] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, n: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + n


class Watching:
    """Pure core of the stage that watches changes. Points and changes come in any order until their minute closes."""

    def __init__(self, rule: WatchRule | None = None) -> None:
        self.rule = rule or WatchRule()

    def initial(self) -> WatchState:
        return WatchState()

    def points(self, state: WatchState, frame: Frame) -> None:
        """Take a frame; series that are no rates of requests are passed over, late points are counted."""
        self.meet(state, frame.defs)
        row = state.rows.find(frame.series)
        minute = frame.t // MINUTE_NS
        mine = (row >= 0) & (minute > state.minute)
        state.count("late", int(((row >= 0) & ~mine).sum()))
        for at in np.flatnonzero(mine).tolist():
            of = state.pending.setdefault(int(minute[at]), {})
            of[int(row[at])] = of.get(int(row[at]), 0.0) + float(frame.value[at])

    def histograms(self, state: WatchState, frame: HistogramFrame) -> None:
        self.meet(state, frame.defs)
        row = state.rows.find(frame.series)
        mine = (row >= 0) & (frame.t // MINUTE_NS > state.minute)
        for pane in np.unique(frame.t[mine]).tolist():
            now = mine & (frame.t == pane)
            columns = row[now], frame.bucket[now].astype(np.int64), frame.count[now]
            state.buckets.setdefault(pane, []).append(columns)

    def meet(self, state: WatchState, definitions: SeriesDefs) -> None:
        """Learn of series; those that are no rates of requests are passed over."""
        for i, text in enumerate(definitions.texts):
            if b'"span.' in text and not state.rows.add(definitions[i], MOST_ROWS):
                state.count("series_dropped")

    def change(self, state: WatchState, change: Change) -> None:
        if change.id not in state.watches:
            state.waiting[change.id] = change

    def close(self, state: WatchState, through_ns: int, *, final: bool = False) -> Iterable[Anomaly | ChangeVerdict]:
        """Close every minute that ends by `through_ns`, oldest first, and say what follows from it."""
        last = through_ns // MINUTE_NS - 1
        known = [*state.pending, *(pane // MINUTE_NS for pane in state.buckets)]
        if state.minute < 0:
            if not known:
                return
            state.minute = min(known) - 1
        while state.minute < last:
            if not state.pending and not state.buckets and last - state.minute > JUMP:
                self._jump(state, last)
            state.minute += 1
            yield from self._minute(state, state.minute)
        if final:
            yield from self._said(state, sorted(state.watches), through_ns, "watching")

    def _jump(self, state: WatchState, last: int) -> None:
        """Both halves of the hour are over."""
        first = state.rows.held_from(state.minute)
        for half in (first, first + HALF):
            state.rows.learn(half)
        state.minute = last - 1

    def _minute(self, state: WatchState, minute: int) -> Iterable[Anomaly | ChangeVerdict]:
        rows = state.rows
        counts = np.zeros(len(rows))
        for row, value in state.pending.pop(minute, {}).items():
            counts[row] += value
        panes = sorted(pane for pane in state.buckets if pane // MINUTE_NS == minute)
        parts = [(pane, columns) for pane in panes for columns in state.buckets.pop(pane)]
        empty = np.zeros(0, np.int64)
        columns = [np.concatenate([c[i] for _, c in parts]) if parts else empty for i in range(3)]
        x = rows.put(minute, counts, columns[0], columns[1], columns[2])
        for watch in state.watches.values():
            watch.take(rows, x)
        yield from self._begin(state, minute)
        for pane, part in parts:
            for watch in state.watches.values():
                watch.beside(rows, pane, *part)
        end_ns = (minute + 1) * MINUTE_NS
        yield from self._said(state, sorted(state.watches), end_ns, "watching", due=True)
        old = [w.change.id for w in state.watches.values() if end_ns - w.change.at_ns >= self.rule.watch_s * NS]
        yield from self._end(state, sorted(old), end_ns, "ended")
        if (minute + 1) % HALF == 0:
            rows.learn(minute + 1 - 2 * HALF)

    def _begin(self, state: WatchState, minute: int) -> Iterable[Anomaly | ChangeVerdict]:
        due = [c for c in state.waiting.values() if c.at_ns // MINUTE_NS <= minute]
        for change in sorted(due, key=lambda c: (c.at_ns, c.id)):
            del state.waiting[change.id]
            same = [w for w in state.watches.values() if owner_of(w.change) == owner_of(change)]
            before = min((w.change.at_ns // MINUTE_NS for w in same), default=minute + 1)
            yield from self._end(state, sorted(w.change.id for w in same), change.at_ns, "superseded")
            if len(state.watches) >= MOST_WATCHES:
                oldest = min(state.watches.values(), key=lambda w: (w.change.at_ns, w.change.id)).change.id
                state.count("watches_dropped")
                yield from self._end(state, [oldest], (minute + 1) * MINUTE_NS, "ended")
            for watch in state.watches.values():
                watch.changed.add(state.rows.owner.get(owner_of(change), -1))
            state.watches[change.id] = Watch.begin(change, state.rows, minute, before)

    def _end(
        self, state: WatchState, identities: list[str], at_ns: int, how: State
    ) -> Iterable[Anomaly | ChangeVerdict]:
        yield from self._said(state, identities, at_ns, how)
        for identity in identities:
            del state.watches[identity]

    def _said(
        self, state: WatchState, identities: list[str], at_ns: int, how: State, *, due: bool = False
    ) -> Iterable[Anomaly | ChangeVerdict]:
        """due: say an assessment only if a look is due or something happened."""
        for identity in identities:
            watch = state.watches[identity]
            age = at_ns // MINUTE_NS - watch.from_minute
            intent = watch.change.intent
            looks = sum(1 for look in LOOKS if look <= age) + (intent is not None and at_ns >= intent.by_ns)
            is_look = looks > watch.looks
            if due and age > CLOSE_MINUTES and age % REST_MINUTES and not is_look:
                continue
            watch.looks = max(looks, watch.looks)
            yield from assess(
                watch, state.rows, at_ns, how, self.rule.p, self.rule.withdraw_p, is_look=is_look, always=not due
            )

    # --- snapshots ---

    def dump(self, state: WatchState) -> tuple[Any, dict[str, NDArray[Any]]]:
        """A JSON document and arrays; `load` takes both."""
        arrays = {f"rows/{name}": column for name, column in state.rows.arrays().items()}
        document: dict[str, Any] = {
            "minute": state.minute, "counts": state.counts, "keys": state.rows.keys, "ids": state.rows.ids,
            "waiting": [json.loads(c.to_bytes()) for _, c in sorted(state.waiting.items())],
            "pending": {str(m): sorted(found.items()) for m, found in sorted(state.pending.items())},
            "buckets": sorted(state.buckets), "watches": [],
        }  # fmt: skip
        for pane, parts in state.buckets.items():
            arrays[f"buckets/{pane}"] = np.stack([np.concatenate([part[i] for part in parts]) for i in range(3)])
        for i, (_, watch) in enumerate(sorted(state.watches.items())):
            for name in COLUMNS:
                arrays[f"watch/{i}/{name}"] = getattr(watch, name)
            document["watches"].append(
                {
                    "change": json.loads(watch.change.to_bytes()), "from_minute": watch.from_minute,
                    "changed": sorted(watch.changed), "minutes": watch.minutes, "canary_ns": watch.canary_ns,
                    "alarms": {name: asdict(alarm) for name, alarm in sorted(watch.alarms.items())},
                    "revision": watch.revision, "looks": watch.looks,
                    "buckets": {e: {s: sorted(b.items()) for s, b in of.items()} for e, of in watch.buckets.items()},
                }
            )  # fmt: skip
        return document, arrays

    def load(self, document: Any, arrays: dict[str, NDArray[Any]]) -> WatchState:
        of_rows = {name[5:]: column for name, column in arrays.items() if name.startswith("rows/")}
        state = WatchState(Rows.of(document["keys"], document["ids"], of_rows), document["minute"])
        state.counts = document["counts"]
        state.waiting = {c["id"]: Change.model_validate(c) for c in document["waiting"]}
        state.pending = {int(m): {row: value for row, value in found} for m, found in document["pending"].items()}
        for pane in document["buckets"]:
            row, bucket, count = arrays[f"buckets/{pane}"]
            state.buckets[pane] = [(row, bucket, count)]
        for i, kept in enumerate(document["watches"]):
            change = Change.model_validate(kept["change"])
            columns: dict[str, Any] = {name: arrays[f"watch/{i}/{name}"] for name in COLUMNS}
            buckets = {
                e: {s: {int(b): int(c) for b, c in pairs} for s, pairs in of.items()}
                for e, of in kept["buckets"].items()
            }
            state.watches[change.id] = Watch(
                change=change, from_minute=kept["from_minute"], changed=set(kept["changed"]), minutes=kept["minutes"],
                buckets=buckets, canary_ns=kept["canary_ns"], revision=kept["revision"], looks=kept["looks"],
                alarms={name: Alarm(**alarm) for name, alarm in kept["alarms"].items()}, **columns,
            )  # fmt: skip
        return state


COLUMNS = ("history", "exposure", "learned", "usual", "events", "mean", "strange", "served")
