"""Deployments, releases and pushes to the default branch, as GitHub's webhooks post them.

A deployment counts when its status is final: the moment when something runs that did not run before. A push or a
release changes nothing that runs by itself, so it is of kind `other`, a lead and not a cause. Other events are passed
over. Source: GitHub REST API 2022-11-28, webhook events `deployment_status`, `push`, `release`; signed with
`X-Hub-Signature-256`; `X-GitHub-Delivery` names a delivery.
"""

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._intake import Intake, Signature
from streams.sources._webhook import Fields, change, intent_in, plain, service_in, short

_CODE = "GITHUB_INVALID"
_ENDED = {"success": "deployed", "failure": "deployment failed", "error": "deployment failed"}


class GitHub:
    kind = "github"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/github",),
        keeps=("x-github-event", "x-github-delivery", "x-tidegate-service"),
        signatures=(Signature("x-hub-signature-256", "sha256="),),
        delivery="x-github-delivery",
        max_bytes=25 << 20,
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError GITHUB_INVALID naming the field. An event of another kind is empty."""
        body = Fields.of(message, _CODE)
        event = message.header("http-x-github-event")
        if event == "deployment_status":
            return Decoded(records=_deployment(message, body))
        if event == "push":
            return Decoded(records=_push(message, body))
        if event == "release":
            return Decoded(records=_release(message, body))
        return Decoded()


PLUGIN = GitHub


def _deployment(message: Message, body: Fields) -> tuple[sc.Change, ...]:
    status, deployment, repository = body.part("deployment_status"), body.part("deployment"), body.part("repository")
    state = status.text("state")
    if state not in _ENDED:
        return ()
    payload = deployment.maybe("payload").any("service") if isinstance(deployment.raw("payload"), dict) else ""
    environment = status.any("environment") or deployment.any("environment")
    kind: sc.ChangeKind = "rollback" if "rollback" in deployment.any("task") else "deploy"
    where = repository.text("full_name")
    return (change(
        message, "github", (where, "deployment", deployment.text("id")),
        service_in(message, {"service": payload} if payload else {}, short(where)), kind,
        status.time("updated_at", "created_at"), f"{where} {_ENDED[state]} to {environment or 'an environment'}",
        version_to=deployment.any("ref"), reference=deployment.text("sha"),
        author=deployment.maybe("creator").any("login") or body.maybe("sender").any("login"), environment=environment,
        intent=intent_in(deployment.raw("description"), status.time("updated_at", "created_at")),
    ),)  # fmt: skip


def _push(message: Message, body: Fields) -> tuple[sc.Change, ...]:
    repository, head = body.part("repository"), body.maybe("head_commit")
    branch = body.text("ref").removeprefix("refs/heads/")
    if branch != repository.any("default_branch", "master_branch") or not head.any("id"):
        return ()
    where, title = repository.text("full_name"), head.any("message").partition("\n")[0]
    return (change(
        message, "github", (where, "push", body.text("after")), service_in(message, {}, short(where)), "other",
        head.time("timestamp"), f"push to {where} {branch}: {title}", version_from=body.any("before"),
        version_to=body.any("after"), reference=body.any("compare") or body.any("after"),
        author=body.maybe("pusher").any("name") or body.maybe("sender").any("login"),
        intent=intent_in(head.raw("message"), head.time("timestamp")),
    ),)  # fmt: skip


def _release(message: Message, body: Fields) -> tuple[sc.Change, ...]:
    if plain(body.raw("action")) != "published":
        return ()
    release, where = body.part("release"), body.part("repository").text("full_name")
    return (change(
        message, "github", (where, "release", release.text("id")), service_in(message, {}, short(where)), "other",
        release.time("published_at", "created_at"), f"release {release.any('name') or release.text('tag_name')}",
        version_to=release.text("tag_name"), reference=release.any("html_url", "target_commitish"),
        author=release.maybe("author").any("login"),
    ),)  # fmt: skip
