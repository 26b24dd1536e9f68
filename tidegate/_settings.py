"""Settings: one YAML file, every key with a default that works; an unknown key is refused with the nearest one."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, Field, ValidationError

from actions import Mode
from detectors import FdrRule, WatchRule
from schemas.core import NS
from streams import StreamSettings
from tidegate._act_settings import Act
from tidegate._approve_settings import Approvals
from tidegate._errors import SettingsError
from tidegate._forecast_settings import Forecasts
from tidegate._gateway_settings import Gateway
from tidegate._investigate_settings import Investigate
from tidegate._kafka_settings import Kafka
from tidegate._opa_settings import Opa
from tidegate._reading import yaml_of
from tidegate._section import Section
from tidegate._service_settings import Service


class Streams(Section):
    """Time and memory bounds of telemetry."""

    lateness_s: float = Field(default=10, ge=0, le=3600)
    """How far a sample may lag behind the newest of its source and still count."""
    max_skew_s: float = Field(default=300, ge=0)
    """A sample further ahead of the time it was received than this is quarantined."""
    max_series: int = Field(default=1_000_000, gt=0)
    max_series_per_source: int = Field(default=200_000, gt=0)
    partitions: int = Field(default=1, gt=0, le=64)
    idle_after_s: float = Field(default=30, gt=0)
    """`up`: a source that was silent for so long is declared idle, in the log."""

    def core(self) -> StreamSettings:
        return StreamSettings(
            lateness_ns=round(self.lateness_s * NS), max_skew_ns=round(self.max_skew_s * NS),
            max_series=self.max_series, max_series_per_source=self.max_series_per_source, partitions=self.partitions,
        )  # fmt: skip


class Team(Section):
    """Who shares a budget of false discoveries."""

    services: frozenset[str] = frozenset()
    """By their plain names, beside those that `diagnosis.services` says it owns."""
    false_share: float | None = Field(default=None, gt=0, lt=1)
    """Its own; `detection.false_share` if it states none."""


class Detection(Section):
    emit_p: float = Field(default=1e-3, gt=0, lt=1)
    """Windows less probable than this become anomalies."""
    also: tuple[str, ...] = ()
    """Optional detectors to run as well; docs/detectors.md says which there are and what they are for."""
    false_share: float = Field(default=0, ge=0, lt=1)
    """Of the windows that may open an incident in one shift, the share that may be false on average; 0: not asked."""
    teams: dict[str, Team] = {}
    """Teams with a budget each, by the name that owners have in `diagnosis.services`; all other services share one."""
    shift_h: float = Field(default=8, gt=0, le=168)
    """Hours that share one such budget; the next shift begins anew."""
    watch_h: float = Field(default=72, gt=0, le=24 * 14)
    """Hours that a change is watched for what it did, wanted or not."""

    levels_by_verdict: bool = False
    """Levels that a deploy moved are learned at once where its watch finds it no worse, never while it is worse."""

    def rule(self) -> WatchRule:
        return WatchRule(watch_s=self.watch_h * 3600.0, p=self.emit_p)

    def fdr(self, partitions: int, owners: Mapping[str, str] | None = None) -> FdrRule | None:
        """The budgets of one partition: each judges its own series. owners: of services, as documents have it.

        Raises SettingsError where two teams name one service.
        """
        teams = {service: owner for service, owner in (owners or {}).items() if owner in self.teams}
        named: dict[str, str] = {}
        for name, team in self.teams.items():
            for service in sorted(team.services):
                if service in named:
                    raise SettingsError(
                        f"'{service}' is of two teams, '{named[service]}' and '{name}'", where="detection.teams",
                        todo="Name each service in one team",
                    )  # fmt: skip
                named[service] = name
        shares = {name: team.false_share for name, team in self.teams.items() if team.false_share}
        if not self.false_share and not shares:
            return None
        return FdrRule(self.false_share, self.shift_h * 3600.0, teams | named, shares).part(partitions)


class OnTrial(Section):
    """A candidate beside the known model: what is not named is the known model's."""

    weights: Path | None = None
    history: Path | None = None
    calibration: Path | None = None
    share: float = Field(default=0.2, ge=0, le=1)
    """Of incidents that it tells; it sees all of them, and labels of any count."""

    def is_one(self) -> bool:
        return any((self.weights, self.history, self.calibration))


class Diagnosis(Section):
    open_p: float = Field(default=1e-6, gt=0, lt=1)
    """How improbable a stretch must be to open an incident."""
    suppress_recurring: bool = True
    """What comes at the same hour every day or week, and was nobody's business, is recorded but proposed nothing."""
    quiet_s: float = Field(default=300, gt=0)
    """An incident closes after this much quiet."""
    weights: Path | None = None
    """RankerWeights as JSON; the shipped ones if empty."""
    history: Path | None = None
    """EvidenceHistory as JSON: what bystanders and causes showed in past incidents; the shipped one if empty."""
    calibration: Path | None = None
    """CalibrationMap as JSON; the shipped one if empty: fitted on public data, advisory."""
    calibrations: dict[str, Path] = {}
    """CalibrationMap of a tenant, by its name, as `tidegate calibration fit` writes it; others have `calibration`."""
    trial: OnTrial = OnTrial()
    """A model that is taken back by itself once it is worse than the known one."""
    services: str = ""
    """Who owns a service and what it promises: a folder of documents (docs/context.md), or a context store."""
    investigate: bool = False
    """Ask about incidents whose cause is open (needs `tidegate investigate`); a replay then reads recorded answers."""
    deadline_s: float = Field(default=30, gt=0, le=3600)
    """Event time for all questions about an incident, from the first on. What nobody answered in two thirds of it is
    asked once more for the rest."""


class Actions(Section):
    critical_services: frozenset[str] = frozenset()
    services: dict[str, Service] = {}
    """What decisions should know of a service: `tier`, `labels`, `human_only`, `on_call`."""
    modes: dict[str, Mode] = {}
    """Autonomy by `verb@tier`, `verb`, `@tier` or `*`, the most specific counts: shadow, advise, approve, act."""
    executors: frozenset[str] = frozenset()
    """Verbs that the gateway of actions can perform; any other is at most advice."""
    policies: Path | None = None
    """Directory of policy files; the shipped ones if empty."""
    opa: Opa = Opa()
    """An OPA server that is asked instead."""
    runbooks: Path | None = None
    """Directory of runbooks; the shipped ones if empty."""


class Shards(Section):
    """`run`: stages as processes on Kafka."""

    snapshots: str = "tidegate-snapshots"
    """Where state is kept: a directory that every process can reach, or an object store (`s3://bucket/path`)."""
    snapshot_every_s: float = Field(default=30, gt=0, le=3600)
    """How much work may have to be done again after a crash."""
    metrics_host: str = "127.0.0.1"
    """Where `/metrics` and `/healthz` listen."""
    metrics_port: int = Field(default=9464, ge=0, le=65535)
    """The first free port from here on, for several processes on one machine; 0 is off."""
    stalled_after_s: float = Field(default=60, gt=0, le=3600)
    """A task that has something to read and does not move for so long is stuck."""
    max_watermark_age_s: float = Field(default=180, gt=0)
    """Event time older than this, while sources speak, is not healthy."""
    heartbeat_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Posted to every 30 s while healthy; its silence is the alarm."""
    otlp_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """OTLP/HTTP of whoever collects traces; `tidegate trace --send` posts to `/v1/traces` there."""


class Control(Section):
    """Who may give orders to running processes."""

    keys: dict[str, str] = {}
    """Public key (Ed25519, base64) of each issuer; an order of anybody else is refused."""


class Settings(Section):
    """Everything that can be told. `tidegate doctor` prints what is in force."""

    streams: Streams = Streams()
    detection: Detection = Detection()
    forecasts: Forecasts = Forecasts()
    diagnosis: Diagnosis = Diagnosis()
    actions: Actions = Actions()
    gateway: Gateway = Gateway()
    kafka: Kafka = Kafka()
    investigate: Investigate = Investigate()
    shards: Shards = Shards()
    control: Control = Control()
    approvals: Approvals = Approvals()
    act: Act = Act()

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """The settings of a file, or the defaults. Raises SettingsError naming key, file and nearest known key."""
        if path is None:
            return cls()
        document = yaml_of(path, todo="Pass a YAML file, or none")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise _sentence(cls, error, path) from error


def _sentence(model: type[BaseModel], error: ValidationError, path: Path) -> SettingsError:
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    if not place:
        return SettingsError("no settings: a mapping is due", where=str(path), todo="See docs/settings.md")
    if first["type"] != "extra_forbidden":
        return SettingsError(f"'{'.'.join(place)}': {first['msg']}", where=str(path), todo="See docs/settings.md")
    for part in place[:-1]:
        if part in model.model_fields:  # an index into a list stays in the model of its items
            inner: Any = model.model_fields[part].annotation
            model = next((a for a in get_args(inner) if isinstance(a, type) and issubclass(a, BaseModel)), inner)
    near = difflib.get_close_matches(place[-1], model.model_fields, 1)
    todo = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(model.model_fields)}"
    return SettingsError(f"unknown setting '{'.'.join(place)}'", where=str(path), todo=todo)
