"""Who could have said what investigation heard: the system itself, or whoever feeds what was asked."""

import pytest

from diagnosis._observe import told
from diagnosis.queries.kubernetes import Kubernetes
from diagnosis.queries.postgres import Postgres
from diagnosis.queries.prometheus import Prometheus
from schemas import Inquiry, Observation


@pytest.mark.parametrize(
    ("query", "kind", "sender"),
    [
        (Kubernetes, "asked_killed", "asked:kubernetes"),
        (Postgres, "asked_lock_waits", "asked:postgres"),
        (Kubernetes, "asked_image", ""),  # that something was changed is no symptom
        (Prometheus, "asked_cpu", ""),  # it has what others sent it
    ],
)
def test_a_system_asked_about_itself_is_a_witness_and_a_store_of_telemetry_is_none(query, kind, sender):
    plugin = query()
    inquiry = Inquiry(id="q", incident_id="i", subsystem=plugin.subsystem, query=plugin.kind, asked_ns=1, deadline_ns=9)
    finding = {"kind": kind, "service": "cart", "strength": 1.0, "start_ns": 1, "end_ns": 2}
    heard = Observation(
        id="o", inquiry_id="q", incident_id="i", status="answered", request_sha256=inquiry.request_sha256,
        observed_ns=3, age_s=0.1, answer={"findings": [finding], "cost": 1.0},
    )  # fmt: skip
    (found,) = told(heard, inquiry, {plugin.kind: plugin})
    assert found.pointer.sender == sender
