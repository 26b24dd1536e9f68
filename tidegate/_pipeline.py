"""Which stages there are and how they are wired; the only place that knows all rooms."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import schemas as sc
from actions import NEUTRAL, Decide, DecideSettings, PolicyEngine, Verbs, load_policies, load_runbooks
from diagnosis import Diagnose, Diagnosing, Foresee, Mode, Query, Trial
from diagnosis import Settings as DiagnoseSettings
from schemas import why
from schemas.core import Stage
from streams import DeriveLogs, DeriveSpans, Ledger, Normalise, Runner, Task, summed
from tidegate import __version__, _catalogue
from tidegate._context_documents import load_book
from tidegate._detecting import Detecting, versions
from tidegate._errors import SettingsError
from tidegate._reading import text_of
from tidegate._settings import Settings
from tidegate._watching import Watch

ORDER = ("normalise", "derive-logs", "derive-spans", "detect", "watch", "diagnose", "decide")
"""Names of the stages, from telemetry to decisions."""

SHARDED = frozenset({"derive-logs", "detect"})
"""Stages with one task a partition where work is spread over processes; the others have one task in all."""

WEIGHTS = "ranker-nezha-tt.json"
HISTORY = "history-nezha-tt.json"
CALIBRATION = "calibration-nezha-tt.json"
LEAST_ORDERS = 1.0
_ELSEWHERE: Any = {
    "control": True, "gateway": True, "kafka": True, "shards": True, "investigate": True,
    "streams": {"partitions": True, "idle_after_s": True},
}  # fmt: skip
"""Settings that shape no answer."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages in order, and the versions and digests of everything that shapes their answers."""

    stages: tuple[Stage[Any], ...]
    versions: Mapping[str, Any]
    outside: Mapping[str, tuple[str, ...]]
    """Writers of topics whose stages do not run here."""


def build(
    settings: Settings, *, first: str = ORDER[0], last: str = ORDER[-1], has_investigators: bool = False
) -> Pipeline:
    """The stages from `first` to `last`. Raises SettingsError, CatalogueError, PolicyError, RunbookError.

    has_investigators: somebody may answer; else only recorded answers count, as in a replay.
    """
    for name in (first, last):
        if name not in ORDER:
            raise SettingsError(f"there is no stage '{name}'", todo=f"Stages: {', '.join(ORDER)}")
    streams = replace(settings.streams.core(), edge_latency="edge_latency" in settings.detection.also)
    detectors = _catalogue.detectors(settings.detection.also)
    weights = load_weights(settings.diagnosis.weights)
    history = load_history(settings.diagnosis.history)
    calibration = load_calibration(settings.diagnosis.calibration)
    tenants = {name: load_calibration(path) for name, path in sorted(settings.diagnosis.calibrations.items())}
    book = load_book(settings.diagnosis.services)
    known = verbs(settings.actions.executors)
    policies = engine(settings)
    runbooks = load_runbooks(texts(settings.actions.runbooks, "runbooks"), known)
    diagnose = replace(
        opening(settings.diagnosis.open_p),
        quiet_s=settings.diagnosis.quiet_s,
        deadline_s=settings.diagnosis.deadline_s,
        suppress_recurring=settings.diagnosis.suppress_recurring,
    )
    mode: Mode = "off" if not settings.diagnosis.investigate else "ask" if has_investigators else "recorded"
    decide = DecideSettings(
        critical_services=settings.actions.critical_services,
        services={name: service.profile() for name, service in settings.actions.services.items()},
        modes=settings.actions.modes,
    )
    asking = asked(settings) if mode != "off" else {}

    def model(w: sc.RankerWeights, h: sc.EvidenceHistory, c: sc.CalibrationMap, own: Mapping[str, Any]) -> Diagnose:
        return Diagnose(
            w, diagnose, queries=asking, mode=mode, history=h, calibration=c, calibrations=own,
            rules=_catalogue.find("rules"), services=book,
        )  # fmt: skip

    known_model = model(weights, history, calibration, tenants)
    diagnosing: Diagnosing = known_model
    trial, tried = settings.diagnosis.trial, ""
    if trial.is_one():
        new = (
            load_weights(trial.weights or settings.diagnosis.weights),
            load_history(trial.history or settings.diagnosis.history),
            load_calibration(trial.calibration or settings.diagnosis.calibration),
        )
        tried = sc.sha256(sc.canonical([one.digest for one in new]))
        diagnosing = Trial(known_model, model(*new, {} if trial.calibration else tenants), tried, trial.share)
    limits = settings.forecasts.core()
    crossing = load_crossing(settings.forecasts.calibration)
    stages: tuple[Stage[Any], ...] = (
        Normalise(_catalogue.find("sources").values(), streams),
        DeriveLogs(streams),
        DeriveSpans(streams),
        Detecting(
            detectors,
            emit_p=settings.detection.emit_p,
            fdr=settings.detection.fdr(settings.streams.partitions, _owners(book)),
            by_verdict=_by_verdict(settings),
        ),
        Watch(settings.detection.rule()),
        Foresee(diagnosing, limits, crossing) if limits else diagnosing,
        Decide(known, runbooks, policies, decide),
    )
    begin, end = ORDER.index(first), ORDER.index(last)
    outside: dict[str, tuple[str, ...]] = {}
    for stage in stages[:begin]:
        for topic in stage.outputs:
            outside[topic] = (*outside.get(topic, ()), stage.name)
    provenance = {
        "tidegate": __version__, "detectors": versions(detectors), "ranker": weights.digest,
        "history": history.digest, "calibration": calibration.digest,
        "policies": policies.digest,
        "settings": sc.sha256(sc.canonical(settings.model_dump(mode="json", exclude=_ELSEWHERE))),
    }  # fmt: skip
    provenance |= {f"calibration.{name}": one.digest for name, one in tenants.items()}
    if book is not None:
        provenance["services"] = book.digest
    if tried:
        provenance["trial"] = tried
    if crossing is not None:
        provenance["crossing"] = crossing.digest
    return Pipeline(stages[begin : end + 1], provenance, outside)


def _by_verdict(settings: Settings) -> bool:
    """Raises SettingsError where verdicts, which lie in one partition, would have to reach several tasks."""
    if settings.detection.levels_by_verdict and settings.streams.partitions > 1:
        raise SettingsError(
            f"needs streams.partitions 1, not {settings.streams.partitions}", where="detection.levels_by_verdict",
            todo="Leave it out, or keep one partition",
        )  # fmt: skip
    return settings.detection.levels_by_verdict


def _owners(book: sc.ServiceBook | None) -> dict[str, str]:
    """Whose each service is, by plain names."""
    return {facts.service: facts.owner for facts in (book.services if book else []) if facts.owner}


def engine(settings: Settings) -> PolicyEngine:
    """Who judges: the OPA server of the settings, asked once so that its revision is known, or our own policies."""
    if settings.actions.opa.url:
        opa = settings.actions.opa.engine()
        opa.evaluate(NEUTRAL)
        return opa
    return load_policies(texts(settings.actions.policies, "policies"))


def asked(settings: Settings) -> dict[str, Query]:
    """Queries by kind that investigators of such a deployment can answer."""
    queries: dict[str, Query] = _catalogue.find("queries")
    absent = settings.investigate.absent()
    if settings.investigate.llm.model:
        queries |= _catalogue.find("reasoners")
    return {kind: query for kind, query in sorted(queries.items()) if query.subsystem not in absent}


def opening(open_p: float) -> DiagnoseSettings:
    """What opens an incident: one symptom beyond `open_p`, or those of one service that sum to as much.

    The sum moves with `open_p` by as many orders of magnitude, or a smaller `open_p` would not buy fewer pages of sums.
    """
    usual = DiagnoseSettings()
    orders = usual.open_orders + math.log10(usual.open_p / open_p)
    return replace(usual, open_p=open_p, open_orders=max(orders, LEAST_ORDERS))


def verbs(executors: Iterable[str] = ()) -> Verbs:
    """Every declared verb, and which of them the gateway can perform. Raises UnknownVerb."""
    return Verbs([type(verb) for verb in _catalogue.find("verbs").values()], executors)


def load_weights(path: Path | None) -> sc.RankerWeights:
    """Ranker weights from a file, or the shipped ones."""
    return sc.RankerWeights.from_bytes(_artefact(path, WEIGHTS, sc.RankerWeights), strict=True)


def load_history(path: Path | None) -> sc.EvidenceHistory:
    """What past incidents showed, from a file; the shipped one names no entity."""
    return sc.EvidenceHistory.from_bytes(_artefact(path, HISTORY, sc.EvidenceHistory), strict=True)


def load_calibration(path: Path | None) -> sc.CalibrationMap:
    """The calibration from a file; the shipped one is TRANSFERRED, so whatever it says is advice."""
    return sc.CalibrationMap.from_bytes(_artefact(path, CALIBRATION, sc.CalibrationMap), strict=True)


def load_crossing(path: Path | None) -> sc.CalibrationMap | None:
    """How often foreseen limits were reached; None without a file: that of others says nothing of one's own."""
    return None if path is None else sc.CalibrationMap.from_bytes(_artefact(path, "", sc.CalibrationMap), strict=True)


def on_trial(settings: Settings) -> dict[str, sc.Record]:
    """The artefacts that a model on trial has of its own, by name. Raises SettingsError."""
    told = settings.diagnosis.trial
    found: dict[str, sc.Record] = {}
    if told.weights:
        found["weights"] = load_weights(told.weights)
    if told.history:
        found["history"] = load_history(told.history)
    if told.calibration:
        found["calibration"] = load_calibration(told.calibration)
    return found


def _artefact(path: Path | None, shipped: str, kind: type[sc.Record]) -> bytes:
    if path is None:
        return files("tidegate").joinpath("artefacts", shipped).read_bytes()
    try:
        data = path.read_bytes()
        kind.from_bytes(data, strict=True)
    except (OSError, sc.RecordInvalid) as error:
        raise SettingsError(f"{kind.TYPE} cannot be read: {why(error)}", where=str(path)) from error
    return data


def texts(directory: Path | None, package: str) -> dict[str, str]:
    """Text of every YAML file of a directory, or of a shipped package, by the name people see."""
    if directory is not None and not directory.is_dir():
        raise SettingsError(
            "not a directory", where=str(directory), todo=f"Point '{package}' at a directory of YAML files"
        )
    root: Any = directory if directory is not None else files(package)
    label = str(directory) if directory is not None else package
    return {f"{label}/{entry.name}": text_of(entry) for entry in root.iterdir() if entry.name.endswith(".yaml")}


def ledger_of(runners: Sequence[Runner | Task]) -> Ledger:
    """Both ledgers over all stages that run."""
    found = []
    for runner in runners:
        if isinstance(runner.stage, Detecting):
            found.append(runner.stage.ledger(runner.state))
        elif isinstance(getattr(runner.state, "ledger", None), Ledger):
            found.append(runner.state.ledger)
        if isinstance(runner.stage, Normalise):
            found.append(Ledger(Counter({"samples.buffered": sum(runner.state.waiting)})))
    return summed(found)
