"""Reconciliations of Flux, as its notification controller posts them (`generic` and `generic-hmac` providers).

Only what changed something counts: an applied revision or an upgrade (a deploy), a rollback. Progress and health checks
are passed over; a failure is a change too when it has a revision, because a part may have been applied.
Source: Flux v2 `Event` of `pkg/apis/event/v1beta1`; `X-Signature: sha256=...` with `generic-hmac`.
"""

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._intake import Intake, Signature
from streams.sources._webhook import Fields, change, service_in

_CODE = "FLUX_INVALID"
_KINDS: dict[str, sc.ChangeKind] = {
    "ReconciliationSucceeded": "deploy", "ReconciliationFailed": "deploy", "InstallSucceeded": "deploy",
    "UpgradeSucceeded": "deploy", "UpgradeFailed": "deploy", "RollbackSucceeded": "rollback",
    "UninstallSucceeded": "other",
}  # fmt: skip
_DEPLOYERS = ("Kustomization", "HelmRelease", "Terraform")


class Flux:
    kind = "flux"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/flux",),
        keeps=("x-tidegate-service",),
        signatures=(Signature("x-signature", "sha256="),),
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError FLUX_INVALID naming the field. What changes nothing that runs is empty."""
        body = Fields.of(message, _CODE)
        about, reason = body.part("involvedObject"), body.text("reason")
        kind, name, at = about.text("kind"), about.text("name"), body.time("timestamp")
        metadata = dict(body.maybe("metadata").items())
        revision = _revision(metadata)
        if kind not in _DEPLOYERS or reason not in _KINDS or not revision:
            return Decoded()
        where = f"{about.any('namespace')}/{name}"
        # applied again and again without a new revision, a thing is told each time: it is one change
        key = (kind, where, revision, reason.endswith("Failed"))
        return Decoded(records=(change(
            message, "flux", key, service_in(message, {}, name), _KINDS[reason], at,
            f"{kind} {where} {reason}: {body.any('message')}", version_to=revision, reference=revision,
            environment=metadata.get("env", "") or metadata.get("cluster", ""),
        ),))  # fmt: skip


PLUGIN = Flux


def _revision(metadata: dict[str, str]) -> str:
    """The revision among the metadata: plain, or under the name of the controller's group."""
    named = (value for key, value in metadata.items() if key == "revision" or key.endswith("/revision"))
    return next(named, "")
