"""Syncs of Argo CD, in the form of the notification template in docs/connect/argocd.md.

Argo CD posts what its template says, so the form is ours; it needs no more than what every Application has. Told once
per commit when synced and healthy (a deploy), and when a sync failed, which may have changed a part.
Source: Argo CD 2.x and 3.x notifications, `service.webhook`.
"""

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._intake import Intake
from streams.sources._webhook import Fields, change, service_in, short

_CODE = "ARGOCD_INVALID"


class ArgoCD:
    kind = "argocd"
    topics: tuple[str, ...] = ()
    intake = Intake(paths=("/v1/argocd",), keeps=("x-tidegate-service",))

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError ARGOCD_INVALID naming the field."""
        body = Fields.of(message, _CODE)
        app, revision, phase = body.text("app"), body.text("revision"), body.any("phase")
        name, at = short(app), body.time("at", default=message.received_ns)
        kind: sc.ChangeKind = "rollback" if body.any("rollback_to") else "deploy"
        images = body.raw("images")
        versions = ", ".join(sorted(short(str(i)) for i in images)) if isinstance(images, list) and images else ""
        what = "sync failed" if phase in ("Failed", "Error") else "synced"
        return Decoded(records=(change(
            message, "argocd", (body.any("namespace"), app, revision, phase), service_in(message, {}, name), kind, at,
            f"{app} {what} to {revision[:12]}", version_to=versions[:200] or revision, reference=revision,
            author=body.any("author"), environment=body.any("environment", "destination"),
        ),))  # fmt: skip


PLUGIN = ArgoCD
