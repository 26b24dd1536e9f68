"""Labelled incidents of Nezha Train-Ticket as tables of evidence: imported one by one, replayed up to detection."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import schemas as sc
from diagnosis import KINDS, evidence_matrix
from learning import Case
from schemas.core import NS
from streams import Recording, import_
from tidegate import _catalogue
from tidegate._pipeline import build
from tidegate._replay import replay
from tidegate._settings import Settings

FOLDER = "nezha-trainticket"
SERVICES = 46
BEFORE_S, AFTER_S = 30, 170
"""Evidence is taken from windows that lie in this stretch around the labelled minute."""


class Labelled(NamedTuple):
    """One incident: its case for fitting and its fault type. seconds: import excluded."""

    case: Case
    family: str
    seconds: float


def archives(folder: Path) -> list[Path]:
    """Packed files of a folder, by name; none if it is not there."""
    return sorted(f for f in folder.glob("*") if f.name.endswith((".tar.xz", ".tar.zst")))


def incidents(archive: Path) -> list[dict[str, Any]]:
    """The labels of the archive: id, at_ns, entity, family."""
    return list(_catalogue.find("importers")["nezha"].labels(archive, {}))


def labelled(archive: Path) -> Iterator[Labelled]:
    """Every labelled incident of the full archive."""
    importer = _catalogue.find("importers")["nezha"]
    for label in incidents(archive):
        with tempfile.TemporaryDirectory() as place:
            import_(importer, archive, Path(place) / "r", {"incident": label["id"]}, None)
            yield _case(Path(place) / "r", label)


def _case(recording: Path, label: dict[str, Any]) -> Labelled:
    started = time.perf_counter()
    run = replay(Recording.open(recording).messages(), build(Settings(), last="detect"))
    records = [sc.read(m) for m in run.messages if sc.record_type(m) in ("anomaly", "edge")]
    at = int(label["at_ns"])
    begin, end = at - BEFORE_S * NS, at + AFTER_S * NS
    anomalies = [
        r for r in records if isinstance(r, sc.Anomaly) and r.end_ns > at and begin <= r.start_ns and r.end_ns <= end
    ]
    edges = [r for r in records if isinstance(r, sc.TopologyEdge) and r.first_ns <= end]
    candidates, _, matrix = evidence_matrix(anomalies, edges, [], at)
    truth = candidates.index(label["entity"]) if label["entity"] in candidates else None
    case = Case(str(label["id"]), str(label["entity"]), matrix, truth, max(SERVICES, len(candidates)))
    return Labelled(case, str(label["family"]), time.perf_counter() - started)


__all__ = ["FOLDER", "KINDS", "Labelled", "archives", "incidents", "labelled"]
