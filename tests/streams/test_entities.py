"""Who telemetry is about, from resource attributes."""

import pytest

from schemas.core import Message
from streams._entities import origin_of, pod_owner, tenant_of


def test_service_name_wins_over_deployment_and_pod():
    attributes = {
        "service.name": "cart",
        "k8s.deployment.name": "cart-dep",
        "k8s.pod.name": "cart-dep-7d9f8b6c5d-x2k4p",
    }
    assert origin_of(attributes).service == "cart"
    assert origin_of({k: v for k, v in attributes.items() if k != "service.name"}).service == "cart-dep"


def test_a_pod_or_instance_id_makes_an_instance_and_neither_a_service():
    assert origin_of({"service.name": "a", "service.instance.id": "i1"}).entity_id == "default/instance/a/i1"
    assert origin_of({"service.name": "a", "k8s.pod.name": "p"}, "t").entity_id == "t/instance/a/p"
    assert origin_of({"service.name": "a"}, "t").entity_id == "t/service/a"


@pytest.mark.parametrize("name", ["k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "faas.name"])
def test_a_workload_of_any_kind_names_the_service_of_its_pod(name: str):
    found = origin_of({name: "ledger", "k8s.pod.name": "ledger-x2k4p-1"})
    assert (found.service, found.entity_id) == ("ledger", "default/instance/ledger/ledger-x2k4p-1")


def test_what_a_host_agent_says_is_of_the_machine_and_what_runs_there_is_not():
    assert origin_of({"host.name": "n1"}) == ("default/node/n1", "n1", "default", "")
    assert origin_of({"k8s.node.name": "n1", "host.name": "h"}, "t").entity_id == "t/node/n1"
    assert origin_of({"host.name": "n1", "service.name": "cart"}).entity_id == "default/service/cart"


def test_nothing_known_is_unknown_service():
    assert origin_of({}) == ("default/service/unknown_service", "unknown_service", "default", "")
    assert origin_of({"service.name": ""}).service == "unknown_service"


def test_a_sender_cannot_choose_its_tenant():
    assert origin_of({"tidegate.tenant": "victim", "service.name": "a"}).tenant == "default"
    assert tenant_of(Message("t", 0, 0, b"", b"", (("tidegate-tenant", b"shop"),), 0, 0)) == "shop"
    assert tenant_of(Message("t", 0, 0, b"", b"", (), 0, 0)) == "default"


def test_the_version_is_the_services_own():
    assert origin_of({"service.name": "a", "service.version": "1.2"}).version == "1.2"


@pytest.mark.parametrize(
    ("pod", "owner"),
    [
        ("ts-user-service-687d654649-f8jtd", "ts-user-service"),
        ("ts-gateway-service-6f6cfc45b-d9pnv", "ts-gateway-service"),
        ("node-agent-x2k4p", "node-agent"),
        ("kafka-2", "kafka"),
        ("cart-redis-alone", "cart-redis-alone"),
        ("", ""),
    ],
)
def test_suffixes_that_kubernetes_appends_are_taken_off(pod: str, owner: str):
    assert pod_owner(pod) == owner
