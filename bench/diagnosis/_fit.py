"""Fitting on one directory of sets for scoring another, and the artefacts that ship with Tidegate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.diagnosis._model import Model, Ranked, calibrated, crossed, fit
from bench.diagnosis._score import group_of
from bench.diagnosis._sets import Found, Incident
from learning import Outcome, fit_calibration
from schemas import CalibrationMap

FIXED = ("2023-01-29T10:20:10", "2023-01-30T12:29:29")
"""The two incidents that are packed singly; the shipped artefacts are fitted on the other 43."""
NAMES = {
    "weights": "ranker-nezha-tt.json",
    "history": "history-nezha-tt.json",
    "calibration": "calibration-nezha-tt.json",
}


class Trained(NamedTuple):
    """What was fitted for a set, and how it was, so that a family can be left out of it."""

    model: Model
    curve: CalibrationMap
    incidents: Sequence[Incident]
    known: Sequence[Ranked]
    novel: Sequence[Ranked]
    data: str
    is_general: bool

    def without(self, family: str) -> tuple[Model, CalibrationMap]:
        """The same with no incident of that family in any part of the fit."""
        rest = [one for one in self.incidents if one.family != family]
        known, novel = ([r.outcome for r in part if r.incident.family != family] for part in (self.known, self.novel))
        return fit(rest, data=self.data, is_general=self.is_general), calibrated(known, novel, self.data)


def train(sets: Mapping[str, Found], wanted: Sequence[str]) -> dict[str, Trained]:
    """A model and a calibration for each wanted set: its own incidents where there are any, else those of Nezha, or of
    whatever there is, without what names entities."""
    out: dict[str, Trained] = {}
    for name in wanted:
        source = name if name in sets else "nezha_tt" if "nezha_tt" in sets else min(sets)
        incidents, is_general = sets[source].incidents, source != name
        known, novel = ranked(source, incidents, is_general=is_general)
        model = fit(incidents, data=source, is_general=is_general)
        curve = calibrated([r.outcome for r in known], [r.outcome for r in novel], source)
        out[name] = Trained(model, curve, incidents, known, novel, source, is_general)
    return out


def ranked(name: str, incidents: Sequence[Incident], *, is_general: bool = False) -> tuple[list[Ranked], list[Ranked]]:
    """Out of fold: with the fault family known, and with the whole family left out."""
    known, _ = crossed(incidents, group_of(name), data=name, is_general=is_general)
    novel: list[Ranked] = []
    if len({one.family for one in incidents}) > 1:
        novel, _ = crossed(incidents, lambda one: one.family, data=name, is_general=is_general)
    return known, novel


def ship(sets: Mapping[str, Found], into: Path) -> None:
    """Write weights, history and calibration for systems of which nothing is known.

    Every incident counts twice: after all fault-free minutes, and after those that came before it only, because a
    service that is new to us has hardly any past, and what it then shows at random must not seem rare.
    """
    incidents = [one for name in ("nezha_tt", "nezha_plain") for one in sets[name].incidents if one.id not in FIXED]
    data = "Nezha Train-Ticket (MIT), 2023-01-29 and 30"
    model = fit(incidents, data=data, is_general=True)
    known, novel = ranked("nezha_tt", incidents, is_general=True)
    outcomes: list[list[Outcome]] = [[r.outcome for r in part] for part in (known, novel)]
    calibration = fit_calibration(*outcomes, data=data, held_out=FIXED)
    records = {
        "weights": model.weights.model_copy(update={"held_out": list(FIXED)}),
        "history": model.history.record.model_copy(update={"held_out": list(FIXED)}),
        "calibration": calibration,
    }
    into.mkdir(parents=True, exist_ok=True)
    for what, record in records.items():
        (into / NAMES[what]).write_text(record.model_dump_json(indent=None if what == "history" else 1) + "\n")
