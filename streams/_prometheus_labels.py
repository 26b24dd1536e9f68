"""Of which service labels of Prometheus and Loki speak, where they are not those of a scraped series.

Labels of an alert or a log stream are chosen by people: a rule that sums by `service` has no job any more. So what
names a workload counts before the job, unlike in `_remote_series`, which says what a scraped series is about.
"""

from collections.abc import Mapping

from streams._entities import UNKNOWN_SERVICE, pod_owner

_NAMES = (
    "service_name", "exported_service", "app_kubernetes_io_name", "deployment", "statefulset", "daemonset", "job",
    "service", "app", "application", "exported_job", "container",
)  # fmt: skip


def service_of(labels: Mapping[str, str]) -> str:
    """The owner of the pod, else the first label that names a workload, behind its last slash. Raises nothing.

    >>> service_of({"job": "shop/cart"}), service_of({"pod": "db-0", "job": "exporter"}), service_of({})
    ('cart', 'db', 'unknown_service')
    """
    named = pod_owner(labels.get("pod", "")) or next((labels[name] for name in _NAMES if labels.get(name)), "")
    return named.rstrip("/").rsplit("/", 1)[-1] or UNKNOWN_SERVICE
