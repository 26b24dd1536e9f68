"""Fitted artefacts: numbers that `learning/` produces, `tidegate` loads and the rooms receive as arguments."""

from typing import ClassVar, Literal

from schemas._base import Record
from schemas._ids import canonical, sha256


class Artefact(Record):
    """Says what it was fitted on, so that nothing is scored on what it was tuned on by accident."""

    data: str
    """Name of the data set, or `prior` where the numbers were set by hand."""
    fitted_on: list[str]
    """Ids of the incidents used, the manifest."""
    held_out: list[str] = []

    @property
    def digest(self) -> str:
        return sha256(canonical(self.model_dump(mode="json")))


class RankerWeights(Artefact):
    """Non-negative weights of the additive log-odds ranker, one per evidence kind."""

    TYPE: ClassVar[str] = "ranker-weights"
    weights: dict[str, float]
    method: str


class CalibrationMap(Artefact):
    """From a ranker's score to a probability."""

    TYPE: ClassVar[str] = "calibration-map"
    method: Literal["platt", "isotonic"]
    parameters: list[float]
    state: Literal["TRANSFERRED", "OWN"]
    outcomes: int


class TailFit(Artefact):
    """Generalised Pareto tail of a detector's score for one series class."""

    TYPE: ClassVar[str] = "tail-fit"
    detector: str
    threshold: float
    shape: float
    scale: float
    exceedance_ratio: float
