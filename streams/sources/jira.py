"""Tickets of Jira, as its webhooks post them; an issue of type "Change" counts as a change when it is done.

Source: Jira Cloud platform "Webhooks" (`jira:issue_created`, `jira:issue_updated`, `jira:issue_deleted`), Jira Service
Management's issue types; `X-Hub-Signature: sha256=...`, `X-Atlassian-Webhook-Identifier` names a delivery.
"""

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._intake import Intake, Signature
from streams.sources._webhook import Fields, change, entity_of, service_in, short, signals

_CODE = "JIRA_INVALID"
_CHANGE = ("change", "[system] change", "change request")
_INCIDENT = ("incident", "[system] incident")


class Jira:
    kind = "jira"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/jira",),
        keeps=("x-tidegate-service",),
        signatures=(Signature("x-hub-signature", "sha256="),),
        delivery="x-atlassian-webhook-identifier",
        status=200,
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError JIRA_INVALID naming the field. What is not of an issue is empty."""
        body = Fields.of(message, _CODE)
        if not body.text("webhookEvent").startswith("jira:issue_"):
            return Decoded()
        issue, at = body.part("issue"), body.time("timestamp")
        fields = issue.part("fields")
        kind = fields.maybe("issuetype").any("name").lower()
        is_done = fields.maybe("status").maybe("statusCategory").any("key") == "done"
        is_gone = body.text("webhookEvent") == "jira:issue_deleted"
        labels = dict(enumerate(fields.raw("components") or [])) if isinstance(fields.raw("components"), list) else {}
        first = labels.get(0)
        component = Fields(first, _CODE).any("name") if isinstance(first, dict) else ""
        service = service_in(message, {}, short(component), fields.maybe("project").any("name", "key"))
        author = body.maybe("user").any("displayName", "accountId")
        if kind in _CHANGE:
            if not is_done:
                return Decoded()
            done = fields.time("resolutiondate", default=at)
            return Decoded(records=(change(
                message, "jira", (issue.text("key"),), service, "other", done, fields.any("summary") or "a change",
                reference=issue.text("key"), author=author,
            ),))  # fmt: skip
        is_over, tenant, key = is_done or is_gone, tenant_of(message), issue.text("key")
        alert = sc.Alert(
            id=sc.record_id("alert", tenant, "jira", key), tenant=tenant, entity_id=entity_of(message, service),
            service=service, kind="incident" if kind in _INCIDENT else "ticket",
            state="resolved" if is_over else "firing", name=key, title=fields.any("summary") or key,
            severity=fields.maybe("priority").any("name"), at_ns=fields.time("created", default=at), said_ns=at,
            until_ns=at if is_over else None, system="jira", reference=issue.any("self") or None,
            author=author or None, labels={"status": fields.maybe("status").any("name"), "type": kind},
        )  # fmt: skip
        return Decoded(records=(alert,), logs=signals(message, [alert]), is_occasional=True)


PLUGIN = Jira
