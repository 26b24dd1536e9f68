"""Alerts of Prometheus Alertmanager and of Grafana, as their webhooks post them.

Each alert is a record under one id from firing to resolved, and one line of its service, so that it counts as a signal
like any log. The line has the time at which it was taken: an alert began earlier, but was not known earlier.
Sources: Alertmanager `webhook_config`, version 4; Grafana contact point "webhook", which adds fields (orgId, values,
dashboardURL) and says version "1". Both repeat a group whole, so an alert is known by fingerprint and start.
"""

import hashlib

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._errors import SourceError
from streams._intake import Intake, Signature
from streams.sources._webhook import Fields, entity_of, service_in, signals

_CODE = "ALERTMANAGER_INVALID"
_STATES = ("firing", "resolved")
_GRAFANA = ("orgId", "valueString", "values", "dashboardURL", "panelURL")


class Alertmanager:
    """Both senders at either path; which one it was is told by the body."""

    kind = "alertmanager"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/alertmanager", "/v1/grafana"),
        signatures=(Signature("x-grafana-alerting-signature"),),
        keeps=("x-tidegate-service",),
        status=200,
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError ALERTMANAGER_INVALID naming the field, and for a version that is not known."""
        body = Fields.of(message, _CODE)
        if "alerts" not in body:
            raise body.missing("alerts")
        version = body.any("version")
        if version not in ("", "1", "4"):
            raise SourceError(
                f"version '{version[:20]}' of the webhook is not known; 4 of Alertmanager and 1 of Grafana are",
                code=_CODE, todo="Upgrade Tidegate",
            )  # fmt: skip
        system = "grafana" if any(name in body for name in _GRAFANA) else "alertmanager"
        alerts = tuple(_alert(message, alert, system) for alert in body.parts("alerts"))
        rows = signals(message, alerts)
        return Decoded(records=alerts, logs=rows, is_occasional=True)


PLUGIN = Alertmanager


def _alert(message: Message, alert: Fields, system: str) -> sc.Alert:
    state = alert.text("status")
    if state not in _STATES:
        raise alert.wrong("status", f"'{state[:40]}' is none of {', '.join(_STATES)}")
    labels = dict(alert.part("labels").items())
    notes = alert.maybe("annotations")
    name = labels.get("alertname") or "unnamed"
    since = alert.time("startsAt")
    until = alert.time("endsAt", default=0) if state == "resolved" else 0
    key = alert.any("fingerprint") or hashlib.sha256(sc.canonical(labels)).hexdigest()[:16]
    service = service_in(message, labels)
    return sc.Alert(
        id=sc.record_id("alert", tenant_of(message), system, key, since), tenant=tenant_of(message),
        entity_id=entity_of(message, service), service=service, state="firing" if state == "firing" else "resolved",
        name=name, title=notes.any("summary", "message", "description") or name,
        severity=labels.get("severity", ""), at_ns=since, said_ns=message.received_ns,
        until_ns=max(until, since) if until else None if state == "firing" else message.received_ns, system=system,
        reference=alert.any("generatorURL") or notes.any("runbook_url") or None, labels=labels,
    )  # fmt: skip
