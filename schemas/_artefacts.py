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
    prior: dict[str, float] = {}
    """Weights before any fit: what is believed of a fault of a family that nobody has confirmed yet."""


class CalibrationMap(Artefact):
    """From a ranker's score to a probability that its first candidate is the cause.

    The score is the log-odds of the first candidate against all others. `parameters` are of what is known (fitted on
    incidents whose fault family the ranker had seen), `novel_parameters` of what is not; a case lies between them by
    the probability that it is new, a logistic function of its likeness to confirmed causes with `novelty_parameters`.
    The score of what is not known is that of the weights before any fit: a fit has not seen what is new, and is
    as sure of the wrong cause there as of the right one.
    platt: slope and intercept. isotonic: scores, then as many probabilities.
    """

    TYPE: ClassVar[str] = "calibration-map"
    method: Literal["platt", "isotonic"]
    parameters: list[float]
    state: Literal["TRANSFERRED", "OWN"]
    outcomes: int
    novel_parameters: list[float] = []
    novelty_parameters: list[float] = []
    scored: list[float] = []
    """Out-of-fold confidences of the outcomes it was fitted on, ascending; intervals count neighbours among them."""
    completeness: float = 1.0
    """What nine of ten of those outcomes had of their samples at least: only less than that takes from a confidence."""
    beta_parameters: list[float] = []
    """Slope below even odds, slope above, intercept: what `parameters` say with a bend, in place of them if present.
    Beta calibration (Kull, Silva Filho & Flach 2017)."""
    right: list[int] = []
    """1 where the first candidate of that outcome was the cause, else 0."""


class Pattern(Record):
    """Signs of the cause in one confirmed incident: kind, name, direction, place and status with their strength."""

    TYPE: ClassVar[str] = "pattern"
    family: str
    signs: dict[str, float]


class EvidenceHistory(Artefact):
    """What bystanders show in ordinary incidents, and what causes showed: evidence is judged against both.

    Values are ascending strengths of signs on entities that were not the cause. `entities` counts entity-incidents.
    Keys: a kind; kind, name and direction; a whole sign of one entity. Parts are divided by U+001F.
    """

    TYPE: ClassVar[str] = "evidence-history"
    incidents: int = 0
    entities: int = 0
    kinds: dict[str, list[float]] = {}
    names: dict[str, list[float]] = {}
    own: dict[str, list[float]] = {}
    patterns: list[Pattern] = []
    signals: dict[str, float] = {}
    """Share of incidents in which each signal (metrics, logs, traces) spoke."""


class TailFit(Artefact):
    """Generalised Pareto tail of a detector's score for one series class."""

    TYPE: ClassVar[str] = "tail-fit"
    detector: str
    threshold: float
    shape: float
    scale: float
    exceedance_ratio: float
