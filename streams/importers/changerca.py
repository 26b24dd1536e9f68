"""Importer of ChangeRCA: defective canary releases of a web shop, with the plan of every release (Yu et al., FSE 2024).

Reads the archive, packed or unpacked: DATE_N/{DATE_N.json, POD_CALLER_CALLEE.csv, ...}, one folder a case. The option
`incident` (for example 2023-09-22_1) cuts out one case. Pods live for minutes, so their gauges become those of their
service: mean and worst of all pods at each minute, by call. A release becomes a change at its planned start. The header
of the tables names six columns in another order than that of the values; they are read by place: what stands under
"Latency" is the CPU usage in percent, the last one is the latency in seconds. A pod without memory is gone.
Data: https://github.com/IntelligentDDS/ChangeRCA (no licence stated: do not pass it on).
"""

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import schemas as sc
from schemas import why
from schemas.core import NS, Emit
from streams._errors import ImportError_
from streams._import import Options, check_options
from streams._otlp_encode import gauge
from streams.importers._archive import unpacked
from streams.importers._batches import Morgue, Row, batched, recorded, stretches

_SOURCE = "import.changerca"
_STEP_S = 60
_SILENCE_NS = 5 * _STEP_S * NS
_CASE = re.compile(r"\d{4}-\d\d-\d\d_\d+")
_TABLE = re.compile(r"(?P<service>[a-z0-9]+)-.*_(?P<caller>[a-z0-9-]+)_(?P<callee>[a-z0-9-]+)")
_COLUMNS = 8
"""Time, seconds, success rate in percent, CPU, memory, CPU and memory of the node, latency."""

Samples = dict[int, list[float]]
"""By minute, in seconds: the value of each pod."""


class Case(NamedTuple):
    """One case; plan: service and second of each release."""

    name: str
    folder: Path
    at_ns: int
    cause: str
    family: str
    plan: tuple[tuple[str, int], ...]


class Changerca:
    """See the module. All samples of the chosen cases are in memory once."""

    kind = "changerca"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        with _found(path, options) as cases:
            morgue = Morgue(_SOURCE)
            rows: list[Row] = []
            events: list[Emit] = []
            for case in cases:
                mine, calls = _rows(case, morgue)
                begin = min((row.t_ns for row in mine), default=case.at_ns)
                rows += mine
                events += [*_edges(case, calls, begin), *_changes(case)]
            rows.sort(key=lambda row: (row.t_ns, row.resource))
            events.sort(key=lambda emit: emit.event_ns)
            covered: dict[sc.Signal, list[tuple[int, int]]] = {
                "metrics": stretches((row.t_ns for row in rows), _SILENCE_NS)
            }
            yield from recorded(_SOURCE, covered, [batched("metrics", rows), iter(events), iter(morgue.letters())])

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        with _found(path, options) as cases:
            return [{"id": c.name, "at_ns": c.at_ns, "entity": c.cause, "family": c.family} for c in cases]


PLUGIN = Changerca


@contextmanager
def _found(path: Path, options: Options) -> Iterator[list[Case]]:
    check_options(Changerca.kind, options, {"incident"})
    chosen = options.get("incident")
    with unpacked(path, _is_wanted) as root:
        files = [f for f in sorted(root.rglob("*.json")) if _CASE.fullmatch(f.stem) and f.stem == f.parent.name]
        cases = [_case(file) for file in files if chosen in (None, file.stem)]
        if not cases:
            what = f"there is no case '{chosen}', there are {len(files)}" if chosen else "no DATE_N/DATE_N.json inside"
            raise ImportError_(what, where=path.name, todo="Give the ChangeRCA archive, incident=2023-09-22_1")
        yield cases


def _is_wanted(name: PurePosixPath) -> bool:
    return name.suffix == ".csv" or (name.suffix == ".json" and name.stem == name.parent.name)


def _case(file: Path) -> Case:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        plan = tuple(sorted((str(name), int(one["release_time"])) for name, one in found["plan"].items()))
        at, cause = int(found["detect_timestamp"]) * NS, str(found["fault_release_service"])
        return Case(file.stem, file.parent, at, cause, str(found["fault"]), plan)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImportError_(f"not a label of a case: {why(error)}", where=file.name) from error


def _rows(case: Case, morgue: Morgue) -> tuple[list[Row], set[tuple[str, str]]]:
    """One row a service and minute with its gauges, and the calls that were measured."""
    gauges: dict[str, dict[tuple[str, str], Samples]] = {}
    calls: set[tuple[str, str]] = set()
    for file in sorted(case.folder.glob("*.csv")):
        name = _TABLE.fullmatch(file.stem)
        if name is None:
            continue  # a summary over all pods
        service, caller, callee = name["service"], name["caller"], name["callee"]
        calls.add((caller, callee))
        peer, side = (caller, "server") if service == callee else (callee, "client")
        mine = gauges.setdefault(service, {})
        for second, success, cpu, memory, latency in _samples(file, morgue):
            values: tuple[tuple[str, str, float], ...] = (
                ("success_rate", peer, success),
                ("latency", peer, latency),
                ("cpu_usage_rate", "", cpu),
            )
            values += (("memory_usage_rate", "", memory),)
            for title, of, value in values:
                key = (f"{side}_{title}" if of else title), of
                mine.setdefault(key, {}).setdefault(second // _STEP_S * _STEP_S, []).append(value)
    return [row for service in sorted(gauges) for row in _of_service(service, gauges[service])], calls


def _samples(file: Path, morgue: Morgue) -> Iterator[tuple[int, float, float, float, float]]:
    """Second, success rate, CPU, memory and latency of each row of a pod that lives."""
    last = 0
    with file.open(newline="", encoding="utf-8", errors="replace") as lines:
        for number, cells in enumerate(csv.reader(lines), start=1):
            if number == 1:
                continue
            try:
                if len(cells) != _COLUMNS:
                    raise ValueError(f"{len(cells)} columns instead of {_COLUMNS}")
                last, success, cpu, memory = int(cells[1]), *(float(cell) for cell in cells[2:5])
                latency = float(cells[7])
                if memory > 0:
                    yield last, success, cpu, memory, latency
            except ValueError as error:
                where = f"{file.parent.name}/{file.name}:{number}"
                raw = ",".join(cells).encode()
                morgue.keep(raw, reason="ROW_UNREADABLE", what=str(error), where=where, event_ns=last * NS)


def _of_service(service: str, gauges: dict[tuple[str, str], Samples]) -> Iterator[Row]:
    by_time: dict[int, list[bytes]] = {}
    for (title, peer), samples in sorted(gauges.items()):
        unit = "s" if title.endswith("latency") else "%"
        labels = (("peer", peer),) if peer else ()
        for second, values in sorted(samples.items()):
            worst = min(values) if title.endswith("success_rate") else max(values)
            for statistic, value in (("mean", sum(values) / len(values)), ("worst", worst)):
                item = gauge(title, unit, second * NS, value, (*labels, ("statistic", statistic)))
                by_time.setdefault(second, []).append(item)
    for second, items in sorted(by_time.items()):
        yield Row(second * NS, (("service.name", service),), b"".join(items), len(items))


def _edges(case: Case, calls: set[tuple[str, str]], begin_ns: int) -> Iterator[Emit]:
    for caller, callee in sorted(calls):
        ends = [sc.Entity(service=name, name=name).entity_id for name in (caller, callee)]
        id = sc.record_id("edge", _SOURCE, case.name, caller, callee)
        edge = sc.TopologyEdge(
            id=id, caller=ends[0], callee=ends[1], source="declared", first_ns=begin_ns, last_ns=case.at_ns
        )
        yield sc.emit(sc.TOPOLOGY, edge, id=id, key=f"{caller}>{callee}", source=_SOURCE, event_ns=begin_ns)


def _changes(case: Case) -> Iterator[Emit]:
    for service, second in case.plan:
        id = sc.record_id("change", _SOURCE, case.name, service, second)
        change = sc.Change(
            id=id, entity_id=sc.Entity(service=service, name=service).entity_id, service=service, kind="deploy",
            at_ns=second * NS, title=f"release of {service} v2", version_from="v1", version_to="v2",
        )  # fmt: skip
        yield sc.emit(sc.CHANGES, change, id=id, key=service, source=_SOURCE, event_ns=second * NS)
