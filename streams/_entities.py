"""Who a piece of telemetry is about: OpenTelemetry resource attributes to entity, service, tenant, version.

The tenant is an argument, never an attribute: attributes are written by whoever sends, the tenant by the gateway
that authenticated the sender (message header `tidegate-tenant`).
Source: OpenTelemetry semantic conventions, resource: `service.*`, `k8s.*`; Kubernetes names of generated pods.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from schemas import Entity
from schemas.core import Message

DEFAULT_TENANT = "default"
UNKNOWN_SERVICE = "unknown_service"  # what OpenTelemetry SDKs themselves say when nothing was configured
ATTRIBUTES = frozenset(
    {"service.name", "service.instance.id", "service.version", "k8s.deployment.name", "k8s.pod.name",
     "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "faas.name", "k8s.node.name", "host.name"}
)  # fmt: skip
_WORKLOADS = ("k8s.deployment.name", "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "faas.name")
_MACHINES = ("k8s.node.name", "host.name")
"""All attributes that `origin_of` looks at; a caller may leave the others away."""

_DEPLOYMENT = re.compile(r"(.+)-(?=[a-z]*[0-9])[a-z0-9]{6,10}-[a-z0-9]{5}")  # name, template hash, pod hash
_DAEMON_SET = re.compile(r"(.+)-[bcdfghjklmnpqrstvwxz2456789]{5}")  # the alphabet Kubernetes draws suffixes from
_STATEFUL_SET = re.compile(r"(.+)-[0-9]+")


class Origin(NamedTuple):
    """Where telemetry comes from. `version` is the service's own version, or empty."""

    entity_id: str
    service: str
    tenant: str
    version: str


def tenant_of(message: Message) -> str:
    """The tenant that the gateway wrote into the header `tidegate-tenant`, else `default`."""
    return message.header("tidegate-tenant") or DEFAULT_TENANT


def origin_of(attributes: Mapping[str, str], tenant: str = DEFAULT_TENANT) -> Origin:
    """The entity behind resource attributes: an instance if a pod or instance id is named, else a service.

    What names a machine and nothing that runs on it (a host agent's metrics) is of that machine. An attribute that is
    empty counts as absent. Raises nothing.

    >>> origin_of({"k8s.pod.name": "cart-7d9f8b6c5d-x2k4p"})
    Origin(entity_id='default/instance/cart/cart-7d9f8b6c5d-x2k4p', service='cart', tenant='default', version='')
    """
    pod = attributes.get("k8s.pod.name", "")
    service = attributes.get("service.name") or _first(attributes, _WORKLOADS) or pod_owner(pod)
    machine = "" if service else _first(attributes, _MACHINES)
    if machine:
        found = Entity(tenant=tenant, kind="node", service=machine, name=machine)
        return Origin(found.entity_id, machine, tenant, "")
    service = service or UNKNOWN_SERVICE
    instance = pod or attributes.get("service.instance.id", "")
    entity = (
        Entity(tenant=tenant, kind="instance", service=service, name=instance)
        if instance
        else Entity(tenant=tenant, kind="service", service=service, name=service)
    )
    return Origin(entity.entity_id, service, tenant, attributes.get("service.version", ""))


def _first(attributes: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((attributes[name] for name in names if attributes.get(name)), "")


def pod_owner(pod: str) -> str:
    """The name of what created a pod: its name without the suffixes that Kubernetes appended.

    >>> pod_owner("checkout-7d9f8b6c5d-x2k4p"), pod_owner("agent-x2k4p"), pod_owner("db-0"), pod_owner("plain")
    ('checkout', 'agent', 'db', 'plain')
    """
    for pattern in (_DEPLOYMENT, _DAEMON_SET, _STATEFUL_SET):
        if found := pattern.fullmatch(pod):
            return found[1]
    return pod
