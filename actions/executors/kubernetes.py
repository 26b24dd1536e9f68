"""Deployments, nodes and jobs of Kubernetes: replicas, restarts, rollbacks, cordons, runs, over its HTTP interface.

Each write is one JSON patch that names the resourceVersion it was read at, so it lands on what was looked at or not at
all; our mark is an annotation in the same patch. A fence is an annotation too: it moves the resourceVersion, and
whatever was on its way conflicts. A dry run is asked of the server itself (`dryRun=All`), with its admission rules.
It needs no client library: the token of the gateway's own service account, read anew for each call, and five paths.
Source: Kubernetes API concepts (resourceVersion, dry run), `kubectl rollout restart|undo`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from actions._contract import Capacity
from actions._executor import (
    MARK,
    Capabilities,
    Effect,
    ExecutorSettings,
    Mark,
    Reading,
    TargetAway,
    Written,
    read_mark,
)
from actions.executors._http import Answered, call
from actions.executors._jobs import Jobs
from schemas import Json, canonical, sha256

FENCE, RESTART = "tidegate.io/fence", "tidegate.io/restart"
HASH = "pod-template-hash"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CAN = Capabilities(is_conditional=True, keeps_mark=True, fences=True, has_server_dry_run=True)
_DEPLOYMENTS: Mapping[str, Json] = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]}
_REPLICASETS: Mapping[str, Json] = {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]}
_CRONJOBS: Mapping[str, Json] = {"apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["get"]}
_JOBS: Mapping[str, Json] = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "patch"]}
_NODES: Mapping[str, Json] = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "patch"]}


class KubernetesSettings(ExecutorSettings):
    api: str = Field(default="https://kubernetes.default.svc", pattern=r"^https?://\S+$")
    token_file: Path | None = _ACCOUNT / "token"
    ca_file: Path | None = _ACCOUNT / "ca.crt"
    namespaces: tuple[str, ...] = ()
    """The namespaces that it may change; none by default."""
    name_labels: tuple[str, ...] = ("app.kubernetes.io/name", "app")
    """A Deployment is of a service only if one of these labels is the name of the service."""


class Kubernetes:
    kind = "kubernetes"
    settings: type[ExecutorSettings] = KubernetesSettings
    verbs = (
        "kubernetes.scale",
        "kubernetes.restart",
        "kubernetes.rollback",
        "kubernetes.run_job",
        "kubernetes.cordon",
        "kubernetes.uncordon",
    )
    capabilities: ClassVar[Mapping[str, Capabilities]] = dict.fromkeys(verbs, _CAN)
    permissions: ClassVar[Mapping[str, tuple[Mapping[str, Json], ...]]] = {
        "kubernetes.scale": (_DEPLOYMENTS,), "kubernetes.restart": (_DEPLOYMENTS,),
        "kubernetes.rollback": (_DEPLOYMENTS, _REPLICASETS),
        "kubernetes.run_job": (_CRONJOBS, _JOBS),
        "kubernetes.cordon": (_NODES,), "kubernetes.uncordon": (_NODES,),
    }  # fmt: skip
    set_up = ""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._jobs = Jobs(self._sent, FENCE)

    def read(self, effect: Effect) -> Reading:
        found = self._get(self._path(effect))
        meta = found["metadata"]
        if _is_job(effect):
            self._is_of(effect, meta)
            return self._jobs.read(effect, found, self._folder(effect))
        mark = read_mark(meta.get("annotations", {}).get(_mark_name(effect)))
        if "node" in effect.parameters:
            state: dict[str, Json] = {"is_schedulable": not found.get("spec", {}).get("unschedulable", False)}
            version, capacity = sha256(canonical([meta["uid"], state])), self._nodes()
        else:
            self._is_of(effect, meta)
            state, capacity = self._deployment(found, effect)
            version = sha256(canonical([meta["uid"], found["spec"]]))  # `generation` moves with annotations too
        return Reading(meta["uid"], version, meta["resourceVersion"], state, mark, capacity)

    def check(self, effect: Effect, reading: Reading) -> str | None:
        """Asked of the API server, which also asks its admission rules; nothing is kept."""
        mark = Mark("dry-run", 0, "do", 0)
        if _is_job(effect):
            answer = self._jobs.check(effect, self._get(self._path(effect)), self._folder(effect))
        else:
            answer = self._patch(effect, self._changes(effect, mark, reading.token), "&dryRun=All")
        if answer.is_ok:
            return None
        if answer.is_lost or answer.status in (0, 429) or answer.status >= 500:
            raise TargetAway(f"no dry run: {answer.status} {_message(answer)}")
        return _message(answer)

    def write(self, effect: Effect, mark: Mark, reading: Reading) -> Written:
        try:
            if _is_job(effect):
                found = self._get(self._path(effect))
                answer = self._jobs.write(effect, mark, reading, found, self._folder(effect))
            else:
                answer = self._patch(effect, self._changes(effect, mark, reading.token))
        except TargetAway as error:
            return Written("refused", error.code, str(error))
        if answer.is_ok:
            return Written("written")
        if answer.is_lost or answer.status >= 500:
            return Written("lost", f"HTTP_{answer.status}", _message(answer))
        return Written("refused", "CONFLICT" if answer.status == 409 else f"HTTP_{answer.status}", _message(answer))

    def fence(self, effect: Effect, epoch: int) -> None:
        found = self._get(self._path(effect))
        if _is_job(effect):
            answer = self._jobs.fence(effect, epoch, found, self._folder(effect))
        else:
            answer = self._patch(effect, _annotate(found["metadata"], FENCE, str(epoch)))
        if not answer.is_ok:
            raise TargetAway(f"{effect.target} cannot be fenced: {answer.status} {_message(answer)}")

    def _path(self, effect: Effect) -> str:
        if "node" in effect.parameters:
            if effect.parameters["node"] != effect.target.split("/")[2]:
                raise TargetAway(f"{effect.parameters['node']} is not {effect.target}", is_absent=True)
            return f"/api/v1/nodes/{effect.parameters['node']}"
        namespace = effect.parameters["namespace"]
        if namespace not in self._settings.namespaces:
            raise TargetAway(f"the namespace {namespace} is not one that may be changed", is_absent=True)
        if _is_job(effect):
            return f"{self._folder(effect)}/cronjobs/{effect.parameters['cronjob']}"
        return f"/apis/apps/v1/namespaces/{namespace}/deployments/{effect.parameters['deployment']}"

    def _folder(self, effect: Effect) -> str:
        """Of the jobs; only of a namespace that `_path` let through."""
        return f"/apis/batch/v1/namespaces/{effect.parameters['namespace']}"

    def _is_of(self, effect: Effect, meta: Mapping[str, Any]) -> None:
        """So that a request for one service cannot name the Deployment of another."""
        names = {meta.get("labels", {}).get(label) for label in self._settings.name_labels}
        if effect.target.split("/")[2] not in names:
            raise TargetAway(f"{meta['name']} is not labelled as part of {effect.target}", is_absent=True)

    def _deployment(self, found: Mapping[str, Any], effect: Effect) -> tuple[dict[str, Json], Capacity]:
        spec, status = found["spec"], found.get("status", {})
        replicas = spec.get("replicas", 1)
        ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
        is_seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        is_still = is_seen and updated == replicas == status.get("replicas", 0)
        state: dict[str, Json] = {
            "replicas": replicas, "ready": ready, "max_unavailable": _max_unavailable(spec, replicas),
            "is_rolling": not is_still, "restart_id": _annotations(spec["template"]).get(RESTART),
        }  # fmt: skip
        if "template" in effect.sets:
            now = [one for one in self._replicasets(found) if _plain_template(one) == spec["template"]]
            state["template"] = now[0]["metadata"]["labels"][HASH] if len(now) == 1 else None
        return state, Capacity(ready, replicas)

    def _replicasets(self, deployment: Mapping[str, Any]) -> list[Any]:
        meta = deployment["metadata"]
        listed = self._get(f"/apis/apps/v1/namespaces/{meta['namespace']}/replicasets")["items"]
        return [
            one
            for one in listed
            if meta["uid"] in {owner.get("uid") for owner in one["metadata"].get("ownerReferences", [])}
            and HASH in one["metadata"].get("labels", {})
        ]

    def _nodes(self) -> Capacity:
        nodes = self._get("/api/v1/nodes")["items"]
        ready = [
            one
            for one in nodes
            if not one.get("spec", {}).get("unschedulable")
            and any(c["type"] == "Ready" and c["status"] == "True" for c in one.get("status", {}).get("conditions", []))
        ]
        return Capacity(len(ready), len(nodes))

    def _changes(self, effect: Effect, mark: Mark, token: str) -> list[Json]:
        """The JSON patch: what is set, our mark, and the resourceVersion it is held against. Raises TargetAway."""
        found = self._get(self._path(effect))
        meta, sets = found["metadata"], effect.sets
        patch = _annotate(meta, _mark_name(effect), mark.text())
        patch.append({"op": "replace", "path": "/metadata/resourceVersion", "value": token})
        if "replicas" in sets:
            patch.append({"op": "replace", "path": "/spec/replicas", "value": sets["replicas"]})
        elif "is_schedulable" in sets:
            patch.append({"op": "add", "path": "/spec/unschedulable", "value": not sets["is_schedulable"]})
        elif "restart_id" in sets:
            told = found["spec"]["template"].get("metadata", {})
            patch += _annotate(told, RESTART, str(sets["restart_id"]), "/spec/template/metadata")
        else:
            patch.append({"op": "replace", "path": "/spec/template", "value": self._template(found, sets["template"])})
        return patch

    def _template(self, deployment: Mapping[str, Any], wanted: Json) -> Json:
        kept = [one for one in self._replicasets(deployment) if one["metadata"]["labels"][HASH] == wanted]
        if len(kept) != 1:
            raise TargetAway(f"there is no revision with the template {wanted} any more", is_absent=True)
        return _plain_template(kept[0])

    def _get(self, path: str) -> Any:
        answer = self._call("GET", path)
        if answer.status == 404:
            raise TargetAway(f"there is no {path}", is_absent=True)
        if not answer.is_ok:
            raise TargetAway(f"{path}: {answer.status} {_message(answer)}")
        try:
            return answer.json()
        except ValueError as error:
            raise TargetAway(f"{path} is no JSON") from error

    def _patch(self, effect: Effect, changes: list[Json], more: str = "") -> Answered:
        return self._sent("PATCH", self._path(effect), more, changes)

    def _sent(self, method: str, path: str, more: str, body: list[Json] | dict[str, Json] | None) -> Answered:
        if body is None:
            return self._call(method, path)
        asked = f"{path}?fieldManager=tidegate&fieldValidation=Strict{more}"
        return self._call(method, asked, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes = b"") -> Answered:
        kind = "application/json" if method == "POST" else "application/json-patch+json"
        return call(
            method, f"{self._settings.api.rstrip('/')}{path}", body=body, timeout_s=self._settings.timeout_s,
            headers={"Accept": "application/json", "Content-Type": kind},
            token_file=self._settings.token_file, ca_file=self._settings.ca_file,
        )  # fmt: skip


def _is_job(effect: Effect) -> bool:
    return "cronjob" in effect.parameters


def _mark_name(effect: Effect) -> str:
    """Of the annotation: one for each field, so that a plan may change two fields of one Deployment and undo both."""
    return f"{MARK}.{min(effect.sets)}"


def _plain_template(replicaset: Mapping[str, Any]) -> dict[str, Any]:
    """The template as the Deployment had it: without the label that tells revisions apart."""
    template: dict[str, Any] = json.loads(json.dumps(replicaset["spec"]["template"]))
    template["metadata"]["labels"].pop(HASH, None)
    return template


def _annotations(found: Mapping[str, Any]) -> Mapping[str, str]:
    kept: Mapping[str, str] | None = found.get("metadata", {}).get("annotations")
    return kept or {}


def _annotate(meta: Mapping[str, Any], name: str, value: str, path: str = "/metadata") -> list[Json]:
    """Operations that set one annotation, and make the place for it where there is none."""
    patch: list[Json] = []
    if not meta.get("annotations"):
        patch.append({"op": "add", "path": f"{path}/annotations", "value": {}})
    patch.append({"op": "add", "path": f"{path}/annotations/{name.replace('/', '~1')}", "value": value})
    return patch


def _max_unavailable(spec: Mapping[str, Any], replicas: int) -> int:
    """How many pods may be away while it rolls: rounded down if it is a share, all of them for Recreate."""
    strategy = spec.get("strategy", {})
    if strategy.get("type") == "Recreate":
        return replicas
    most = strategy.get("rollingUpdate", {}).get("maxUnavailable", "25%")
    return most if isinstance(most, int) else replicas * int(str(most).rstrip("%")) // 100


def _message(answer: Answered) -> str:
    try:
        return str(answer.json()["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.body[:200].decode(errors="replace")


PLUGIN = Kubernetes
