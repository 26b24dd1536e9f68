"""The watch stage: derived rates and latency of `streams` and changes, shown to the watches of `detectors`.

One task for all services, because those that were not changed are what a change is held against. It decodes every frame
but keeps only requests, failures and latency of endpoints.
"""

import schemas as sc
from detectors import Watching, WatchRule, WatchState
from schemas.core import Event, Output, Tick
from streams import pack, unpack

_SOURCE = "tidegate/watch"


class Watch:
    """A `schemas.core.Stage`: anomalies that come and may be withdrawn, and verdicts on changes."""

    name = "watch"
    inputs = (sc.FRAMES, sc.HISTOGRAMS, sc.CHANGES)
    outputs = (sc.ANOMALIES, sc.VERDICTS)
    ordered = False
    makes_time = False

    def __init__(self, rule: WatchRule | None = None) -> None:
        self._watching = Watching(rule)

    def initial(self) -> WatchState:
        return self._watching.initial()

    def step(self, state: WatchState, event: Event) -> tuple[WatchState, list[Output]]:
        """What cannot be read as a change is counted as `rejected`."""
        if isinstance(event, Tick):
            return state, self._closed(state, event)
        if event.topic == sc.FRAMES:
            if not sc.record_type(event):
                self._watching.points(state, sc.decode_frame(event.value))
        elif event.topic == sc.HISTOGRAMS:
            if not sc.record_type(event):
                self._watching.histograms(state, sc.decode_histograms(event.value))
        else:
            self._changed(state, event)
        return state, []

    def _changed(self, state: WatchState, event: Event) -> None:
        try:
            record = sc.read(event)  # type: ignore[arg-type]
        except sc.RecordInvalid:
            state.count("rejected")
            return
        if isinstance(record, sc.Change):
            self._watching.change(state, record)

    def _closed(self, state: WatchState, tick: Tick) -> list[Output]:
        out: list[Output] = []
        for record in self._watching.close(state, tick.through_ns, final=tick.final):
            if isinstance(record, sc.Anomaly):
                said, key = sc.record_id("said", record.id, record.revision), f"{record.tenant}/{record.domain}"
                at = record.end_ns - 1
                out.append(sc.emit(sc.ANOMALIES, record, id=said, key=key, source=_SOURCE, event_ns=at))
            else:
                at, key = record.as_of_ns - 1, record.change_id
                out.append(sc.emit(sc.VERDICTS, record, id=record.id, key=key, source=_SOURCE, event_ns=at))
        return out

    def dump(self, state: WatchState) -> bytes:
        document, arrays = self._watching.dump(state)
        return pack(document, arrays)

    def load(self, data: bytes) -> WatchState:
        document, arrays, _ = unpack(data)
        return self._watching.load(document, arrays)
