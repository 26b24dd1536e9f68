"""Deployments, releases, pushes to the default branch and feature flags, as GitLab's webhooks post them.

As with GitHub a deployment counts when it has ended, and pushes and releases are of kind `other`. Other hooks are
passed over. Source: GitLab 15 to 18, "Webhook events" (`object_kind`); the secret comes bare in `X-Gitlab-Token`;
`Idempotency-Key` is the same when a delivery is sent again.
"""

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._intake import Intake, Signature
from streams.sources._webhook import Fields, change, plain, service_in, short

_CODE = "GITLAB_INVALID"
_ENDED = {"success": "deployed", "failed": "deployment failed"}


class GitLab:
    kind = "gitlab"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/gitlab",),
        keeps=("x-gitlab-event", "x-tidegate-service"),
        signatures=(Signature("x-gitlab-token", algorithm="secret"),),
        delivery="idempotency-key",
        max_bytes=25 << 20,
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError GITLAB_INVALID naming the field. A hook of another kind is empty."""
        body = Fields.of(message, _CODE)
        kind = body.text("object_kind")
        if kind == "deployment":
            return Decoded(records=_deployment(message, body))
        if kind == "push":
            return Decoded(records=_push(message, body))
        if kind == "release":
            return Decoded(records=_release(message, body))
        if kind == "feature_flag":
            return Decoded(records=_flag(message, body))
        return Decoded()


PLUGIN = GitLab


def _deployment(message: Message, body: Fields) -> tuple[sc.Change, ...]:
    status, project = body.text("status"), body.part("project").text("path_with_namespace")
    if status not in _ENDED:
        return ()
    environment = body.any("environment")
    return (change(
        message, "gitlab", (project, "deployment", body.text("deployment_id")), service_in(message, {}, short(project)),
        "deploy", body.time("status_changed_at"), f"{project} {_ENDED[status]} to {environment}",
        version_to=body.any("ref"), reference=body.any("commit_url") or body.any("short_sha"),
        author=body.maybe("user").any("username"), environment=environment,
    ),)  # fmt: skip


def _push(message: Message, body: Fields) -> tuple[sc.Change, ...]:
    project, after = body.part("project"), body.text("after")
    where, branch = project.text("path_with_namespace"), body.text("ref").removeprefix("refs/heads/")
    last = next((c for c in body.parts("commits") if c.any("id") == after), None)
    if branch != project.any("default_branch") or last is None:
        return ()
    return (change(
        message, "gitlab", (where, "push", after), service_in(message, {}, short(where)), "other",
        last.time("timestamp"), f"push to {where} {branch}: {last.any('title') or last.any('message')}",
        version_from=body.any("before"), version_to=after, reference=last.any("url") or after,
        author=body.any("user_username", "user_name"),
    ),)  # fmt: skip


def _release(message: Message, body: Fields) -> tuple[sc.Change, ...]:
    if plain(body.raw("action")) != "create":
        return ()
    where, tag = body.part("project").text("path_with_namespace"), body.text("tag")
    commit = body.maybe("commit")
    return (change(
        message, "gitlab", (where, "release", body.any("id") or tag), service_in(message, {}, short(where)), "other",
        body.time("released_at", "created_at"), f"release {body.any('name') or tag}", version_to=tag,
        reference=commit.any("id") or body.any("url"), author=commit.maybe("author").any("name"),
    ),)  # fmt: skip


def _flag(message: Message, body: Fields) -> tuple[sc.Change, ...]:
    """The hook has no time, so it is that at which it was taken; turned twice within a second it is one change."""
    flag, where = body.part("object_attributes"), body.part("project").text("path_with_namespace")
    name, state = flag.text("name"), "on" if flag.raw("active") else "off"
    at = message.received_ns
    return (change(
        message, "gitlab", (where, "flag", name, state, at // 1_000_000_000), service_in(message, {}, short(where)),
        "flag", at, f"flag {name} turned {state}", version_to=state, reference=name,
        author=body.maybe("user").any("username"),
    ),)  # fmt: skip
