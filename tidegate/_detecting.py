"""The detect stage: windows of `streams` shown to the detectors of `detectors`; two rooms that do not meet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import schemas as sc
from detectors import Detect, Detector, DetectState
from schemas.core import Event, Output, Tick
from streams import HistogramState, HistogramWindower, Ledger, Windower, WindowState, pack, unpack

_SOURCE = "tidegate/detect"


@dataclass(slots=True)
class DetectingState:
    windows: WindowState
    histograms: HistogramState
    detect: DetectState


class Definitions(Mapping[int, sc.SeriesDef]):
    """Definitions by 64-bit id, as the windower knows them."""

    def __init__(self, state: WindowState) -> None:
        self._registry = state.registry

    def __getitem__(self, series: int) -> sc.SeriesDef:
        return self._registry.definitions[self._registry.rows[series]]

    def __iter__(self) -> Iterator[int]:
        return iter(self._registry.rows)

    def __len__(self) -> int:
        return len(self._registry)


class Detecting:
    """Frames and histograms in, anomalies and gaps out. Histogram windows are kept for detectors that want them."""

    name = "detect"
    inputs = (sc.FRAMES, sc.HISTOGRAMS)
    outputs = (sc.ANOMALIES, sc.DEAD_LETTERS)
    ordered = False
    makes_time = False

    def __init__(self, detectors: Sequence[Detector], *, emit_p: float = 1e-3) -> None:
        self._windower = Windower(self.name)
        self._histograms = HistogramWindower(self.name)
        self._detect = Detect(detectors, emit_p=emit_p)

    def initial(self) -> DetectingState:
        return DetectingState(WindowState(), HistogramState(), self._detect.initial())

    def step(self, state: DetectingState, event: Event) -> tuple[DetectingState, list[Output]]:
        out: list[Output] = []
        if isinstance(event, Tick):
            out += self._close(state, event)
        elif sc.record_type(event) == "coverage":
            mark = sc.read(event)
            if isinstance(mark, sc.Coverage) and event.topic == sc.FRAMES:
                state.windows.covered.add(mark.signal, mark.start_ns, mark.end_ns)
        elif event.topic == sc.FRAMES:
            out += self._windower.add(state.windows, sc.decode_frame(event.value))
        else:
            out += self._histograms.add(state.histograms, sc.decode_histograms(event.value))
        return state, out

    def _close(self, state: DetectingState, tick: Tick) -> list[Output]:
        out: list[Output] = []
        defs = Definitions(state.windows)
        for block in self._windower.close(state.windows, tick.through_ns):
            state.detect, anomalies = self._detect.observe(state.detect, block, defs)
            out += [
                sc.emit(sc.ANOMALIES, a, id=a.id, key=f"{a.tenant}/{a.domain}", source=_SOURCE, event_ns=a.end_ns - 1)
                for a in anomalies
            ]
        for _ in self._histograms.close(state.histograms, tick.through_ns):
            pass  # no detector reads histograms yet; closing keeps the ledger exact and memory bounded
        for gap in self._windower.gaps(state.windows):
            identity = sc.record_id("gap", gap.series, gap.since_ns)
            out.append(
                sc.emit(
                    sc.ANOMALIES,
                    gap,
                    id=identity,
                    key=gap.entity_id,
                    source=f"tidegate/{self.name}",
                    event_ns=gap.until_ns - 1,
                )
            )
        return out

    def ledger(self, state: DetectingState) -> Ledger:
        """Counts of both windowers, with what still waits as `buffered`."""
        total = Ledger()
        for part in (state.windows.ledger, state.histograms.ledger):
            total.counts.update(part.counts)
            total.reasons.update(part.reasons)
        for name, n in [
            *self._windower.buffered(state.windows).items(),
            *self._histograms.buffered(state.histograms).items(),
        ]:
            total.add(f"{name}.buffered", n)
        return total

    def dump(self, state: DetectingState) -> bytes:
        parts: dict[str, bytes] = {
            "windows": state.windows.dump(), "histograms": state.histograms.dump(),
            "detect": self._detect.dump(state.detect),
        }  # fmt: skip
        return pack({}, blobs=parts)

    def load(self, data: bytes) -> DetectingState:
        _, _, blobs = unpack(data)
        return DetectingState(
            WindowState.load(blobs["windows"]),
            HistogramState.load(blobs["histograms"]),
            self._detect.load(blobs["detect"]),
        )


def versions(detectors: Sequence[Any]) -> dict[str, str]:
    """Version of each detector, for the provenance of a run."""
    return {detector.kind: detector.version for detector in detectors}
