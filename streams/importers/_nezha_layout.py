"""Where things lie in Nezha data: a single labelled incident, or the whole archive of several days.

    NAME/{label.json, metrics.csv, HH_MM_log.csv, HH_MM_trace.csv, faultfree_HH_MM_log.csv, ...}
    rca_data/DAY/{DAY-fault_list.json, log/HH_MM_log.csv, trace/HH_MM_trace.csv, metric/POD_metric.csv}
    construct_data/DAY/{log, trace}    the fault-free minutes of the day (its metrics are a copy of the above)
Only `inject_time` is right, as UTC; `inject_timestamp` is hours off in this data set.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from schemas import why
from schemas.core import NS
from streams._errors import ImportError_

_MINUTE = re.compile(r"(?:faultfree_)?(\d\d)_(\d\d)_(?:log|trace)\.csv")
_POD_HASHES = re.compile(r"-[0-9a-z]{6,10}-[0-9a-z]{5}$")
_BEFORE_S, _AFTER_S = 30 * 60, 10 * 60  # metrics around an incident, as in the published single incidents
_FAULT_MINUTES = 3


class Minute(NamedTuple):
    """The log and trace files of one recorded minute; at_ns is the minute of their name, not of what is in them.

    moved_ns: what is added to all times in them.
    """

    at_ns: int
    logs: Path
    traces: Path
    moved_ns: int = 0


class Label(NamedTuple):
    """Ground truth of one incident."""

    id: str
    at_ns: int
    service: str
    family: str


@dataclass(frozen=True)
class Layout:
    """What to read, in order of time. since_ns, until_ns: bounds of the metrics, both inside."""

    labels: list[Label]
    minutes: list[Minute]
    metrics: list[Path]
    since_ns: int = -(1 << 62)
    until_ns: int = 1 << 62


def wanted(name: PurePosixPath) -> bool:
    """Whether a member of an archive is of use: tables and labels, not the lists of trace ids or the metric copies."""
    if name.suffix == ".json":
        return name.name == "label.json" or name.name.endswith("fault_list.json")
    is_copy = "construct_data" in name.parts and name.parent.name == "metric"
    return name.suffix == ".csv" and name.parent.name != "traceid" and not is_copy


def is_label(name: PurePosixPath) -> bool:
    return name.suffix == ".json" and wanted(name)


def service_of(pod: str) -> str:
    """A pod's name without the hashes of its replica set and its own.

    >>> service_of("ts-travel-service-64469b5b48-25zj6")
    'ts-travel-service'
    """
    return _POD_HASHES.sub("", pod)


def layout(root: Path, source: str, incident: str | None, *, is_quiet_first: bool = False) -> Layout:
    """Find the data below a directory; `incident` picks one of many by id or by number from 1.

    is_quiet_first: the fault-free minutes of all days are moved to before the incident.

    Raises ImportError_ if it is not Nezha data or there is no such incident.
    """
    for place in (root, *sorted(p for p in root.iterdir() if p.is_dir())):
        if (place / "label.json").is_file():
            return _single(place, incident)
        if (place / "rca_data").is_dir():
            return _whole(place, incident, is_quiet_first)
    todo = "Give an incident's archive or the whole one, packed or unpacked"
    raise ImportError_("no Nezha data here: neither label.json nor rca_data/", where=source, todo=todo)


def _single(place: Path, incident: str | None) -> Layout:
    label = _label(_json(place / "label.json"), place / "label.json")
    if incident is not None:
        _pick([label], incident)
    day = label.at_ns // (86_400 * NS) * (86_400 * NS)
    return Layout([label], _minutes(day, place, place), [place / "metrics.csv"])


def _whole(place: Path, incident: str | None, is_quiet_first: bool) -> Layout:
    labels: list[Label] = []
    faults: dict[str, list[Minute]] = {}
    normal: dict[str, list[Minute]] = {}
    metrics: dict[str, list[Path]] = {}
    for day in sorted((place / "rca_data").iterdir()):
        file = day / f"{day.name}-fault_list.json"
        labels += [_label(entry, file) for hour in _json(file).values() for entry in hour]
        start = _utc_ns(day.name, "%Y-%m-%d", file)
        faults[day.name] = _minutes(start, day / "log", day / "trace")
        fault_free = place / "construct_data" / day.name
        normal[day.name] = _minutes(start, fault_free / "log", fault_free / "trace")
        metrics[day.name] = sorted((day / "metric").glob("*.csv"))
    labels.sort(key=lambda label: label.at_ns)
    if incident is None:
        minutes = sorted(minute for by_day in (faults, normal) for day in by_day.values() for minute in day)
        return Layout(labels, minutes, [file for day in metrics.values() for file in day])
    label = _pick(labels, incident)
    name, minute = label.id[:10], label.at_ns // (60 * NS) * (60 * NS)
    of_fault = [m for m in faults[name] if 0 <= m.at_ns - minute < _FAULT_MINUTES * 60 * NS]
    pods = [file for file in metrics[name] if file.name.endswith("_metric.csv")]
    since, until = label.at_ns - _BEFORE_S * NS, label.at_ns + _AFTER_S * NS
    quiet = _before(minute, [m for day in normal.values() for m in day]) if is_quiet_first else normal[name]
    return Layout([label], sorted(quiet + of_fault), pods, since, until)


def _before(fault_ns: int, quiet: list[Minute]) -> list[Minute]:
    """Fault-free minutes as neighbours, from an even minute on, at least two minutes before the fault.

    Even, because log templates are learned in windows of two minutes, and half a window teaches less.
    """
    pair = 120 * NS
    first = fault_ns // pair * pair - ((len(quiet) + 1) // 2 + 1) * pair
    return [m._replace(at_ns=first + i * 60 * NS, moved_ns=first + i * 60 * NS - m.at_ns) for i, m in enumerate(quiet)]


def _minutes(day_ns: int, logs: Path, traces: Path) -> list[Minute]:
    """Every minute with a file of either signal; the other one may be missing."""
    found: dict[int, Minute] = {}
    for file in sorted([*logs.glob("*_log.csv"), *traces.glob("*_trace.csv")]):
        if name := _MINUTE.fullmatch(file.name):
            at = day_ns + (int(name[1]) * 60 + int(name[2])) * 60 * NS
            stem = file.name.rpartition("_")[0]
            found[at] = Minute(at, logs / f"{stem}_log.csv", traces / f"{stem}_trace.csv")
    return sorted(found.values())


def _pick(labels: list[Label], incident: str) -> Label:
    for number, label in enumerate(labels, 1):
        if incident in (label.id, str(number)):
            return label
    first, last = labels[0].id, labels[-1].id
    what = f"there is no incident '{incident}', there are 1 to {len(labels)} ({first} to {last})"
    raise ImportError_(what, where="import nezha", code="IMPORT_INCIDENT_UNKNOWN")


def _label(entry: Any, file: Path) -> Label:
    try:
        at_ns = _utc_ns(entry["inject_time"], "%Y-%m-%d %H:%M:%S", file)
        return Label(
            entry["inject_time"].replace(" ", "T"), at_ns, service_of(entry["inject_pod"]), entry["inject_type"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ImportError_(f"not a label of an incident: {error!r}", where=file.name) from error


def _utc_ns(text: str, form: str, file: Path) -> int:
    try:
        return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()) * NS
    except ValueError as error:
        raise ImportError_(f"'{text}' is not a time of the form {form}", where=file.name) from error


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImportError_(f"cannot be read: {why(error)}", where=file.name, todo="Copy the data again") from error
