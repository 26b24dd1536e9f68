"""Our own topics: is what looks ill new, is it one version only, is it this service only?

Detectors judge each series by its own history; this looks beside it: at the same series an hour before, at other
versions of the service, at the same measure of the services that it calls. Each answer is the relative difference of
two means, |a - b| / (|a| + |b|): 0 the same, 1 only one of them, without a unit.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from diagnosis._contract import Answer, Context, Finding, Parameters, QueryFailed, Speaks, Suspect, TopicsReader
from schemas import SeriesDef
from schemas.core import F64, I64, NS

BEFORE_S = 3600.0  # what recurs does so hourly more often than at any other distance; a choice, not tuned
WINDOW_S = 120.0
LEAST_SAMPLES = 3
MOST_SERIES = 50
_SHOWN_VERSION = "version"


class Compare(Parameters):
    """series: id of the suspicious one (hex). callees: services that this one calls."""

    service: str = Field(min_length=1, max_length=200)
    name: str = Field(min_length=1, max_length=300)
    series: str = Field(pattern=r"^[0-9a-f]{16}$")
    labels: dict[str, str] = {}
    callees: tuple[str, ...] = ()
    start_ns: int
    end_ns: int


class Topics:
    """Reads the series definitions and frames of a service and of those that it calls."""

    kind = "compare_windows"
    subsystem = "topics"
    version = "1"
    about = "that a symptom is new, of one version, or of one service"
    evidence: Mapping[str, Speaks] = {
        "asked_before": Speaks("", "differs from what it was an hour before"),
        "asked_versions": Speaks("change", "differs from other versions at the same time"),
        "asked_alone": Speaks("", "moved while the services that it calls did not"),
    }
    cost = 1.0
    timeout_s = 20.0
    parameters: type[Parameters] = Compare

    def ask(self, suspect: Suspect) -> Compare | None:
        """About the least probable series of a suspect, in the two minutes around its anomaly."""
        anomaly = suspect.anomaly
        if anomaly is None:
            return None
        end = max(anomaly.end_ns, anomaly.start_ns + 1)
        return Compare(
            service=anomaly.service, name=anomaly.name, series=anomaly.series, labels=anomaly.labels,
            callees=suspect.callees[:10], start_ns=end - int(WINDOW_S * NS), end_ns=end,
        )  # fmt: skip

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        """Findings for what could be compared; an empty answer says that nothing could. Raises QueryFailed."""
        reader = context.topics
        if reader is None or not isinstance(parameters, Compare):
            raise QueryFailed("TOPICS_NOT_SET_UP", "there is no reader of our topics")
        compared = _Compared(reader, tenant, parameters)
        found = [await compared.with_before(), await compared.with_versions(), await compared.with_callees()]
        return Answer(findings=[finding for finding in found if finding is not None], cost=float(compared.reads))


class _Compared:
    def __init__(self, reader: TopicsReader, tenant: str, asked: Compare) -> None:
        self._reader, self._tenant, self._asked = reader, tenant, asked
        self._means: dict[tuple[str, tuple[str, ...], int], tuple[float | None, int]] = {}
        self.reads = 0

    async def with_before(self) -> Finding | None:
        asked = self._asked
        now, n = await self._mean(asked.service, [asked.series], asked.start_ns, asked.end_ns)
        before, m = await self._mean_before(asked.service, [asked.series])
        return self._finding("asked_before", now, before, min(n, m))

    async def with_versions(self) -> Finding | None:
        """Against series that differ in their version only."""
        asked = self._asked
        if not asked.labels.get(_SHOWN_VERSION):
            return None
        found = await self._definitions(asked.service)
        others = [d.id for d in found if d.id != asked.series and _but_version(d.labels) == _but_version(asked.labels)]
        now, n = await self._mean(asked.service, [asked.series], asked.start_ns, asked.end_ns)
        beside, m = await self._mean(asked.service, others, asked.start_ns, asked.end_ns)
        return self._finding("asked_versions", now, beside, min(n, m))

    async def with_callees(self) -> Finding | None:
        """As strong as its own difference to an hour before, less what the most different callee shows."""
        asked = self._asked
        own = await self.with_before()
        if own is None or not asked.callees:
            return None
        shifts, samples = [], own.samples
        for service in asked.callees:
            series = [definition.id for definition in await self._definitions(service)]
            now, n = await self._mean(service, series, asked.start_ns, asked.end_ns)
            before, m = await self._mean_before(service, series)
            if now is not None and before is not None and min(n, m) >= LEAST_SAMPLES:
                shifts.append(difference(now, before))
                samples = min(samples, n, m)
        if not shifts:
            return None
        strength = own.strength * (1 - max(shifts))
        return own.model_copy(
            update={"kind": "asked_alone", "strength": _digits(strength), "now": own.strength, "before": max(shifts),
                    "samples": samples}
        )  # fmt: skip

    async def _mean_before(self, service: str, series: Sequence[str]) -> tuple[float | None, int]:
        back = int(BEFORE_S * NS)
        return await self._mean(service, series, self._asked.start_ns - back, self._asked.end_ns - back)

    async def _mean(
        self, service: str, series: Sequence[str], start_ns: int, end_ns: int
    ) -> tuple[float | None, int]:  # fmt: skip
        """Mean of all values in a window and how many there are; each window is read once."""
        key = service, tuple(series[:MOST_SERIES]), start_ns
        if series and key not in self._means:
            self.reads += 1
            found = await self._reader.points(self._tenant, service, key[1], start_ns, end_ns)
            values = _values(found)
            self._means[key] = (float(values.mean()), len(values)) if len(values) else (None, 0)
        return self._means.get(key, (None, 0))

    async def _definitions(self, service: str) -> Sequence[SeriesDef]:
        self.reads += 1
        return await self._reader.definitions(self._tenant, service, self._asked.name)

    def _finding(self, kind: str, now: float | None, before: float | None, samples: int) -> Finding | None:
        if now is None or before is None or samples < LEAST_SAMPLES:
            return None
        return Finding(
            kind=kind, service=self._asked.service, strength=_digits(difference(now, before)), now=_digits(now),
            before=_digits(before), samples=samples, start_ns=self._asked.start_ns, end_ns=self._asked.end_ns,
        )  # fmt: skip


def difference(a: float, b: float) -> float:
    """|a - b| / (|a| + |b|), 0 where both are 0.

    >>> difference(3.0, 1.0), difference(0.0, 0.0), difference(5.0, 0.0)
    (0.5, 0.0, 1.0)
    """
    whole = abs(a) + abs(b)
    return abs(a - b) / whole if whole > 0 else 0.0


def _values(found: Mapping[str, tuple[I64, F64]]) -> F64:
    values = np.concatenate([value for _, (_, value) in sorted(found.items())] or [np.zeros(0)])
    finite: F64 = values[np.isfinite(values)]
    return finite


def _but_version(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key != _SHOWN_VERSION}


def _digits(value: float) -> float:
    return float(f"{value:.12g}")


PLUGIN = Topics
