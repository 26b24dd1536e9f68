"""Which rows there are, measured one after the other on a broker of their own; what is finished is kept.

A row is kept with the digest of what it was made from, so that a run that was cut short goes on where it was, and a
change of code is measured anew. One broker a number of series: it starts empty and is gone afterwards.
"""

import hashlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemas as sc
from bench.throughput import _load, _ours, _peers
from bench.throughput._data import LEAST, TICKS, Workload
from bench.throughput._peers import CACHE, PEER_LIST, ROOT, Peer, PeerUnavailable
from streams import real_name

_LIMIT_S = 1800.0
_FEW = 1000
"""Series; so few need one partition only, and of them live frames are measured too: of more those are no smaller."""
_WARM = Workload(_FEW, 100_000)
_CODE = ("schemas", "streams", "detectors", "tidegate", "bench/throughput")
_LAYOUT = {"frames": "our frames", "live": "our frames, one pane each", "points": "JSON, a message a point"}
_OURS = {
    "frames": "frames to anomalies", "live": "frames to anomalies", "otlp": "OTLP to anomalies (whole way)"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One system, one layout, one number of series. peer: None for ours."""

    series: int
    layout: str
    work: Workload
    peer: Peer | None = None

    @property
    def stage(self) -> str:
        if self.peer is None:
            return _OURS[self.layout]
        return {"frames": "frames to anomalies", "points": "points to anomalies"}[self.layout]

    def key(self, repeat: int, code: str) -> str:
        name = self.peer.name if self.peer else "tidegate"
        made_from = code if self.peer is None or self.layout == "frames" else ""
        made_from += _peers.digest(self.peer) if self.peer else ""
        return f"{name}/{self.layout}/{self.series}/{self.work.points}/{repeat}/{made_from}"


def rows(series: list[int], points: int, *, with_peers: bool, only: list[str]) -> list[Row]:
    """Ours first. only: names of systems (`tidegate`, `faust`, ...); all if empty."""
    found = []
    for n in series:
        partitions = 1 if n <= _FEW else 4
        whole = Workload(n, points, partitions)
        if not only or "tidegate" in only:
            found += [Row(n, layout, whole) for layout in _OURS if layout != "live" or n <= _FEW]
        for peer in PEER_LIST if with_peers else ():
            if only and peer.name not in only:
                continue
            if n <= peer.most_series:
                least = n * TICKS * (LEAST + 6)  # shorter ones would hold no anomaly to be found
                part = Workload(n, min(points, max(round(points * peer.share), least)), partitions)
                found.append(Row(n, "points", part, peer))
            found.append(Row(n, "frames", whole, peer))
    return found


class Kept:
    """Finished rows in a file, by key."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self._path = path
        self._rows: dict[str, Any] = {} if fresh or not path.exists() else json.loads(path.read_text())

    def get(self, key: str) -> dict[str, Any]:
        """A row without `why` is finished."""
        found: dict[str, Any] = self._rows.get(key, {"why": "not measured yet"})
        return found

    def put(self, key: str, row: dict[str, Any]) -> None:
        self._rows[key] = row
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self._rows, indent=1))
        part.replace(self._path)


def measure(wanted: list[Row], repeat: int, *, fresh: bool, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Every row, in their order; a row that could not be measured has `why` and no figures."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    kept, code = Kept(CACHE / "throughput.json", fresh=fresh), _code()
    is_warm = False
    for series in dict.fromkeys(row.series for row in wanted):
        todo = [r for r in wanted if r.series == series and "why" in kept.get(r.key(repeat, code))]
        if not todo:
            continue
        if not is_warm and any(row.peer is None for row in todo):
            _warm()
            is_warm = True
        with _broker() as brokers:
            bench = _Bench(brokers, series)
            for row in todo:
                found = bench.row(row, repeat)
                kept.put(row.key(repeat, code), found)
                text = found.get("why") or f"{found['cpu_s_per_million']} CPU-s/M, {found['check']}"
                say(f"{series} series, {found['system']}, {found['layout']}: {text}")
    return [kept.get(row.key(repeat, code)) for row in wanted]


def _warm() -> None:
    """Compile what numba compiles, by a short run of both rows: it is kept on disk, as after anybody's first start."""
    with _broker() as brokers:
        bench = _Bench(brokers, _WARM.series)
        for layout in ("frames", "otlp"):
            bench.row(Row(_WARM.series, layout, _WARM), 1)


@dataclass
class _Bench:
    """One broker with the topics of one number of series, made when they are first asked for."""

    brokers: str
    series: int
    _frames: dict[str, dict[str, Any]] = field(default_factory=dict)
    _points: set[str] = field(default_factory=set)
    _has_otlp: bool = False
    _runs: int = 0

    def row(self, row: Row, repeat: int) -> dict[str, Any]:
        peer = row.peer
        layout = _LAYOUT.get(row.layout) or f"OTLP, {_load.message_points(row.work)} points a message"
        about = {
            "system": "tidegate" if peer is None else _peers.described(peer), "series": row.series, "layout": layout,
            "stage": row.stage, "points": row.work.points,
        }  # fmt: skip
        try:
            runs = [self._once(row) for _ in range(repeat)]
        except (PeerUnavailable, RuntimeError) as error:
            return {**about, "why": " ".join(str(error).split())}
        return {**about, **_figures(runs, row)}

    def _once(self, row: Row) -> dict[str, Any]:
        self._runs += 1
        if row.peer is None:
            return self._ours(row)
        out = _load.make_topic(self.brokers, f"out-{self._runs}", 1)
        frames: dict[str, Any] = {"messages": row.work.points, "writers": 0, "ids": []}
        if row.layout == "frames":
            source, frames = real_name(sc.FRAMES, "frames"), self._framed(row.work)
        else:
            source = self._pointed(row.work)
        return _peers.measure(
            row.peer, row.layout, self.brokers, row.work, source=source, out=out, messages=frames["messages"],
            writers=frames["writers"], ids=frames["ids"], limit_s=_LIMIT_S,
        )  # fmt: skip

    def _ours(self, row: Row) -> dict[str, Any]:
        prefix = "live" if row.layout == "live" else "frames"
        ids = self._framed(row.work, prefix)["ids"]
        if row.layout == "otlp":
            prefix = f"run-{self._runs}"
            _load.make_topics(self.brokers, prefix, row.work.partitions)
            if not self._has_otlp:
                _load.load_otlp(self.brokers, row.work)
                self._has_otlp = True
        return _ours.measure(self.brokers, row.work, ids, layout=row.layout, prefix=prefix, limit_s=_LIMIT_S)

    def _framed(self, work: Workload, prefix: str = "frames") -> dict[str, Any]:
        if prefix not in self._frames:
            _load.make_topics(self.brokers, prefix, work.partitions)
            with tempfile.TemporaryDirectory() as place:
                self._frames[prefix] = _load.load_frames(
                    self.brokers, prefix, work, Path(place), is_live=prefix == "live"
                )
        return self._frames[prefix]

    def _pointed(self, work: Workload) -> str:
        name = f"points-{work.points}"
        if name not in self._points:
            _load.load_points(self.brokers, name, work)
            self._points.add(name)
        return name


def _figures(runs: list[dict[str, Any]], row: Row) -> dict[str, Any]:
    """The run with the median CPU time; `all` are the CPU seconds a million points of every run."""
    costs = sorted(run["cpu_s"] / run["points"] * 1e6 for run in runs)
    middle = statistics.median_low(costs)
    run = next(run for run in runs if run["cpu_s"] / run["points"] * 1e6 == middle)
    return {
        "cpu_s_per_million": round(middle, 4), "points_per_s": round(run["points"] / run["wall_s"]),
        "peak_rss_mb": max(each["peak_rss_mb"] for each in runs), "startup_cpu_s": round(run["startup_cpu_s"], 2),
        "all": [round(cost, 4) for cost in costs], "anomalies": run["anomalies"], "check": _check(runs, row),
    }  # fmt: skip


def _check(runs: list[dict[str, Any]], row: Row) -> str:
    if row.peer is None:
        faults, least = runs[0]["faults"], min(run["faults_found"] for run in runs)
        return f"{least} of {faults} faults found" if faults else "too short for a fault"
    if not row.work.answer:
        return "too short for an anomaly" if all(run["right"] for run in runs) else "WRONG: found what is not there"
    if all(run["right"] for run in runs):
        return f"right: {len(row.work.answer)} anomalies"
    return f"WRONG: {min(run['anomalies'] for run in runs)} anomalies, {len(row.work.answer)} are right"


@contextmanager
def _broker() -> Iterator[str]:
    tests = str(ROOT / "tests")
    if tests not in sys.path:
        sys.path.append(tests)
    from support.kafka import Broker  # type: ignore[import-not-found,unused-ignore]  # found by the path above

    with Broker(heap="768m") as broker:
        yield broker.bootstrap


def _code() -> str:
    """Digest of the Python that our rows run."""
    files = sorted(file for folder in _CODE for file in (ROOT / folder).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
