"""The detect stage: windows of `streams` shown to the detectors of `detectors`; two rooms that do not meet."""

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import schemas as sc
from detectors import Detect, Detector, DetectState, FdrRule
from schemas.core import I64, Event, Output, Tick
from streams import HistogramState, HistogramWindower, Ledger, Windower, WindowState, pack, unpack

_SOURCE = "tidegate/detect"
WARM_POINTS = 200_000  # below that compiling, or loading what was compiled, would not pay


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
        row = self._registry.row(series)
        if row < 0:
            raise KeyError(series)
        return self._registry.definition(row)

    def __iter__(self) -> Iterator[int]:
        return iter(self._registry.ids().tolist())

    def __len__(self) -> int:
        return len(self._registry)

    def traits(self, rows: I64) -> NDArray[np.int32]:
        """Number of the trait of each row: series that differ in nothing but names and places share one."""
        return self._registry.traits()[rows]

    def examples(self, numbers: Iterable[int]) -> list[sc.SeriesDef]:
        return self._registry.examples(numbers)


class Detecting:
    """Frames and histograms in, anomalies and gaps out. Of histograms detectors see means and 99th percentiles.

    fast: True to use numba from the first frame (raises ModuleNotFoundError without it), False never; None once it
    pays and where it is installed. The answers are the same, to the last bit. by_verdict: it also reads changes and
    what watches find of them, and waits for the time of both (`detectors/_baselines.py`).
    """

    name = "detect"
    outputs = (sc.ANOMALIES, sc.DEAD_LETTERS)
    ordered = False
    makes_time = False

    def __init__(
        self, detectors: Sequence[Detector], *, emit_p: float = 1e-3, fast: bool | None = None,
        fdr: FdrRule | None = None, by_verdict: bool = False,
    ) -> None:  # fmt: skip
        self.inputs = (sc.FRAMES, sc.HISTOGRAMS, *((sc.CHANGES, sc.VERDICTS) if by_verdict else ()))
        self._windower = Windower(self.name)
        self._histograms = HistogramWindower(self.name)
        self._detect = Detect(detectors, emit_p=emit_p, fdr=fdr, by_verdict=by_verdict)
        if fast:
            self.use_kernels()
        can = fast is None and importlib.util.find_spec("numba") is not None
        self._points_until_fast = WARM_POINTS if can else 0

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
        elif event.topic in (sc.CHANGES, sc.VERDICTS):
            record = sc.read(event)
            if isinstance(record, sc.Change):
                self._detect.change(state.detect, record)
            elif isinstance(record, sc.ChangeVerdict):
                self._detect.verdict(state.detect, record)
        elif event.topic == sc.FRAMES:
            frame = sc.decode_frame(event.value)
            out += self._windower.add(state.windows, frame)
            self._warm_up(len(frame.t))
        else:
            out += self._histograms.add(state.histograms, sc.decode_histograms(event.value))
        return state, out

    def _warm_up(self, points: int) -> None:
        if self._points_until_fast > 0:
            self._points_until_fast -= points
            if self._points_until_fast <= 0:
                self.use_kernels()

    def use_kernels(self) -> None:
        """Use numba from now on. Raises ModuleNotFoundError without it."""
        self._points_until_fast = 0
        self._windower.use_kernels()
        self._detect.use_kernels()

    def _close(self, state: DetectingState, tick: Tick) -> list[Output]:
        out: list[Output] = []
        defs = Definitions(state.windows)
        for histograms in self._histograms.close(state.histograms, tick.through_ns):
            self._windower.tell(state.windows, histograms, state.histograms.registry)
        for block in self._windower.close(state.windows, tick.through_ns):
            self._detect.hand_on(state.detect, self._windower.heirs(state.windows))
            state.detect, anomalies = self._detect.observe(state.detect, block, defs)
            out += [
                sc.emit(sc.ANOMALIES, a, id=a.id, key=f"{a.tenant}/{a.domain}", source=_SOURCE, event_ns=a.end_ns - 1)
                for a in anomalies
                if self._may_say(state.windows, a)
            ]
        self._detect.hand_on(state.detect, self._windower.heirs(state.windows))
        for gap in self._windower.gaps(state.windows):
            identity = sc.record_id("gap", gap.series, gap.since_ns, *(["over"] if gap.is_over else []))
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
        for one in self._windower.successions(state.windows):
            out.append(sc.emit(sc.ANOMALIES, one, id=one.id, key=one.entity_id, source=_SOURCE, event_ns=one.at_ns - 1))
        return out

    def _may_say(self, windows: WindowState, anomaly: sc.Anomaly) -> bool:
        """A service whose lines or spans stop is not heard only if its metrics go on; else it may not be there."""
        if sc.SIGNAL_TOTALS.get(anomaly.signal) != anomaly.name:
            return True
        return self._windower.heard(windows, anomaly.tenant, anomaly.service, "metrics") > 0

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
