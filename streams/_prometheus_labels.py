"""Prometheus labels to the entity that OpenTelemetry would name: one mapping for everything that comes from there.

A pod among the labels decides, because exporters speak of pods that they are not; then what names a service, then the
job. What names the target is no label of the series any more, so a series keeps its identity when only the way that it
is scraped changes. Source: OpenTelemetry "Prometheus and OpenMetrics Compatibility" (job, instance), Kubernetes
service discovery of Prometheus (pod, namespace).
"""

from collections.abc import Mapping

from schemas import SeriesDef, series_id
from streams._entities import DEFAULT_TENANT, Origin, origin_of, pod_owner

_SERVICE = ("service_name", "exported_service", "app_kubernetes_io_name", "deployment", "statefulset", "daemonset")
_LATER = ("service", "app", "application", "job", "exported_job")
_TARGET = frozenset({"__name__", "pod", "instance", "job", "prometheus", "prometheus_replica", "endpoint"})
_COUNTERS = ("_total", "_count", "_sum", "_bucket")


def target_of(labels: Mapping[str, str], tenant: str = DEFAULT_TENANT) -> tuple[Origin, dict[str, str]]:
    """What a series is about, and the labels that are its own. Raises nothing; slashes in names become dots.

    >>> target_of({"__name__": "up", "job": "shop/cart", "instance": "10.0.0.1:80", "zone": "a"})[0].entity_id
    'default/instance/cart/10.0.0.1:80'
    """
    pod = labels.get("pod", "")
    named = next((labels[name] for name in _SERVICE if labels.get(name)), "") or pod_owner(pod)
    service = named or next((labels[name] for name in _LATER if labels.get(name)), "")
    attributes = {
        "service.name": service.rstrip("/").rsplit("/", 1)[-1],
        "service.instance.id": labels.get("instance", "").replace("/", "."),
    } | ({"k8s.pod.name": pod.replace("/", ".")} if pod else {})
    return origin_of(attributes, tenant), {k: v for k, v in labels.items() if k not in _TARGET}


def definition_of(labels: Mapping[str, str], kind: str = "", tenant: str = DEFAULT_TENANT) -> SeriesDef:
    """The series of these labels. kind: `counter`, `gauge`, `histogram`, `summary` of the metadata, empty: by its name.

    Counters, and sums and counts of histograms and summaries, are counted from what they were before.
    """
    name = labels.get("__name__", "")
    origin, own = target_of(labels, tenant)
    is_part = kind in ("histogram", "summary", "") and name.endswith(_COUNTERS)
    is_count = kind == "counter" or is_part
    return SeriesDef(
        id=f"{series_id(tenant, origin.entity_id, name, own):016x}", tenant=tenant, entity_id=origin.entity_id,
        service=origin.service, name=name, labels=own, kind="count" if is_count else "gauge",
        temporality="cumulative" if is_count else "instant",
    )  # fmt: skip
