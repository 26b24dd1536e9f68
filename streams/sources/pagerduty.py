"""Incidents of PagerDuty, as its V3 webhooks post them; that a person acknowledged is told with the person.

Source: PagerDuty developer documentation, "V3 Webhooks" (`event.event_type` `incident.*`) and "Signatures":
`X-PagerDuty-Signature: v1=<hex>`, several while a secret is turned.
"""

from typing import Literal

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._intake import Intake, Signature
from streams.sources._webhook import Fields, entity_of, service_in, short, signals

_CODE = "PAGERDUTY_INVALID"
_STATES: dict[str, Literal["firing", "acknowledged", "resolved"]] = {
    "triggered": "firing", "acknowledged": "acknowledged", "resolved": "resolved",
}  # fmt: skip


class PagerDuty:
    kind = "pagerduty"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/pagerduty",),
        keeps=("x-tidegate-service",),
        signatures=(Signature("x-pagerduty-signature", "v1="),),
        status=200,
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError PAGERDUTY_INVALID naming the field. What is no state of an incident is empty."""
        event = Fields.of(message, _CODE).part("event")
        if event.any("resource_type") != "incident" or not event.text("event_type").startswith("incident."):
            return Decoded()
        incident = event.part("data")
        if incident.any("status") not in _STATES:
            return Decoded()
        alert = _alert(message, event, incident)
        return Decoded(records=(alert,), logs=signals(message, [alert]), is_occasional=True)


PLUGIN = PagerDuty


def _alert(message: Message, event: Fields, incident: Fields) -> sc.Alert:
    state, at, tenant = _STATES[incident.text("status")], event.time("occurred_at"), tenant_of(message)
    number = incident.text("id")
    service = service_in(message, {}, short(incident.maybe("service").any("summary", "id")))
    labels = {
        "urgency": incident.any("urgency"), "number": incident.any("number"),
        "incident_key": incident.any("incident_key"), "event_type": event.text("event_type"),
    }  # fmt: skip
    return sc.Alert(
        id=sc.record_id("alert", tenant, "pagerduty", number), tenant=tenant, entity_id=entity_of(message, service),
        service=service, kind="incident", state=state, name=number, title=incident.any("title", "summary") or number,
        severity=incident.maybe("priority").any("summary") or incident.any("urgency"),
        at_ns=incident.time("created_at", default=at), said_ns=at, until_ns=at if state == "resolved" else None,
        system="pagerduty", reference=incident.any("html_url") or None,
        author=event.maybe("agent").any("summary", "id") or None, labels={k: v for k, v in labels.items() if v},
    )  # fmt: skip
