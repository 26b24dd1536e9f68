"""Requests that are counted by status: how many of all failed, whatever the other statuses are called.

`http_requests_total{code="500"}` alone says nothing without the requests that went well, which are other series. So
when the first series of a status from 500 on speaks, the windower adds two of its own: `NAME_all`, the increases of all
statuses, and `NAME_errors`, those from 500 on, whose denominator it is. Series of one group differ in nothing but the
status and what follows from it: `error.type`, which OpenTelemetry gives to what failed, and Spring's `outcome`,
`exception` and `error`. They are found by their ids, of the statuses below, so series of other metrics cost nothing;
what failed may bear any type or exception, and joins when it speaks. A group begins with what its series had seen
before. Requests of Spring that failed below 500 with an exception of their own are not found, and not in `NAME_all`.
Sources: Prometheus, "Metric and label naming"; OpenTelemetry semantic conventions, HTTP metrics; Micrometer,
`http.server.requests` of Spring Boot 2 and 3.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np

from schemas import SeriesDef, series_id
from schemas.core import I64, U64

LABELS = (
    "code", "status", "status_code", "response_code", "http_status_code", "http_response_status_code",
    "http.response.status_code",
)  # fmt: skip
_NAMES = (
    "requests_total", "requests_seconds_count", "request_duration_seconds_count", "request_duration_count",
    "request.duration.count",
)  # fmt: skip
_ENDS = ("_duration_seconds_count", "_seconds_count", "_duration_count", ".duration.count", "_total")
"""What goes from the name: a number of requests is no duration."""
_FAILED = re.compile(rb'"(?:%s)":"5(?:0[0-4]|xx)"' % b"|".join(re.escape(name.encode()) for name in LABELS))
CODES = (
    "200", "201", "202", "204", "206", "301", "302", "303", "304", "307", "308", "400", "401", "403", "404", "405",
    "408", "409", "410", "411", "412", "413", "415", "422", "429", "499", "2xx", "3xx", "4xx",
)  # fmt: skip
FAILURES = ("500", "501", "502", "503", "504", "5xx")
ERROR_TYPE = "error.type"
_FAILED_OUTCOME = "SERVER_ERROR"
_OUTCOMES = {"2": "SUCCESS", "3": "REDIRECTION", "4": "CLIENT_ERROR", "5": _FAILED_OUTCOME}
_FOLLOWS = ("outcome", "exception", "error")
_NONE = ("None", "none")
"""What Spring Boot 2 and 3 call the exception of a request that had none."""


class Group(NamedTuple):
    """One group: its two series, and the ids that its members may have: those that went well, those that failed."""

    whole: SeriesDef
    errors: SeriesDef
    well: U64
    failed: U64


def is_request(series: SeriesDef) -> bool:
    """Whether it may count requests by status; looks only at what belongs to a trait. What a client counts is not its
    own doing."""
    is_plain = series.kind == "count" and series.signal == "metrics" and not series.is_histogram
    return is_plain and series.denominator is None and series.name.endswith(_NAMES) and "client" not in series.name


def may_fail(text: bytes) -> bool:
    """Whether the definition, as JSON, may be of a status from 500 on."""
    return _FAILED.search(text) is not None


def group_of(series: SeriesDef) -> Group | None:
    """The group of a series of a status from 500 on, None if it is none.

    >>> d = SeriesDef(id="0" * 16, entity_id="d/service/a", service="a", name="requests_total", labels={"code": "503"})
    >>> found = group_of(d)
    >>> found.errors.name, found.errors.labels, found.errors.denominator == found.whole.id
    ('requests_errors', {}, True)
    """
    label = next((name for name in LABELS if series.labels.get(name) in FAILURES), "")
    if not label:
        return None
    is_spring = series.labels.get("outcome") == _FAILED_OUTCOME
    gone = (label, ERROR_TYPE, *(_FOLLOWS if is_spring else ()))
    rest = {name: value for name, value in series.labels.items() if name not in gone}
    follows = tuple(name for name in _FOLLOWS if is_spring and name in series.labels)
    base = next((series.name.removesuffix(end) for end in _ENDS if series.name.endswith(end)), series.name)
    dot = "." if "." in base else "_"
    whole = _derived(series, f"{base}{dot}all", rest, None)
    errors = _derived(series, f"{base}{dot}errors", rest, whole.id)

    def ids(codes: tuple[str, ...]) -> U64:
        labels = (one for code in codes for one in _labelled(rest, label, code, follows, ERROR_TYPE in series.labels))
        found = {series_id(series.tenant, series.entity_id, series.name, dict(sorted(one.items()))) for one in labels}
        return np.array(sorted(found), np.uint64)

    return Group(whole, errors, ids(CODES), np.union1d(ids(FAILURES), np.array([int(series.id, 16)], np.uint64)))


def _labelled(
    rest: Mapping[str, str], label: str, code: str, follows: tuple[str, ...], has_type: bool
) -> Iterator[dict[str, str]]:
    """Labels that a member with this status may have."""
    said = {**rest, label: code, **({ERROR_TYPE: code} if has_type and code in FAILURES else {})}
    for none in _NONE if len(follows) > 1 else _NONE[:1]:
        yield {**said, **{name: _OUTCOMES[code[0]] if name == "outcome" else none for name in follows}}


def parts_of(name: str, labels: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Names and labels that the parts of a `NAME_all` or `NAME_errors` can have; none where it is neither."""
    base, _, what = name.rpartition("." if "." in name else "_")
    codes = {"all": (*CODES, *FAILURES), "errors": FAILURES}.get(what, ())
    names = [base + end for end in ("", *_ENDS) if (base + end).endswith(_NAMES)]
    for one, label, code in product(names, LABELS, codes):
        yield one, {**labels, label: code}
        if code in FAILURES:
            yield one, {**labels, label: code, ERROR_TYPE: code}
        for follows in (_FOLLOWS[:2], _FOLLOWS) if label == "status" else ():
            yield from ((one, spring) for spring in _labelled(labels, label, code, follows, False))


def _derived(series: SeriesDef, name: str, labels: dict[str, str], denominator: str | None) -> SeriesDef:
    identity = series_id(series.tenant, series.entity_id, name, labels)
    return series.model_copy(
        update={
            "id": f"{identity:016x}", "name": name, "labels": labels, "unit": "1", "temporality": "delta",
            "denominator": denominator,
        }
    )  # fmt: skip


class Adds(NamedTuple):
    """Rows that are added up, and the rows that they are added to; (k,)."""

    source: I64
    target: I64
