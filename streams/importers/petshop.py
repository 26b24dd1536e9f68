"""Importer of PetShop: metrics of a web shop on a cloud, labelled issues, a call graph (Hardt et al., CLeaR 2024).

Reads the archive, packed or unpacked. An issue is 25 minutes of gauges every five minutes; what was normal is a file
of its own, recorded on other days. The option `incident` (for example low_traffic/train/issue_0) cuts out one issue
and moves the fault-free stretch so that it ends where the issue begins; `incident=low_traffic/noissue` gives the
fault-free stretch alone. Without it every issue comes at its own time. A slash in a node's name becomes an underscore,
because slashes part entity ids. Data: https://github.com/amazon-science/petshop-root-cause-analysis (CC-BY-4.0).
"""

import csv
import json
import math
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

_SOURCE = "import.petshop"
_STEP_NS = 300 * NS
_SILENCE_NS = 3 * _STEP_NS
_UNITS = {"latency": "s", "availability": "%"}
_HEADER = ("microservice", "metric", "statistic")


class Issue(NamedTuple):
    """One issue: its name, the folder of its metrics and of its traffic; cause is empty for a fault-free stretch."""

    name: str
    folder: Path
    traffic: Path
    at_ns: int
    cause: str
    family: str


class Petshop:
    """See the module. All rows of the chosen issues are in memory once."""

    kind = "petshop"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        with _found(path, options) as issues:
            morgue = Morgue(_SOURCE)
            rows: list[Row] = []
            edges: dict[str, Emit] = {}
            for issue in issues:
                mine = _rows(issue.folder / "metrics.csv", morgue)
                begin = min((row.t_ns for row in mine), default=issue.at_ns)
                quiet = issue.traffic / "noissue" / "metrics.csv"
                if options.get("incident") and issue.cause and quiet.is_file():
                    rows += _rows(quiet, morgue, begin - _STEP_NS)
                rows += mine
                edges |= {
                    f"{issue.traffic.name}/{e.key!r}": e for e in _edges(issue, begin, rows[-1].t_ns if rows else begin)
                }
            rows.sort(key=lambda row: (row.t_ns, row.resource))
            covered: dict[sc.Signal, list[tuple[int, int]]] = {
                "metrics": stretches((row.t_ns for row in rows), _SILENCE_NS)
            }
            graph = sorted(edges.values(), key=lambda emit: emit.event_ns)
            yield from recorded(_SOURCE, covered, [batched("metrics", rows), iter(graph), iter(morgue.letters())])

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        with _found(path, options) as issues:
            return [{"id": i.name, "at_ns": i.at_ns, "entity": i.cause, "family": i.family} for i in issues if i.cause]


PLUGIN = Petshop


@contextmanager
def _found(path: Path, options: Options) -> Iterator[list[Issue]]:
    check_options(Petshop.kind, options, {"incident"})
    with unpacked(path, _is_wanted) as root:
        issues = [_issue(root, file) for file in sorted(root.rglob("issue_*/target.json"))]
        quiet = [
            Issue(f"{file.parent.parent.name}/noissue", file.parent, file.parent.parent, 0, "", "none")
            for file in sorted(root.rglob("noissue/metrics.csv"))
        ]
        chosen = options.get("incident")
        found = issues if chosen is None else [i for i in issues + quiet if i.name == chosen]
        if not found:
            what = f"no issue '{chosen}', there are {len(issues)}" if chosen else "no issue_*/target.json inside"
            raise ImportError_(
                what, where=path.name, todo="Give the PetShop archive, incident=low_traffic/train/issue_0"
            )
        yield found


def _is_wanted(name: PurePosixPath) -> bool:
    return name.name in ("target.json", "metrics.csv", "graph.csv")


def _issue(root: Path, file: Path) -> Issue:
    folder, traffic = file.parent, file.parent.parent.parent
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        cause, target = plain(found["root_cause"]["node"]), found["target"]
        at = int(float(target["timestamp"]) * NS)
        family = str(target["metric"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImportError_(f"not a label of an issue: {why(error)}", where=str(file.relative_to(root))) from error
    return Issue("/".join(folder.relative_to(traffic.parent).parts), folder, traffic, at, cause, family)


def plain(node: str) -> str:
    """A node's name without slashes.

    >>> plain("PetAdoptionStatusUpdater/prod_AWS::ApiGateway::Stage")
    'PetAdoptionStatusUpdater_prod_AWS::ApiGateway::Stage'
    """
    return node.replace("/", "_")


def _rows(file: Path, morgue: Morgue, ends_ns: int | None = None) -> list[Row]:
    """One row a node and time with all its gauges; empty cells are absent. The file has four lines of header.

    ends_ns: when the last row shall be; all are moved by the same time.
    """
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            table = list(csv.reader(lines))
    except (OSError, ValueError, csv.Error) as error:
        raise ImportError_(f"cannot be read: {why(error)}", where=file.name) from error
    if len(table) < 4 or tuple(line[0] for line in table[:3]) != _HEADER:
        raise ImportError_(f"the first three lines are not {', '.join(_HEADER)}", where=file.name)
    columns: dict[str, list[int]] = {}
    for i, node in enumerate(table[0][1:], start=1):
        columns.setdefault(plain(node), []).append(i)
    rows: list[Row] = []
    moved = 0
    if ends_ns is not None:
        moved = ends_ns - max(int(float(cells[0]) * NS) for cells in table[3:] if _is_number(cells[0]))
    for number, cells in enumerate(table[3:], start=4):
        if cells[0] == "unix_timestamp":
            continue
        try:
            at = int(float(cells[0]) * NS) + moved
            rows += [
                row
                for node, mine in columns.items()
                if (row := _row(at, node, [(table[1][i], table[2][i], cells[i]) for i in mine]))
            ]
        except (ValueError, IndexError, OverflowError) as error:
            where = f"{file.parent.name}/{file.name}:{number}"
            raw = ",".join(cells).encode()
            morgue.keep(
                raw, reason="ROW_UNREADABLE", what=str(error), where=where, event_ns=rows[-1].t_ns if rows else 0
            )
    return rows


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).isdecimal()


def _row(at: int, node: str, found: list[tuple[str, str, str]]) -> Row | None:
    items, absent = [], 0
    for metric, statistic, cell in found:
        value = float(cell) if cell.strip() else math.nan
        if math.isnan(value):
            absent += 1
            continue
        if math.isinf(value):
            raise ValueError(f"{metric} of {node} is infinite")
        items.append(gauge(metric, _UNITS.get(metric, "1"), at, value, (("statistic", statistic),)))
    return Row(at, (("service.name", node),), b"".join(items), len(items), absent) if items else None


def _edges(issue: Issue, begin_ns: int, last_ns: int) -> Iterator[Emit]:
    """The call graph of the traffic: an adjacency matrix, callers down, callees across."""
    file = issue.traffic / "graph.csv"
    if not file.is_file():
        return
    with file.open(newline="", encoding="utf-8") as lines:
        table = list(csv.reader(lines))
    names = [plain(node) for node in table[0][1:]]
    for cells in table[1:]:
        for callee, cell in zip(names, cells[1:], strict=False):
            caller = plain(cells[0])
            if cell.strip() in ("", "0", "0.0") or callee == caller:
                continue
            ends = (sc.Entity(service=node, name=node).entity_id for node in (caller, callee))
            id = sc.record_id("edge", _SOURCE, issue.name, caller, callee)
            edge = sc.TopologyEdge(
                id=id, caller=next(ends), callee=next(ends), source="declared", first_ns=begin_ns, last_ns=last_ns
            )
            yield sc.emit(sc.TOPOLOGY, edge, id=id, key=f"{caller}>{callee}", source=_SOURCE, event_ns=begin_ns)
