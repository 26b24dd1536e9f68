"""The contract of a query: one read-only question to one subsystem, with a bounded and typed answer.

A query is told what it may read through its context, so it imports no client and holds no credential. What it answers
are findings: an enumerated kind of evidence, a service, numbers. No text of a subsystem goes further than that, so
nothing that somebody wrote into a log or a label can steer a diagnosis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from schemas import Anomaly, Change, Json, SeriesDef
from schemas.core import F64, I64

MOST_BYTES = 16 * 1024
"""Of one answer as canonical JSON."""
Share = Annotated[float, Field(ge=0, le=1)]


class Parameters(BaseModel):
    """Base of what a query is asked with; written by ourselves, so an unknown field is a bug."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(BaseModel):
    """One thing that was found. `strength` 0 says: looked, and nothing speaks for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str = Field(pattern=r"^[a-z_]{1,40}$")
    service: str = Field(min_length=1, max_length=200)
    strength: Share
    now: float | None = None
    before: float | None = None
    """What `now` is compared with: earlier, other versions, neighbours."""
    samples: int = Field(default=0, ge=0)
    start_ns: int
    end_ns: int


class Answer(BaseModel):
    """What a query answers. `cost` in units of one small read."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    findings: list[Finding] = Field(default=[], max_length=64)
    cost: float = Field(default=1.0, ge=0)
    note: str = Field(default="", max_length=500, exclude_if=lambda found: not found)
    """Text of a language model for people, marked as such wherever it is shown. Nothing else reads it."""
    spent: dict[str, float] = Field(default={}, max_length=8, exclude_if=lambda found: not found)
    """What was used up, by name: `calls`, `tokens_in`, `tokens_out`, and `price` where the settings say one."""


class Speaks(NamedTuple):
    """What a kind of evidence speaks for. family: of faults, empty if it only says where. words: for people.

    most: the share of the prior weight that this kind may have at most.
    """

    family: str
    words: str
    most: float = 1.0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A candidate of an open incident, as the ranker sees it; what a query builds its parameters from.

    anomaly: the least probable one of this service. callees: services that it calls, sorted.
    """

    tenant: str
    service: str
    anomaly: Anomaly | None
    callees: tuple[str, ...]
    change: Change | None
    onset_ns: int
    as_of_ns: int
    doubt: float = 0.25
    """p (1 - p) of its share p among the scores: how much there is to learn about it."""
    family: str = ""
    """What its evidence speaks for so far."""


class Onset(Parameters):
    """What most queries ask with: one service, since when it suffers, and until when there is anything to read."""

    service: str = Field(min_length=1, max_length=200)
    onset_ns: int
    end_ns: int

    @classmethod
    def of(cls, suspect: Suspect) -> "Onset":
        return Onset(service=suspect.service, onset_ns=suspect.onset_ns, end_ns=suspect.as_of_ns)


class Exhibit(NamedTuple):
    """A piece of evidence as a question may quote it: an id like `e3` and its sentence, which telemetry wrote."""

    id: str
    text: str


class Candidate(NamedTuple):
    """A hypothesis as a question may quote it. id: `c1` for the first."""

    id: str
    service: str
    family: str
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """An open incident as a whole: its best candidates, best first, each with its evidence."""

    candidates: tuple[Candidate, ...]
    onset_ns: int
    as_of_ns: int


class QueryFailed(Exception):
    """An expected failure of a query; `code` goes into the observation."""

    def __init__(self, code: str, what: str) -> None:
        self.code, self.what = code, what
        super().__init__(f"{what} [{code}]")


class TopicsReader(Protocol):
    """Reads our own topics. Each call is bounded by its caller's time; raises QueryFailed."""

    async def definitions(self, tenant: str, service: str, name: str) -> Sequence[SeriesDef]:
        """Every series of that name that the service has or had."""
        ...

    async def points(
        self, tenant: str, service: str, series: Sequence[str], start_ns: int, end_ns: int
    ) -> Mapping[str, tuple[I64, F64]]:
        """By series id (hex): times and values in [start, end), sorted by time; series without points are left out."""
        ...


class HttpReader(Protocol):
    """Reads one HTTP service, whose address and credential only it knows; raises QueryFailed."""

    async def get(self, path: str, query: Mapping[str, str]) -> Json:
        """The JSON document at a path below the address."""
        ...


class SqlReader(Protocol):
    """Reads one database in a transaction that can only read; raises QueryFailed."""

    async def rows(self, query: str) -> Sequence[Mapping[str, Json]]:
        """At most some hundred rows of one statement without parameters."""
        ...


class GitReader(Protocol):
    """Reads one local clone; runs no hook, no filter and fetches nothing; raises QueryFailed."""

    async def changed(self, old: str, new: str) -> Sequence[str]:
        """Paths that differ between two commits, sorted, cut at some hundred."""
        ...


class Reply(NamedTuple):
    """What a language model wrote, the tokens it took by its server's count, and what they cost by the settings."""

    text: str
    tokens_in: int
    tokens_out: int
    price: float = 0.0


class ChatReader(Protocol):
    """Asks one language model, whose address and credential only it knows; raises QueryFailed."""

    most_tokens: int
    """Of all calls about one incident, in and out."""

    async def ask(self, system: str, user: str, schema: Mapping[str, Json], most_out: int) -> Reply:
        """One reply of at most `most_out` tokens. The server is asked to hold the schema; the reply may still not."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a query may read. A subsystem that is not set up is None, and the query is then not asked."""

    topics: TopicsReader | None = None
    prometheus: HttpReader | None = None
    llm: ChatReader | None = None
    loki: HttpReader | None = None
    elasticsearch: HttpReader | None = None
    jaeger: HttpReader | None = None
    kubernetes: HttpReader | None = None
    argocd: HttpReader | None = None
    postgres: SqlReader | None = None
    git: GitReader | None = None
    kubernetes_namespace: str = "default"
    elasticsearch_index: str = "logs-*"
    loki_label: str = "app"
    """The label that names a service there."""
    prometheus_label: str = "pod"
    """The label that names a service there: the plain name, or the name with a suffix behind a hyphen."""


class Query(Protocol):
    """A plug-in in `diagnosis/queries/`; its module says `PLUGIN = TheClass`, which is called without arguments.

    kind: its name, unique. subsystem: whom it asks. version: changes whenever its answers may. about: in a few words
    what it confirms. evidence: the kinds of evidence that it may find. cost: in units of one small read; cheap ones are
    asked first. timeout_s: of one run, cut where the time for the question ends.
    """

    kind: str
    subsystem: str
    version: str
    about: str
    evidence: Mapping[str, Speaks]
    cost: float
    timeout_s: float
    parameters: type[Parameters]

    def ask(self, suspect: Suspect) -> Parameters | None:
        """What to ask about a suspect, or None if there is nothing to ask; a pure function."""
        ...

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        """Ask. Reads only; raises QueryFailed, or what it does not expect, which counts as a failure too."""
        ...


@runtime_checkable
class AsksOfAll(Protocol):
    """A query that asks about the candidates of an incident together. Those in `diagnosis/reasoners/` do."""

    def ask_all(self, case: Case) -> Parameters | None:
        """What to ask, or None if there is nothing to ask; a pure function."""
        ...
