"""Importer of TVDiag's labelled incidents: GAIA, Hotel and Sock Shop as events that somebody's detectors found.

Reads the archive, packed or unpacked. The data set says of each incident which metrics of an instance rose or fell,
which calls were slow or failed and which log templates were seen, without times and numbers. So an incident becomes
anomalies of one instant with one p-value, and a replay starts at `--from-stage diagnose`. Incidents lie an hour apart
on a clock of our own. Each set is a tenant and each instance a service, because instances are what the labels name.
Options: set=gaia|hotel|sockshop, incident=SET/INDEX. Data: https://github.com/WHU-AISE/TVDiag (MIT).
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import schemas as sc
from schemas import why
from schemas.core import NS, Emit
from streams._errors import ImportError_
from streams._import import Options, check_options
from streams.importers._archive import unpacked
from streams.importers._batches import Morgue

_SOURCE = "import.tvdiag"
_SETS = ("gaia", "hotel", "sockshop")
_VIEWS = ("nodes", "edges", "metrics", "traces", "logs")
_START_NS = 1_625_097_600 * NS  # 2021-07-01, when the first of the sets was recorded
_APART_NS = 3600 * NS
_WINDOW_NS = 60 * NS
_P = 1e-7  # the data set says that something was anomalous, not how much
_WRITERS = (
    (sc.ANOMALIES, "detect"), (sc.ANOMALIES, "watch"), (sc.TOPOLOGY, "normalise"), (sc.TOPOLOGY, "derive-spans"),
    (sc.CHANGES, "normalise"), (sc.CALENDAR, "normalise"),
    (sc.ALERTS, "normalise"),
)  # fmt: skip
"""Stages in whose place the importer speaks: their time ends with the last incident."""


class Incident(NamedTuple):
    """One incident as the data set has it; number: its place among all, which gives its time."""

    name: str
    set: str
    key: str
    number: int
    instance: str
    family: str

    @property
    def at_ns(self) -> int:
        return _START_NS + self.number * _APART_NS


class Tvdiag:
    """See the module."""

    kind = "tvdiag"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        with unpacked(path, _is_wanted) as root:
            incidents = _incidents(root, options, self.kind)
            views = {name: _views(root, name) for name in dict.fromkeys(i.set for i in incidents)}
            morgue = Morgue(_SOURCE)
            last = _START_NS
            answering = {name: _answering(view["traces"]) for name, view in views.items()}
            for incident in incidents:
                yield from _events(incident, views[incident.set], answering[incident.set], morgue)
                yield from morgue.letters()
                last = incident.at_ns + _WINDOW_NS
            for topic, writer in _WRITERS:
                mark = sc.Watermark(stage=writer, through_ns=last, final=True)
                id = sc.record_id(mark.TYPE, _SOURCE, topic, writer)
                yield sc.emit(topic, mark, id=id, key=writer, source=_SOURCE, event_ns=last)

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        with unpacked(path, lambda name: name.name == "label.csv") as root:
            incidents = _incidents(root, options, self.kind)
            return [{"id": i.name, "at_ns": i.at_ns, "entity": i.instance, "family": i.family} for i in incidents]


PLUGIN = Tvdiag


def _is_wanted(name: PurePosixPath) -> bool:
    return name.name == "label.csv" or name.stem in _VIEWS


def _incidents(root: Path, options: Options, kind: str) -> list[Incident]:
    check_options(kind, options, {"set", "incident"})
    found: list[Incident] = []
    for name in _SETS:
        for file in sorted(root.rglob(f"{name}/label.csv")):
            try:
                with file.open(newline="", encoding="utf-8") as lines:
                    rows = [(r["index"], r["instance"], r["anomaly_type"].strip("[]")) for r in csv.DictReader(lines)]
            except (OSError, KeyError, ValueError, csv.Error) as error:
                raise ImportError_(f"labels cannot be read: {why(error)}", where=f"{name}/label.csv") from error
            found += [Incident(f"{name}/{i}", name, i, len(found) + n, *rest) for n, (i, *rest) in enumerate(rows)]
    chosen = [i for i in found if options.get("set") in (None, i.set) and options.get("incident") in (None, i.name)]
    if not chosen:
        what = f"no such incident; sets here: {', '.join(sorted({i.set for i in found})) or 'none'}"
        raise ImportError_(what, where=root.name, todo="Give the TVDiag archive, incident=SET/INDEX")
    return chosen


def _views(root: Path, name: str) -> dict[str, Mapping[str, list[Any]]]:
    views = {}
    for view in _VIEWS:
        files = sorted(root.rglob(f"{name}/{view}.json"))
        try:
            views[view] = json.loads(files[0].read_text(encoding="utf-8")) if files else {}
        except (OSError, ValueError) as error:
            raise ImportError_(f"cannot be read: {why(error)}", where=f"{name}/{view}.json") from error
    return views


def _answering(traces: Mapping[str, list[Any]]) -> dict[str, str]:
    """By operation the instance that answers it when others call; operations that several answer are left out."""
    found: dict[str, set[str]] = {}
    for event in (event for events in traces.values() for event in events if len(event) == 4):
        caller, instance, operation = (str(part) for part in event[:3])
        if caller != instance:
            found.setdefault(operation, set()).add(instance)
    return {operation: next(iter(instances)) for operation, instances in found.items() if len(instances) == 1}


def _ways(events: list[Any], answering: Mapping[str, str]) -> dict[tuple[str, str], tuple[str, bool]]:
    """By caller and operation of slow calls that were measured by the caller: who answers, and whether the answer was
    slow by itself."""
    slow = {tuple(str(part) for part in event[:3]) for event in events if len(event) == 4 and event[3] == "PD"}
    found = {}
    for caller, instance, operation in sorted(slow):
        callee = answering.get(operation, caller)
        if caller == instance != callee:
            found[caller, operation] = callee, (caller, callee, operation) in slow
    return found


def _events(
    incident: Incident, views: Mapping[str, Mapping[str, list[Any]]], answering: Mapping[str, str], morgue: Morgue
) -> Iterator[Emit]:
    """Edges first, then the anomalies, all at the instant of the incident."""
    at, index = incident.at_ns, incident.key
    nodes = [str(node) for node in views["nodes"].get(index, [])]
    pairs = sorted({(a, b) for a, b in views["edges"].get(index, []) if a != b and max(a, b) < len(nodes)})
    for a, b in pairs:
        caller, callee = (f"{incident.set}/service/{nodes[i]}" for i in (a, b))
        id = sc.record_id("edge", incident.set, caller, callee, at)
        edge = sc.TopologyEdge(id=id, tenant=incident.set, caller=caller, callee=callee, first_ns=at, last_ns=at)
        yield sc.emit(sc.TOPOLOGY, edge, id=id, key=caller, source=_SOURCE, event_ns=at)
    seen: set[str] = set()
    for view in ("metrics", "traces", "logs"):
        events = views[view].get(index, [])
        ways = _ways(events, answering) if view == "traces" else {}
        for event in events:
            try:
                anomaly = _anomaly(incident, view, [str(part) for part in event], ways)
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raw = json.dumps(event).encode()
                where = f"{incident.name} {view}"
                morgue.keep(raw, reason="EVENT_INVALID", what=repr(error), where=where, event_ns=at)
                continue
            if anomaly.id not in seen:  # the data set repeats some
                seen.add(anomaly.id)
                key = f"{incident.set}/default"
                yield sc.emit(
                    sc.ANOMALIES, anomaly, id=anomaly.id, key=key, source=_SOURCE, event_ns=anomaly.end_ns - 1
                )


def _anomaly(
    incident: Incident, view: str, event: list[str], ways: Mapping[tuple[str, str], tuple[str, bool]]
) -> sc.Anomaly:
    """An event as an anomaly. Raises IndexError or ValueError where it is not one of the known forms.

    A slow call counts for both ends, as time may be lost on the way; but where the caller measured it too (`ways`) it
    is known whether that was so: slow for the caller alone it lost time on the way, slow for both inside who answers.
    A failed call counts for whoever answers, and its label names the caller. Any other slow operation inside an
    instance is its own latency.
    """
    labels: dict[str, str] = {}
    kind: sc.AnomalyKind
    signal: sc.Signal
    direction: Literal[-1, 0, 1] = 1
    if view == "metrics":
        instance, name, way = event[0], event[-2], event[-1]
        kind, signal, direction = "metric", "metrics", {"up": 1, "down": -1}[way]  # type: ignore[assignment]
    elif view == "traces":
        caller, instance, operation, what = event
        name, signal = f"span.{what.lower()}", "traces"
        callee, is_slow_itself = ways.get((caller, operation), (instance, caller == instance))
        if (caller == instance and is_slow_itself) or what != "PD":
            callee = instance
        kind = "error_ratio" if what != "PD" else "latency" if is_slow_itself else "edge_gap"
        labels = {"endpoint": operation} | ({"status": what} if what != "PD" else {})
        if caller != callee:
            labels |= {"caller": "" if caller == "-1" else caller, "callee": callee}
    else:
        instance, template = event
        name, signal, kind, labels = "log.lines", "logs", "template_burst", {"template": f"template {template}"}
    entity = sc.Entity(tenant=incident.set, service=instance, name=instance).entity_id
    start, end = incident.at_ns, incident.at_ns + _WINDOW_NS
    series = sc.sha256(sc.canonical([entity, name, labels]))[:16]
    digest = sc.sha256(sc.canonical([incident.name, view, *event]))
    pointer = sc.EvidencePointer(signal=signal, subject=series, t_min_ns=start, t_max_ns=end, sha256=digest)
    return sc.Anomaly(
        id=sc.record_id("anomaly", _SOURCE, incident.name, view, *event), tenant=incident.set, entity_id=entity,
        service=instance, series=series, name=name, labels=labels, signal=signal, kind=kind, detector="tvdiag",
        start_ns=start, end_ns=end, observed=None, expected=None, residual=None, unit="1", p_value=_P,
        direction=direction, count=1, pointer=pointer,
    )  # fmt: skip
