"""Records about telemetry itself: what a series is, how far time has come, what was recorded, what was lost."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas._base import Record

Signal = Literal["metrics", "logs", "traces", "changes", "topology", "business"]
SIGNAL_TOTALS: dict[str, str] = {"logs": "log.lines.total", "traces": "span.total"}
"""Of each signal that is counted: the series of all of it of a service, whose silence is that of the signal."""
SeriesKind = Literal["gauge", "count"]
Temporality = Literal["instant", "delta", "cumulative"]


class Entity(Record):
    """Something that can be ill: a service, an instance (pod), a node, an edge between services, an endpoint.

    `entity_id` is `tenant/kind/name` (an instance: `tenant/instance/service/pod`) and is what keys and joins use;
    `service` is the plain name of the owning service, what people read.
    """

    TYPE: ClassVar[str] = "entity"
    tenant: str = "default"
    kind: Literal["service", "instance", "node", "edge", "endpoint", "other"] = "service"
    service: str = Field(min_length=1)
    name: str = Field(min_length=1)

    @property
    def entity_id(self) -> str:
        middle = f"{self.service}/" if self.kind in ("instance", "endpoint") else ""
        return f"{self.tenant}/{self.kind}/{middle}{self.name}"


class SeriesDef(Record):
    """What one series is. `id` is sixteen hex digits of the 64-bit id that frames carry.

    kind `gauge`: a level, its windows have a mean. kind `count`: things that happened, its windows have a sum, and
    a window in which the signal was recorded and nothing came is zero, not missing, if `is_event`.
    `denominator` is the series (same service) of which this one counts a part: errors of requests, lines of lines.
    """

    TYPE: ClassVar[str] = "series"
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    tenant: str = "default"
    entity_id: str
    service: str
    name: str
    labels: dict[str, str] = {}
    unit: str = "1"
    signal: Signal = "metrics"
    kind: SeriesKind = "gauge"
    temporality: Temporality = "instant"
    is_event: bool = False
    """Derived from logs or spans: silence inside coverage is zero."""
    is_histogram: bool = False
    denominator: str | None = None
    lower: float | None = None
    upper: float | None = None
    """Physical limits where known, for example 0 and 1 of a ratio."""
    trust: int = Field(default=1, ge=0, le=3)
    """0 unauthenticated, 1 authenticated source, 2 platform component, 3 read by the gateway itself."""
    sender: str = Field(default="", exclude_if=lambda found: not found)
    """Who brought it, by the name that the gateway proved; several divided by commas, `?` for one that proved none.
    Empty where nobody did, and for what we derived ourselves."""


class Watermark(Record):
    """The claim of one writer that its event time is complete up to `through_ns`; travels in the data's partition.

    Idle is declared here and never by a reader's clock, so a replay obeys it. `final` ends an import or a play.
    """

    TYPE: ClassVar[str] = "watermark"
    stage: str
    instance: str = ""
    """Which task of the stage, for example `otlp_metrics/3`; empty where one task does all."""
    through_ns: int
    idle: bool = False
    final: bool = False


class Coverage(Record):
    """What an importer knows was recorded at all. Outside every span it is "not recorded", not "missing"."""

    TYPE: ClassVar[str] = "coverage"
    signal: Signal
    start_ns: int
    end_ns: int


class Gap(Record):
    """A series that should have spoken and did not. A gap is an event; it is neither zero nor healthy.

    `heard`: how many other series of its service and signal still spoke at `until_ns`, where its instances are known.
    `is_over`: it speaks again, since before `until_ns`; said whether or not its silence was.
    """

    TYPE: ClassVar[str] = "gap"
    series: str
    entity_id: str
    since_ns: int
    until_ns: int
    expected_interval_ns: int
    reason: Literal["SILENT", "STALE_MARKER"] = "SILENT"
    signal: Signal = Field(default="metrics", exclude_if=lambda found: found == "metrics")
    heard: int = Field(default=0, ge=0, exclude_if=lambda found: not found)
    is_over: bool = Field(default=False, exclude_if=lambda found: not found)


class Succession(Record):
    """An instance that fell silent, and the one of the same service that goes on in its place under another name.

    What is said of `entity_id` after `last_ns` is to be looked for under its aliases.
    """

    TYPE: ClassVar[str] = "succession"
    id: str
    tenant: str = "default"
    service: str
    entity_id: str
    """The instance that is gone."""
    aliases: list[str]
    """Entity ids, one at least; more where several began at that time and nobody can tell which took whose place."""
    last_ns: int
    """When it spoke last."""
    began_ns: int
    """When the first of its aliases began to speak, to the pane of ten seconds."""
    at_ns: int
    """As of when it is known."""


class DeadLetter(Record):
    """Something that could not be used. The original bytes are the value of the record; this is its header."""

    TYPE: ClassVar[str] = "dead-letter"
    id: str
    reason: str
    """A stable code, for example OTLP_TRUNCATED, LATE, CLOCK_SKEW, SERIES_LIMIT, NOT_FINITE."""
    what: str
    """One sentence for people."""
    source: str
    stage: str
    content: Literal["message", "frame", "record"]
    count: int = Field(ge=1)
    """How many messages or samples this letter stands for."""
    event_ns: int
    sha256: str


class EvidencePointer(Record):
    """Where an observation lies, without offsets: the same in every replay, so it may enter digests."""

    TYPE: ClassVar[str] = "evidence-pointer"
    signal: Signal
    subject: str
    """A series id or an entity id."""
    t_min_ns: int
    t_max_ns: int
    sha256: str
    sender: str = Field(default="", exclude_if=lambda found: not found)
    """Who could have said it: as `SeriesDef.sender`, or `asked:` and the subsystem that was asked."""


class SnapshotManifest(Record):
    """Names one snapshot of a stage; the bytes lie in a directory or an object store."""

    TYPE: ClassVar[str] = "snapshot"
    stage: str
    instance: str = ""
    format: int = 1
    number: int = Field(ge=0)
    """Counts the snapshots of this task."""
    code: str
    """Version of Tidegate that wrote it; a newer format is refused, an older one migrated or rebuilt."""
    shaped_by: str
    """Digest of versions and settings that shape the answers."""
    is_clean: bool
    """Nothing was produced after it: written at an orderly stop."""
    through_ns: int
    offsets: dict[str, int]
    """Next offset to read of each input, `topic/partition`."""
    file: str
    """Where the bytes lie below the snapshot store."""
    sha256: str
    bytes: int


class InForce(Record):
    """What shaped the answers from `at_ns` on, by the clock of the process that found that it had changed.

    `document` is what `tidegate` keeps as `as-of.json` (settings, artefacts, policies, runbooks; no secret), as zlib in
    base64; `sha256` is of the document before that.
    """

    TYPE: ClassVar[str] = "in-force"
    id: str
    at_ns: int
    code: str
    """Version of Tidegate."""
    shaped_by: str
    """As in the manifests of snapshots."""
    sha256: str
    document: str
