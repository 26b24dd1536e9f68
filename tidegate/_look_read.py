"""Reads the history that a Prometheus keeps: range queries, nothing else, chunk by chunk in order of time.

Only `GET` of the documented HTTP API (v1: query, query_range, metadata) is used, so a read-only proxy suffices. Range
queries answer with the last sample of the five minutes before each step, so a shorter gap than that is not seen.
Source: Prometheus HTTP API, `/api/v1/query_range`, at most 11,000 points a series; works with what speaks it.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from schemas import why
from schemas.core import F64, I64, NS
from tidegate._errors import LookError
from tidegate._reading import address_of, bearer

CHUNK_S = 6 * 3600
_TIMEOUT_S, _MOST_BYTES, _TRIES, _PAUSE_S = 120, 512 << 20, 3, 2
_BATCH_SERIES = 500
_MOST_STEPS = 11_000
_LEAVE = ("_created", "_info")
_LATER = ("go_", "process_", "scrape_", "promhttp_", "prometheus_", "python_", "jvm_classes", "net_conntrack")
_NEVER = ("ALERTS", "ALERTS_FOR_STATE")


class Column(NamedTuple):
    """One series of a chunk: labels, times in ns and values."""

    labels: dict[str, str]
    t: I64
    value: F64


class Raised(NamedTuple):
    """An alert that fired, from `ALERTS` or an export: a stretch in ns and what it said."""

    name: str
    service: str
    start_ns: int
    end_ns: int
    severity: str


@dataclass(slots=True)
class Plan:
    """What is read: metrics with how many series each has. left: metrics that did not fit or are of no use."""

    metrics: dict[str, int]
    kinds: dict[str, str]
    left: dict[str, int] = field(default_factory=dict)

    @property
    def series(self) -> int:
        return sum(self.metrics.values())


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class History:
    """url: address of Prometheus; token: bearer token, empty for none; match: selector in braces, empty for all."""

    def __init__(self, url: str, *, token: str = "", match: str = "") -> None:
        if address_of(url) is None:
            raise LookError(f"'{url}' is no address", todo="Give --prometheus http://HOST:9090")
        inner = match.strip().removeprefix("{").removesuffix("}").strip()
        self._url, self._token, self._match = url.rstrip("/"), token, f",{inner}" if inner else ""
        self._open = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({})).open
        self.queries = 0

    def plan(self, at_ns: int, most: int) -> Plan:
        """Up to `most` series, those of services before those of runtimes, metrics with fewer series first,
        buckets of histograms where there is still room."""
        document = self._get(
            "/api/v1/query", {"query": f'count by (__name__) ({{__name__!=""{self._match}}})', "time": _s(at_ns)}
        )
        sizes = {row["metric"].get("__name__", ""): int(float(row["value"][1])) for row in _rows(document)}
        kinds = self._kinds()
        useful = {n: size for n, size in sizes.items() if n and n not in _NEVER and not n.endswith(_LEAVE)}
        chosen: dict[str, int] = {}
        for name in sorted(useful, key=lambda n: (n.endswith("_bucket"), n.startswith(_LATER), ":" in n, useful[n], n)):
            if sum(chosen.values()) + useful[name] <= most:
                chosen[name] = useful[name]
        if not chosen:
            what = "there is no series to look at" if not useful else f"no metric has {most} series or fewer"
            raise LookError(what, where=self._url, todo="Check --match, or raise --max-series", code="LOOK_EMPTY")
        return Plan(chosen, kinds, {n: size for n, size in sizes.items() if n not in chosen})

    def chunk(self, plan: Plan, start_ns: int, end_ns: int, step_s: int) -> Iterator[Column]:
        """All series of the plan in (start, end], at times that are multiples of the step, batch by batch."""
        for names in _batches(plan.metrics):
            text = "|".join(name.replace(".", "\\\\.") for name in names)
            query = f'{{__name__=~"{text}"{self._match}}}'
            yield from self._range(query, start_ns, end_ns, step_s)

    def alerts(self, start_ns: int, end_ns: int, step_s: int, service_of: Any) -> list[Raised]:
        """Stretches in which an alert fired, by the `ALERTS` series; empty where rules are evaluated elsewhere."""
        found: list[Raised] = []
        width = (_MOST_STEPS - 1) * step_s * NS
        rows: dict[tuple[tuple[str, str], ...], list[I64]] = {}
        for begin in range(start_ns, end_ns, width):
            for row in self._range(
                f'ALERTS{{alertstate="firing"{self._match}}}', begin, min(begin + width, end_ns), step_s
            ):
                rows.setdefault(tuple(sorted(row.labels.items())), []).append(row.t)
        for labels, parts in rows.items():
            told = dict(labels)
            t = np.concatenate(parts)
            for piece in np.split(t, np.flatnonzero(np.diff(t) > 2 * step_s * NS) + 1):
                first, last = int(piece[0]), int(piece[-1]) + step_s * NS
                found.append(Raised(told.get("alertname", ""), service_of(told), first, last, told.get("severity", "")))
        return sorted(found, key=lambda raised: (raised.start_ns, raised.name, raised.service))

    def _range(self, query: str, start_ns: int, end_ns: int, step_s: int) -> Iterator[Column]:
        parameters = {"query": query, "start": _s(start_ns + step_s * NS), "end": _s(end_ns), "step": str(step_s)}
        for row in _rows(self._get("/api/v1/query_range", parameters)):
            values = row.get("values") or []
            t = np.fromiter((round(at * 1000) * 1_000_000 for at, _ in values), np.int64, len(values))
            value = np.fromiter((float(text) for _, text in values), np.float64, len(values))
            good = np.isfinite(value)
            if good.any():
                yield Column(row["metric"], t[good], value[good])

    def _kinds(self) -> dict[str, str]:
        """Types by metric; empty where the server keeps no metadata, then names decide."""
        try:
            found = self._get("/api/v1/metadata", {}).get("data")
        except LookError as error:
            if error.code == "LOOK_REFUSED":
                return {}
            raise
        kinds = (
            {name: str(told[0].get("type", "")) for name, told in found.items() if told}
            if isinstance(found, dict)
            else {}
        )
        parts = {
            f"{n}{end}": kind
            for n, kind in kinds.items()
            if kind in ("histogram", "summary")
            for end in ("_sum", "_count", "_bucket")
        }
        return kinds | parts

    def _get(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Raises LookError: LOOK_UNREACHABLE, LOOK_DENIED, LOOK_REFUSED, LOOK_UNREADABLE."""
        self.queries += 1
        body = self._body(path, parameters)
        try:
            document = json.loads(body)
        except ValueError as error:
            todo = "Check that --prometheus is the address of a Prometheus"
            raise LookError("the answer is not JSON", where=self._url, todo=todo, code="LOOK_UNREADABLE") from error
        if not isinstance(document, dict) or document.get("status") != "success":
            said = str(document.get("error", "")) if isinstance(document, dict) else ""
            raise LookError(f"the query was refused: {said[:300]}", where=self._url, code="LOOK_REFUSED")
        return document

    def _body(self, path: str, parameters: Mapping[str, str]) -> bytes:
        headers = {"Accept": "application/json"} | bearer(self._token)
        address = f"{self._url}{path}" + (f"?{urllib.parse.urlencode(parameters)}" if parameters else "")
        for left in reversed(range(_TRIES)):
            try:
                with self._open(urllib.request.Request(address, headers=headers), timeout=_TIMEOUT_S) as answer:
                    body: bytes = answer.read(_MOST_BYTES + 1)
            except urllib.error.HTTPError as error:
                if error.code in (429, 502, 503, 504) and left:
                    time.sleep(_PAUSE_S)
                    continue
                raise _refusal(error, self._url) from error
            except (OSError, ValueError) as error:
                if left and isinstance(error, TimeoutError):
                    continue
                what = f"cannot be reached: {why(error)}"
                raise LookError(what, where=self._url, todo="Check the address", code="LOOK_UNREACHABLE") from error
            if len(body) > _MOST_BYTES:
                todo = "Lower --max-series"
                raise LookError(
                    f"an answer is larger than {_MOST_BYTES >> 20} MiB",
                    where=self._url,
                    todo=todo,
                    code="LOOK_UNREADABLE",
                )
            return body
        raise AssertionError("the last try returns or raises")


def _refusal(error: urllib.error.HTTPError, url: str) -> LookError:
    said = error.read(2_000).decode("utf-8", "replace")
    if error.code in (401, 403):
        todo = "Give --token-file with a token that may read"
        return LookError(f"answered {error.code}", where=url, todo=todo, code="LOOK_DENIED")
    return LookError(f"answered {error.code}: {' '.join(said.split())[:300]}", where=url, code="LOOK_REFUSED")


def _rows(document: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    data = document.get("data")
    rows = data.get("result") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise LookError("the answer has no result", code="LOOK_UNREADABLE")
    return rows


def _batches(metrics: Mapping[str, int]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for name, series in metrics.items():
        if batch and size + series > _BATCH_SERIES:
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += series
    if batch:
        yield batch


def _s(ns: int) -> str:
    return f"{ns / NS:.3f}"
