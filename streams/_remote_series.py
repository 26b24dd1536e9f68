"""Labels of Prometheus to series: who it is about, what kind, which unit; and what is wrong with them.

    pod                  an instance of what made the pod, as for OpenTelemetry resources
    job, instance        else: `job` behind its last slash is the service, `instance` one instance of it
    everything else      stays a label (`job`, `instance`, `pod` only where they are more than the entity's name)

A counter is what its metadata calls so (2.0), or what ends in `_total`, `_count`, `_sum`, `_bucket`: 1.0 sends types
apart from samples, and an answer must depend on the bytes of one message alone. Everything else is a level. Errors
counted beside requests with the same labels are a part of those (`http_errors_total` of `http_requests_total`): the
series of that name is their denominator, whether it exists or not.
Sources: Prometheus data model and naming; OpenTelemetry, Prometheus compatibility (`job`, `instance`).
"""

from functools import lru_cache
from typing import NamedTuple

from schemas import series_id
from streams._decoded import Rendered
from streams._entities import UNKNOWN_SERVICE, Origin, origin_of, pod_owner
from streams._otlp_metrics import LABELS_MAX_BYTES, Shape, definition_of

NAME = "__name__"
COUNTER, GAUGE, INFO, STATESET = 1, 2, 6, 7
"""Types of metadata in remote write 2.0 that say more than the name."""
_COUNTED = ("_total", "_bucket", "_count", "_sum")
_UNITS = {
    "seconds": "s", "bytes": "By", "ratio": "1", "celsius": "Cel", "meters": "m", "volts": "V", "amperes": "A",
    "joules": "J", "grams": "g",
}  # fmt: skip
"""Base units at the end of a name (Prometheus, "Base units"), as UCUM."""

_ERRORS = ("_request_errors_total", "_requests_errors_total", "_errors_total")
"""How errors of requests are called, most particular first."""

Labels = tuple[tuple[str, str], ...]


class Bad(NamedTuple):
    """A series that is none: a stable reason and one sentence."""

    reason: str
    what: str


class Named(NamedTuple):
    """A series, and if it bears native histograms those of its buckets, count and sum."""

    number: int
    definition: Rendered


def problem(labels: Labels) -> Bad | None:
    """What is wrong with labels; None if nothing is."""
    names = [name for name, _ in labels]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        return Bad("LABELS_INVALID", f"label '{twice[:80]}' stands twice")
    if "" in names:
        return Bad("LABELS_INVALID", "a label has no name")
    if not dict(labels).get(NAME):
        return Bad("SERIES_WITHOUT_NAME", f"a series of {len(names)} labels has no {NAME}")
    size = sum(len(name.encode()) + len(value.encode()) for name, value in labels)
    if size > LABELS_MAX_BYTES:
        return Bad("LABELS_TOO_LARGE", f"the labels of a series take {size} bytes, the limit is {LABELS_MAX_BYTES}")
    return None


def named(labels: Labels, tenant: str, *, type_: int = 0, unit: str = "") -> Named:
    """The series of labels without a problem. type_, unit: of its metadata, 0 and empty where there is none."""
    name = dict(labels)[NAME]
    is_count = type_ == COUNTER or (type_ not in (GAUGE, INFO, STATESET) and name.endswith(_COUNTED))
    said = unit or ("1" if name.endswith(("_count", "_bucket")) else unit_of(name))
    return _named(labels, tenant, name, said, "count" if is_count else "gauge")


def histogram(labels: Labels, tenant: str, *, unit: str = "") -> tuple[Named, Named, Named]:
    """Buckets, count and sum of a native histogram."""
    name = dict(labels)[NAME]
    said = unit or unit_of(name)
    buckets = _named(labels, tenant, name, said, "count", is_histogram=True)
    count = _named(labels, tenant, f"{name}_count", "1", "count")
    return buckets, count, _named(labels, tenant, f"{name}_sum", said, "count")


def unit_of(name: str) -> str:
    """The unit that a name ends in, `1` if in none.

    >>> unit_of("http_request_duration_seconds_sum"), unit_of("node_memory_MemFree_bytes"), unit_of("up")
    ('s', 'By', '1')
    """
    for suffix in _COUNTED:
        name = name.removesuffix(suffix)
    return _UNITS.get(name.rsplit("_", 1)[-1], "1")


def requests_of(name: str) -> str:
    """The counter of which a counter of errors is a part, empty if it is none.

    >>> requests_of("http_errors_total"), requests_of("http_request_errors_total"), requests_of("errors_total")
    ('http_requests_total', 'http_requests_total', '')
    """
    end = next((end for end in _ERRORS if name.endswith(end)), "")
    return f"{name.removesuffix(end)}_requests_total" if end else ""


def _named(labels: Labels, tenant: str, name: str, unit: str, kind: str, *, is_histogram: bool = False) -> Named:
    origin, gone = _origin(tenant, *(_value(labels, key) for key in ("job", "instance", "pod")))
    kept = {key: value for key, value in sorted(labels) if key not in gone and value}
    number = series_id(tenant, origin.entity_id, name, kept)
    temporality = "cumulative" if kind == "count" else "instant"
    shape = Shape(origin, name, unit, kind, temporality, is_histogram)
    definition = definition_of(shape, f"{number:016x}", kept)
    if kind == "count" and (whole := requests_of(name)):
        whole_id = f"{series_id(tenant, origin.entity_id, whole, kept):016x}"
        definition = definition.model_copy(update={"denominator": whole_id})
    return Named(number, Rendered.of(definition))


def _value(labels: Labels, name: str) -> str:
    return next((value for key, value in labels if key == name), "")


@lru_cache(4096)
def _origin(tenant: str, job: str, instance: str, pod: str) -> tuple[Origin, frozenset[str]]:
    """Who it is about, and the labels that say nothing more than that."""
    service = pod_owner(pod) if pod else job.rsplit("/", 1)[-1]
    service = service or UNKNOWN_SERVICE
    said = {"service.name": service, "service.instance.id": "" if pod else instance, "k8s.pod.name": pod}
    gone = {NAME, "pod" if pod else "instance"} | ({"job"} if job == service else set())
    return origin_of(said, tenant), frozenset(gone)
