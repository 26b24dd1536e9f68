"""A toy source whose messages are JSON lists of [series number, second, value], and a toy detector stage."""

import json
from collections.abc import Iterable

import numpy as np

import schemas as sc
from schemas.core import NS, Emit, Event, Message, Output, Tick
from streams import KIND, Decoded, Points, SourceError, Windower, WindowState


def definition(number: int, **traits: object) -> sc.SeriesDef:
    entity = f"default/service/s{number % 7}"
    identity = sc.series_id("default", entity, f"m{number}", {})
    return sc.SeriesDef(id=f"{identity:016x}", entity_id=entity, service=f"s{number % 7}", name=f"m{number}", **traits)


class ToySource:
    """`{"points": [[series, second, value], ...]}`; anything else is poison."""

    kind = "toy"
    topics: tuple[str, ...] = ()

    def decode(self, message: Message) -> Decoded:
        try:
            rows = json.loads(message.value)["points"]
        except (ValueError, KeyError) as error:
            raise SourceError("not a toy message", code="TOY_INVALID") from error
        defs = {int(d.id, 16): d for d in (definition(n) for n in {row[0] for row in rows})}
        ids = np.array([int(definition(row[0]).id, 16) for row in rows], np.uint64)
        t = np.array([int(row[1] * NS) for row in rows], np.int64)
        return Decoded(points=Points(ids, t, np.array([row[2] for row in rows], np.float64)), definitions=defs)


class Totals:
    """A stage that writes each closed 10 s window with samples as an anomaly-like record: what windows contain."""

    name = "detect"
    inputs = (sc.FRAMES,)
    outputs = (sc.ANOMALIES, sc.DEAD_LETTERS)
    ordered = False
    makes_time = False

    def __init__(self) -> None:
        self.windower = Windower(self.name)

    def initial(self) -> WindowState:
        return WindowState()

    def step(self, state: WindowState, event: Event) -> tuple[WindowState, list[Output]]:
        out: list[Output] = []
        if isinstance(event, Tick):
            for block in self.windower.close(state, event.through_ns):
                if block.end_ns - block.start_ns == 10 * NS and block.count.any():
                    seen = block.count > 0
                    columns = zip(
                        block.series[seen].tolist(), block.count[seen].tolist(), block.total[seen].tolist(), strict=True
                    )
                    body = json.dumps([block.start_ns // NS, sorted(columns)]).encode()
                    out.append(
                        Emit(sc.ANOMALIES, b"", body, (("ce_id", str(block.start_ns).encode()),), block.end_ns - 1)
                    )
            self.windower.gaps(state)
        elif sc.record_type(event) == "":
            out += self.windower.add(state, sc.decode_frame(event.value))
        return state, out

    def dump(self, state: WindowState) -> bytes:
        return state.dump()

    def load(self, data: bytes) -> WindowState:
        return WindowState.load(data)


def toy_message(
    points: Iterable[tuple[int, float, float]], *, received_s: float | None = None, source: str = "a"
) -> Emit:
    rows = [list(p) for p in points]
    newest = max((r[1] for r in rows), default=0) if received_s is None else received_s
    headers = ((KIND, b"toy"), ("tidegate-source", source.encode()))
    return Emit(sc.RAW, source.encode(), json.dumps({"points": rows}).encode(), headers, int(newest * NS))


def mark(stage: str, *, through_s: float = 0, idle: bool = False, final: bool = False, at_s: float = 0) -> Emit:
    record = sc.Watermark(stage=stage, through_ns=int(through_s * NS), idle=idle, final=final)
    return sc.emit(
        sc.RAW, record, id=f"{stage}{through_s}{idle}{final}", key=stage, source="test", event_ns=int(at_s * NS)
    )


__all__ = ["ToySource", "Totals", "definition", "mark", "toy_message"]
