"""Labelled incidents of public sets as anomalies and edges: imported one by one, replayed up to detection.

What was found is kept below the temporary directory under a digest of the data and of the code that made it, because
detection takes most of the time and none of the questions asked here touch it.
"""

import hashlib
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import schemas as sc
from bench.diagnosis._metrics import Table, table_of
from schemas.core import NS, Message
from streams import Recording, import_
from streams._errors import ImportError_
from streams.importers._archive import _unpack
from tidegate import _catalogue
from tidegate._pipeline import build
from tidegate._replay import replay
from tidegate._settings import Settings

FOLDERS = {
    "nezha_tt": "nezha-trainticket", "nezha_ob": "nezha-onlineboutique", "petshop": "petshop", "tvdiag_gaia": "tvdiag",
    "tvdiag_hotel": "tvdiag", "tvdiag_sockshop": "tvdiag", "changerca": "changerca",
}  # fmt: skip
PLAIN = "nezha_plain"
"""Nezha Train-Ticket as it was recorded: the fault-free minute of the day where it lies, be it after the fault."""
STRETCH_S = {"nezha": (30, 170), "petshop": (300, 900), "tvdiag": (0, 60), "changerca": (300, 120)}
"""Evidence is taken from windows that lie in this stretch around the labelled time, by importer. ChangeRCA labels when
an alert fired, minutes after the release that was at fault."""
QUIET_S = 1500
"""A fault-free window: 25 minutes."""
EVENTS = ("tvdiag_gaia", "tvdiag_hotel", "tvdiag_sockshop")
"""Sets of events without numbers and times: nothing is detected in them."""
_ROOMS = ("streams", "detectors", "schemas")


class Incident(NamedTuple):
    """One labelled incident. services: that could have been named. seconds: CPU of detection, import excluded.

    everything: all anomalies of the recording, for detection that opens incidents itself.
    """

    set: str
    id: str
    cause: str
    family: str
    at_ns: int
    services: int
    anomalies: list[sc.Anomaly]
    edges: list[sc.TopologyEdge]
    everything: list[sc.Anomaly]
    seconds: float
    metrics: Table | None
    target: tuple[str, str] | None
    changes: tuple[sc.Change, ...] = ()


class Quiet(NamedTuple):
    """A fault-free stretch: its anomalies and edges, and the 25-minute windows that are judged, [start, end) in ns."""

    name: str
    anomalies: list[sc.Anomaly]
    edges: list[sc.TopologyEdge]
    windows: list[tuple[int, int]]
    services: int


class Found(NamedTuple):
    incidents: list[Incident]
    quiet: list[Quiet]


def archives(folder: Path) -> list[Path]:
    """Packed files of a folder, by name; none if it is not there."""
    return sorted(f for f in folder.glob("*") if f.name.endswith((".tar.xz", ".tar.zst")))


def load(name: str, data: Path, beside: Path | None = None) -> Found | None:
    """A set, or None if it is not there. Kept for the next run.

    Several archives of a folder are one set that was split. beside: where the fault-free stretches of PetShop are
    taken from if they are not in `data`.
    """
    folder = FOLDERS["nezha_tt" if name == PLAIN else name]
    packed = archives(data / folder)
    if not packed:
        return None
    quiet = archives(beside / folder) if beside and name == "petshop" else []
    digest = hashlib.sha256(name.encode())
    for file in [*packed, *quiet]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    root = Path(__file__).resolve().parents[2]
    for file in [*sorted(f for room in _ROOMS for f in (root / room).rglob("*.py")), Path(__file__)]:
        digest.update(file.read_bytes())
    kept = Path(tempfile.gettempdir()) / "tidegate-bench" / f"diagnosis-{name}-{digest.hexdigest()[:16]}.pickle"
    if kept.is_file():
        known: Found = pickle.loads(kept.read_bytes())  # our own file, named by a digest of what it holds
        return known
    with _merged(packed, quiet) as places:
        parts = [_read(name, place) for place in places]
    found = Found([i for part in parts for i in part.incidents], [q for part in parts for q in part.quiet])
    if not found.incidents:
        return None
    services = max(one.services for one in found.incidents)
    if name not in EVENTS:
        found = found._replace(incidents=[one._replace(services=services) for one in found.incidents])
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".partial")
    partial.write_bytes(pickle.dumps(found))
    partial.rename(kept)
    return found


@contextmanager
def _merged(packed: Sequence[Path], quiet: Sequence[Path]) -> Iterator[list[Path]]:
    """Everything unpacked into one directory; several places where every archive has a top folder of its own."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as place:
        root = Path(place)
        for file in quiet:
            _unpack(file, root, lambda name: "noissue" in name.parts or name.name == "graph.csv")
        for file in packed:
            _unpack(file, root, lambda name: name.suffix in (".csv", ".json"))
        tops = [p for p in sorted(root.iterdir()) if (p / "rca_data").is_dir() or (p / "label.json").is_file()]
        yield tops if len(tops) > 1 else [root]


def _read(name: str, place: Path) -> Found:
    if name in EVENTS:
        return Found(_events(name, place), [])
    kind = name.partition("_")[0]
    importer = _catalogue.find("importers")[kind]
    options = {"baseline": "all"} if kind == "nezha" and name != PLAIN else {}
    incidents: list[Incident] = []
    quiet: list[Quiet] = []
    for label in importer.labels(place, {}):
        with tempfile.TemporaryDirectory() as out:
            import_(importer, place, Path(out) / "r", {"incident": label["id"], **options}, None)
            one = _incident(name, kind, Path(out) / "r", label)
        if one is not None:
            incidents.append(one)
            if kind == "nezha":
                quiet.append(_before(one))
    if kind == "petshop":
        quiet += _fault_free(importer, place, [i.id for i in incidents])
    return Found(incidents, quiet)


def _incident(name: str, kind: str, recording: Path, label: dict[str, Any]) -> Incident | None:
    """None where nothing normal was recorded before the fault: then nobody can tell what is not."""
    opened = Recording.open(recording)
    messages = list(opened.messages())
    metrics = table_of(messages)
    at = int(label["at_ns"])
    if kind == "petshop" and not metrics.has_before(at - 3600 * NS):
        return None
    started = time.process_time()
    run = replay(iter(messages), build(Settings(), last="detect"))
    seconds = time.process_time() - started
    anomalies, edges = _records(run.messages)
    edges += [e for e in _edges_of(messages) if e.id not in {known.id for known in edges}]
    before, after = STRETCH_S[kind]
    begin, end = at - before * NS, at + after * NS
    inside = [a for a in anomalies if a.end_ns > at - (before if kind == "petshop" else 0) * NS]
    inside = [a for a in inside if begin <= a.start_ns and a.end_ns <= end]
    calls = [e for e in edges if e.first_ns <= end]
    ends = {end.split("/")[2] for e in edges for end in (e.caller, e.callee)}
    names = ends | {service for service, _ in metrics.columns}
    target = ("PetSite", str(label["family"])) if kind == "petshop" else None
    return Incident(
        name, str(label["id"]), str(label["entity"]), str(label["family"]), at, len(names), inside, calls, anomalies,
        seconds, metrics, target, tuple(c for c in _changes_of(messages) if c.at_ns <= at),
    )  # fmt: skip


def _before(one: Incident) -> Quiet:
    """The 25 minutes before an incident of Nezha, of which only metrics were recorded."""
    end = one.at_ns - 120 * NS
    window = (end - QUIET_S * NS, end)
    anomalies = [a for a in one.everything if a.end_ns <= end and a.signal == "metrics"]
    return Quiet(one.id, anomalies, one.edges, [window], one.services)


def _fault_free(importer: Any, place: Path, issues: Sequence[str]) -> Iterator[Quiet]:
    """The second half of each fault-free stretch of PetShop in windows; the first is what is learned from."""
    for traffic in sorted({issue.partition("/")[0] for issue in issues}):
        with tempfile.TemporaryDirectory() as out:
            try:
                import_(importer, place, Path(out) / "r", {"incident": f"{traffic}/noissue"}, None)
            except ImportError_:  # none was recorded for this traffic
                continue
            messages = list(Recording.open(Path(out) / "r").messages())
        run = replay(iter(messages), build(Settings(), last="detect"))
        anomalies, edges = _records(run.messages)
        metrics = table_of(messages)
        times = sorted({int(t) for when, _ in metrics.columns.values() for t in when})
        middle, last = times[len(times) // 2], times[-1]
        starts = range(middle, last - QUIET_S * NS, QUIET_S * NS)
        windows = [(start, start + QUIET_S * NS) for start in starts]
        yield Quiet(
            traffic, anomalies, edges + _edges_of(messages), windows, len({service for service, _ in metrics.columns})
        )


def _events(name: str, place: Path) -> list[Incident]:
    """TVDiag: the importer says what anomalies there were."""
    importer = _catalogue.find("importers")["tvdiag"]
    part = name.partition("_")[2]
    anomalies: dict[int, list[sc.Anomaly]] = {}
    edges: dict[int, list[sc.TopologyEdge]] = {}
    try:
        labels = importer.labels(place, {"set": part})
    except ImportError_:  # data without this part
        return []
    for emit in importer.read(place, {"set": part}):
        message = Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns)
        if sc.record_type(message) not in ("anomaly", "edge"):
            continue
        record = sc.read(message)
        if isinstance(record, sc.Anomaly):
            anomalies.setdefault(record.start_ns, []).append(record)
        elif isinstance(record, sc.TopologyEdge):
            edges.setdefault(record.first_ns, []).append(record)
    names = {a.service for found in anomalies.values() for a in found} | {str(label["entity"]) for label in labels}
    names |= {end.split("/")[2] for found in edges.values() for e in found for end in (e.caller, e.callee)}
    return [
        Incident(
            name, str(label["id"]), str(label["entity"]), str(label["family"]), int(label["at_ns"]),
            len(names), anomalies.get(int(label["at_ns"]), []), edges.get(int(label["at_ns"]), []),
            anomalies.get(int(label["at_ns"]), []), 0.0, None, None,
        )
        for label in labels
    ]  # fmt: skip


def _records(messages: Sequence[Message]) -> tuple[list[sc.Anomaly], list[sc.TopologyEdge]]:
    found = [sc.read(m) for m in messages if sc.record_type(m) in ("anomaly", "edge")]
    return [r for r in found if isinstance(r, sc.Anomaly)], [r for r in found if isinstance(r, sc.TopologyEdge)]


def _edges_of(messages: Sequence[Message]) -> list[sc.TopologyEdge]:
    found = [sc.read(m) for m in messages if m.topic == sc.TOPOLOGY and sc.record_type(m) == "edge"]
    return [r for r in found if isinstance(r, sc.TopologyEdge)]


def _changes_of(messages: Sequence[Message]) -> list[sc.Change]:
    found = [sc.read(m) for m in messages if m.topic == sc.CHANGES and sc.record_type(m) == "change"]
    return [r for r in found if isinstance(r, sc.Change)]
