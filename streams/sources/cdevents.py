"""CDEvents: what pipelines say of services, environments, incidents and tickets, with or without CloudEvents around.

What changes a running system becomes a change; incidents and tickets become alerts; the rest (builds, tests, artefacts,
branches) changes nothing that runs and is passed over. Types are compared without their version, fields that later
versions added are not needed. Source: CDEvents 0.3 to 0.5 (`continuous-deployment.md`, `continuous-operations.md`).
"""

import re

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._intake import Intake
from streams.sources._webhook import Fields, change, entity_of, plain, service_in, short, signals

_CODE = "CDEVENTS_INVALID"
_VERSION = re.compile(r"^.*@|[?#].*$")
"""What is not the version in a package URL: what stands before it, qualifiers and path."""
_PREFIX = "dev.cdevents."
_CHANGES: dict[str, sc.ChangeKind] = {
    "service.deployed": "deploy", "service.upgraded": "deploy", "service.rolledback": "rollback",
    "service.removed": "other", "environment.created": "infrastructure", "environment.modified": "infrastructure",
    "environment.deleted": "infrastructure",
}  # fmt: skip
_RAISED = {
    "incident.detected": "firing", "incident.reported": "firing", "incident.resolved": "resolved",
    "ticket.created": "firing", "ticket.updated": "firing", "ticket.closed": "resolved",
}  # fmt: skip


class CDEvents:
    kind = "cdevents"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/cdevents",),
        media_types=("application/json", "application/cloudevents+json"),
        event_types=(_PREFIX,),
        keeps=("x-tidegate-service",),
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError CDEVENTS_INVALID naming the field. An event that says of nothing running is empty."""
        body = Fields.of(message, _CODE)
        event = body.part("data") if "context" not in body else body
        context, subject = event.part("context"), event.part("subject")
        full = context.text("type")
        if not full.startswith(_PREFIX):
            raise context.wrong("type", f"'{full[:80]}' does not begin with {_PREFIX}")
        name = ".".join(full.removeprefix(_PREFIX).split(".")[:2])
        if name in _CHANGES:
            return Decoded(records=(_change(message, name, context, subject),))
        if name in _RAISED:
            alert = _alert(message, name, context, subject)
            return Decoded(records=(alert,), logs=signals(message, [alert]), is_occasional=True)
        return Decoded()


PLUGIN = CDEvents


def _change(message: Message, name: str, context: Fields, subject: Fields) -> sc.Change:
    content, noun, verb = subject.maybe("content"), *name.split(".")
    about = subject.text("id")
    environment = _reference(content, "environment") if noun == "service" else short(about)
    artifact = content.any("artifactId")
    return change(
        message, "cdevents", (context.any("source"), context.text("id")), service_in(message, {}, short(about)),
        _CHANGES[name], context.time("timestamp"), f"{noun} {about} {verb}",
        version_to=_VERSION.sub("", artifact) if artifact else "", reference=artifact or context.any("chainId"),
        environment=environment,
    )  # fmt: skip


def _alert(message: Message, name: str, context: Fields, subject: Fields) -> sc.Alert:
    content, noun = subject.maybe("content"), name.split(".")[0]
    about, at, tenant = subject.text("id"), context.time("timestamp"), tenant_of(message)
    service = service_in(message, {}, short(_reference(content, "service")) if "service" in content else "")
    is_over = _RAISED[name] == "resolved"
    return sc.Alert(
        id=sc.record_id("alert", tenant, "cdevents", subject.any("source"), about), tenant=tenant,
        entity_id=entity_of(message, service), service=service, kind="incident" if noun == "incident" else "ticket",
        state="resolved" if is_over else "firing", name=about, title=content.any("description", "summary") or about,
        severity=content.any("priority", "ticketType"), at_ns=at, said_ns=at, until_ns=at if is_over else None,
        system="cdevents", reference=content.any("uri", "ticketURI") or None,
        author=content.any("creator", "updatedBy", "resolvedBy") or None,
    )  # fmt: skip


def _reference(content: Fields, name: str) -> str:
    """The id of something that is named by an object or by text."""
    return plain(content.raw(name)) or content.maybe(name).any("id")
