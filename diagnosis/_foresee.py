"""Foresight: a forecast that says a limit will be reached becomes an incident before anything is ill.

It is diagnosed like any other, so what may follow of it passes the same runbooks, policies, approvals and gateway:
there is no side door for what is only foreseen. What is said is the margin: by how many half-widths of its own interval
the forecast's middle lies beyond the limit. A calibration turns it into a confidence, fitted on how often limits that
were foreseen and not yet reached were then reached. The quantiles themselves are no such chance: they hold for all
forecasts together, and those that cross a limit are picked from them, so they say 0.95 where half come true
(docs/forecasts.md). Families end in `_ahead`, so that no runbook for an ill service fits.
The incident ends when the limit is not foreseen any more, or when nobody said so again in time: from then on it is for
detection. The limits are what people said; nothing here learns one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import schemas as sc
from diagnosis._confidence import Standing, confidence_of
from diagnosis._errors import StateInvalid
from diagnosis._evidence import service_of
from diagnosis._silences import NAME
from diagnosis._stage import SOURCE, Diagnose
from diagnosis._state import DiagnoseState
from diagnosis._trial import Diagnosing, TrialState
from schemas.core import NS, Event, Message, Output, Tick

Ahead = Literal["load_ahead", "pool_ahead", "disk_ahead"]
LEAST_MARGIN, OVER_MARGIN = 0.0, -0.5
"""A limit is foreseen where the forecast's middle has reached it; half of the way to its end takes that back."""
LEAST_ERRORS = 50
"""Errors without overlap under which an interval is too little known for a confidence; ours, not measured."""
_FLAT = 1e-9
_MOST = 20.0
"""Beyond that it is the same: an interval without width has no margin to speak of."""
_KEPT_NS = 24 * 3600 * NS


class Limit(NamedTuple):
    """What a series of a service must not reach, in its unit. labels: those that it must have. most: from above, else
    from below (free space).
    """

    service: str
    metric: str
    at: float
    family: Ahead
    most: bool = True
    labels: tuple[tuple[str, str], ...] = ()

    def is_of(self, forecast: sc.Forecast) -> bool:
        return (
            (forecast.service, forecast.name) == (self.service, self.metric)
            and all(forecast.labels.get(name) == value for name, value in self.labels)
        )  # fmt: skip

    def margin(self, forecast: sc.Forecast) -> float:
        """How far the middle is beyond the limit, in half-widths of the interval on that side; 0 at the limit, 1 where
        the whole interval is beyond it, -1 where none of it is.
        """
        sign = 1.0 if self.most else -1.0
        low, middle, high = sorted(sign * end for end in (forecast.low, forecast.expected, forecast.high))
        beyond = middle - sign * self.at
        width = middle - low if beyond >= 0 else high - middle
        return max(-_MOST, min(_MOST, beyond / max(width, _FLAT * max(abs(middle), 1.0))))


class Foreseen(NamedTuple):
    """One limit that is foreseen to be reached. until_ns: said again by then, or over."""

    incident_id: str
    tenant: str
    entity_id: str
    opened_ns: int
    until_ns: int
    revision: int
    title: str


@dataclass(slots=True)
class ForeseeState:
    """Of the diagnose stage, and by (series, family) what is foreseen and up to when forecasts were taken."""

    diagnose: DiagnoseState | TrialState
    open: dict[tuple[str, str], Foreseen] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    through_ns: int = 0


class Foresee:
    """The diagnose stage with forecasts beside anomalies: one writer of incidents and diagnoses, as without."""

    name = Diagnose.name
    ordered = True
    makes_time = False

    def __init__(self, diagnose: Diagnosing, limits: Sequence[Limit], curve: sc.CalibrationMap | None) -> None:
        """curve: from margins to probabilities; None: nothing has a confidence."""
        self._diagnose, self._limits, self._curve = diagnose, tuple(limits), curve

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*self._diagnose.inputs, sc.FORECASTS)

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._diagnose.outputs

    @property
    def journal(self) -> tuple[str, ...]:
        return self._diagnose.journal

    def is_listening(self, state: ForeseeState) -> bool:
        return self._diagnose.is_listening(state.diagnose)

    def initial(self) -> ForeseeState:
        return ForeseeState(self._diagnose.initial())

    def step(self, state: ForeseeState, event: Event) -> tuple[ForeseeState, list[Output]]:
        """As of `Diagnose`; a forecast is taken at the event time at which it was said, and old ones not at all."""
        out: list[Output] = []
        if not isinstance(event, Tick) and event.topic == sc.FORECASTS:
            out += self._take(state, event)
            return state, out
        if isinstance(event, Tick):
            state.through_ns = event.through_ns
            state.taken = {name: at for name, at in state.taken.items() if at > event.through_ns - _KEPT_NS}
            out += _ended(state, event.through_ns, everything=event.final)
        state.diagnose, said = self._diagnose.step(state.diagnose, event)
        return state, out + said

    def dump(self, state: ForeseeState) -> bytes:
        """What the plain stage keeps and what is ahead beside it, so that either reads what the other kept."""
        document = json.loads(self._diagnose.dump(state.diagnose))
        document["ahead"] = {
            "open": [[*key, *one] for key, one in sorted(state.open.items())], "taken": state.taken,
            "through_ns": state.through_ns,
        }  # fmt: skip
        return json.dumps(document, sort_keys=True).encode()

    def load(self, data: bytes) -> ForeseeState:
        """Also what the stage kept before anybody named a limit. Raises StateInvalid."""
        state = ForeseeState(self._diagnose.load(data))
        try:
            kept = json.loads(data).get("ahead", {"open": [], "taken": {}, "through_ns": 0})
            state.open = {(row[0], row[1]): Foreseen(*row[2:]) for row in kept["open"]}
            state.taken, state.through_ns = dict(kept["taken"]), int(kept["through_ns"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateInvalid(f"the snapshot cannot be read: {error}", todo="Rebuild it from the topics") from error
        return state

    def _take(self, state: ForeseeState, message: Message) -> Iterator[Output]:
        try:
            forecast = sc.read(message)
        except sc.RecordInvalid:
            state.diagnose.count("rejected")
            return
        if not isinstance(forecast, sc.Forecast):
            return
        now_ns = max(message.event_ns, state.through_ns)
        if forecast.as_of_ns <= state.taken.get(forecast.series, -1) or forecast.at_ns <= now_ns:
            return  # an older one, or one of what is past
        limits = [limit for limit in self._limits if limit.is_of(forecast)]
        if not limits:
            return
        state.taken[forecast.series] = forecast.as_of_ns
        for limit in limits:
            key, margin = (forecast.series, limit.family), limit.margin(forecast)
            known = state.open.get(key)
            if known is not None and margin < OVER_MARGIN:
                yield _closed(state.open.pop(key), now_ns)
            elif known is not None or margin >= LEAST_MARGIN:
                found = _foreseen(known, forecast, limit, now_ns)
                state.open[key] = found
                why = _silenced(found, forecast, state.diagnose.silences.values(), now_ns)
                yield from _said(found, _hypothesis(found, forecast, limit, self._curve), forecast, now_ns, why)


def _foreseen(known: Foreseen | None, forecast: sc.Forecast, limit: Limit, now_ns: int) -> Foreseen:
    until_ns = 2 * forecast.at_ns - forecast.as_of_ns
    if known is not None:
        return known._replace(until_ns=until_ns, revision=known.revision + 1)
    id = sc.record_id("foreseen", forecast.tenant, forecast.series, limit.family, forecast.as_of_ns)
    title = f"{forecast.service}: {forecast.name} is foreseen to reach {limit.at:g}"
    return Foreseen(id, forecast.tenant, forecast.entity_id, now_ns, until_ns, 0, title)


def _silenced(found: Foreseen, forecast: sc.Forecast, silences: Iterable[sc.Silence], now_ns: int) -> list[str]:
    labels = forecast.labels | {
        "incident_id": found.incident_id, "service": forecast.service, "entity_id": forecast.entity_id,
        "tenant": forecast.tenant, "name": forecast.name, "__name__": forecast.name, "series": forecast.series,
        "kind": "forecast", "signal": "metrics",
    }  # fmt: skip
    held = (s.id for s in silences if s.tenant == found.tenant and s.is_active(now_ns) and s.holds(labels))
    return sorted(f"{NAME}:{identity}" for identity in held)


def _said(
    found: Foreseen, hypothesis: sc.Hypothesis, forecast: sc.Forecast, now_ns: int, why: list[str]
) -> Iterator[Output]:
    yield _incident(found, now_ns, "open", why)
    diagnosis = sc.Diagnosis(
        id=sc.record_id("diagnosis", found.incident_id, found.revision), incident_id=found.incident_id,
        tenant=found.tenant, revision=found.revision, as_of_ns=now_ns, opened_ns=found.opened_ns,
        entities=[found.entity_id], severity=0.0, hypotheses=[hypothesis], versions={"forecast": forecast.model},
        suppressed_by=why,
    )  # fmt: skip
    yield sc.emit(sc.DIAGNOSES, diagnosis, id=diagnosis.id, key=found.incident_id, source=SOURCE, event_ns=now_ns)


def _hypothesis(found: Foreseen, forecast: sc.Forecast, limit: Limit, curve: sc.CalibrationMap | None) -> sc.Hypothesis:
    margin = round(limit.margin(forecast), 9)
    steps = max(round((forecast.at_ns - forecast.as_of_ns) / (forecast.step_s * NS)), 1)
    confidence: float | None = None
    interval: tuple[float, float] | None = None
    state: sc.ConfidenceState = "UNCALIBRATED"
    if curve is not None and forecast.errors // steps >= LEAST_ERRORS:
        confidence, interval = confidence_of(curve, Standing(margin))
        state = curve.state
    digest = sc.sha256(sc.canonical(sc.rounded(forecast.model_dump(mode="json"))))
    pointer = sc.EvidencePointer(
        signal="metrics", subject=forecast.series, t_min_ns=forecast.as_of_ns - round(forecast.step_s * NS),
        t_max_ns=forecast.as_of_ns, sha256=digest,
    )  # fmt: skip
    text = (
        f"{forecast.name} will be {forecast.expected:g} ({forecast.low:g} to {forecast.high:g}) at "
        f"{sc.rfc3339(forecast.at_ns)}, the limit is {limit.at:g}"
    )
    evidence = [sc.Evidence(kind="forecast", supports=margin >= 0, weight=margin, text=text, pointer=pointer)]
    service = service_of(found.entity_id)
    return sc.Hypothesis(
        cause=sc.Cause(entity=service, entity_id=found.entity_id, family=limit.family), score=margin,
        confidence=confidence, confidence_state=state, interval=interval, reason=text, evidence=evidence,
    )  # fmt: skip


def _ended(state: ForeseeState, through_ns: int, *, everything: bool) -> Iterator[Output]:
    """What nobody said again in time; at the end of everything all that is open, as incidents end."""
    for key, one in sorted(state.open.items()):
        if one.until_ns <= through_ns or everything:
            del state.open[key]
            yield _closed(one, min(through_ns - 1, max(one.until_ns, one.opened_ns)))


def _closed(one: Foreseen, now_ns: int) -> Output:
    return _incident(one._replace(revision=one.revision + 1), now_ns, "closed", [])


def _incident(one: Foreseen, now_ns: int, state: Literal["open", "closed"], why: list[str]) -> Output:
    record = sc.Incident(
        id=one.incident_id, tenant=one.tenant, revision=one.revision, state=state, opened_ns=one.opened_ns,
        updated_ns=now_ns, closed_ns=now_ns if state == "closed" else None, entities=[one.entity_id], severity=0.0,
        title=one.title, opened_by="alert", services=[service_of(one.entity_id)], suppressed_by=why,
    )  # fmt: skip
    said = sc.record_id("incident-revision", record.id, record.revision)
    return sc.emit(sc.INCIDENTS, record, id=said, key=record.id, source=SOURCE, event_ns=now_ns)
