"""A CronJob run once more: one Job of a name that follows from the run's, made suspended and then let go.

Making a Job cannot be conditional on anything but its name, and a late request could start it after we gave up. So it
is made suspended, which starts nothing, and what starts it is one patch that names the Job's resourceVersion and
carries our mark, as every other write. The fence moves that resourceVersion, or makes the suspended Job itself, so
that a request still on its way finds the name taken. A fenced run that never began stays as a suspended Job.
Source: `kubectl create job --from=cronjob/NAME` (annotation, owner); Kubernetes Jobs, "Suspending a Job".
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from actions._executor import MARK, Effect, Mark, Reading, TargetAway, read_mark
from actions.executors._http import Answered
from schemas import Json, canonical, sha256

TEMPLATE = "tidegate.io/template"
_MARK = f"{MARK}.run_id"
Ask = Callable[[str, str, str, list[Json] | dict[str, Json] | None], Answered]
"""Method, path, query and body."""


class Jobs:
    """fence: name of the annotation that moves a version. Raises and answers as an executor does."""

    def __init__(self, ask: Ask, fence: str) -> None:
        self._ask, self._fence = ask, fence

    def read(self, effect: Effect, cron: Mapping[str, Any], folder: str) -> Reading:
        """cron: the CronJob. folder: path of the namespace."""
        job = self._job(effect, folder)
        notes = _notes(job) if job else {}
        is_let_go = job is not None and not job["spec"].get("suspend", False)
        state: dict[str, Json] = {
            "run_id": effect.parameters["run_id"] if is_let_go else None,
            "is_running": bool(cron.get("status", {}).get("active")),
        }
        meta = cron["metadata"]
        token = f"job/{job['metadata']['resourceVersion']}" if job else f"cronjob/{meta['resourceVersion']}"
        version = sha256(canonical([meta["uid"], _template(cron)]))
        return Reading(meta["uid"], version, token, state, read_mark(notes.get(_MARK)))

    def check(self, effect: Effect, cron: Mapping[str, Any], folder: str) -> Answered:
        """Asked of the server, nothing is kept."""
        job = self._job(effect, folder)
        if job is not None:
            return self._let_go(effect, folder, Mark("dry-run", 0, "do", 0), job, "&dryRun=All")
        return self._made(effect, cron, folder, {}, "&dryRun=All")

    def write(self, effect: Effect, mark: Mark, reading: Reading, cron: Mapping[str, Any], folder: str) -> Answered:
        """The last answer of the server; 409 where anything moved since the reading."""
        kind, _, version = reading.token.partition("/")
        if kind == "cronjob":
            if cron["metadata"]["resourceVersion"] != version:
                return _moved("the CronJob moved since it was read")
            made = self._made(effect, cron, folder, {})
            if not made.is_ok:
                return made
            job = made.json()
        else:
            found = self._job(effect, folder)
            if found is None or _notes(found).get(TEMPLATE) != _digest(cron):
                return _moved("the Job is not of the template that was read")
            found["metadata"]["resourceVersion"] = version
            job = found
        return self._let_go(effect, folder, mark, job)

    def fence(self, effect: Effect, epoch: int, cron: Mapping[str, Any], folder: str) -> Answered:
        job = self._job(effect, folder)
        if job is None:
            made = self._made(effect, cron, folder, {self._fence: str(epoch)})
            if made.status != 409:
                return made
            job = self._job(effect, folder)
            if job is None:
                return made
        body: dict[str, Json] = {"metadata": {"annotations": {self._fence: str(epoch)}}}
        return self._ask("PATCH", _path(effect, folder), "", _annotations(job, body))

    def _job(self, effect: Effect, folder: str) -> dict[str, Any] | None:
        answer = self._ask("GET", _path(effect, folder), "", None)
        if answer.status == 404:
            return None
        if not answer.is_ok:
            raise TargetAway(f"{_path(effect, folder)}: {answer.status}")
        try:
            found: dict[str, Any] = answer.json()
        except ValueError as error:
            raise TargetAway(f"{_path(effect, folder)} is no JSON") from error
        return found

    def _made(
        self, effect: Effect, cron: Mapping[str, Any], folder: str, notes: Mapping[str, str], more: str = ""
    ) -> Answered:
        template, meta = _template(cron), cron["metadata"]
        told = template.get("metadata", {})
        kept = {**told.get("annotations", {}), "cronjob.kubernetes.io/instantiate": "manual"}
        body: dict[str, Json] = {
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": name_of(effect), "namespace": meta["namespace"], "labels": told.get("labels", {}),
                "annotations": {**kept, TEMPLATE: _digest(cron), **notes},
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "kind": "CronJob", "name": meta["name"], "uid": meta["uid"],
                    "controller": True,
                }],
            },
            "spec": {**template["spec"], "suspend": True},
        }  # fmt: skip
        return self._ask("POST", f"{folder}/jobs", more, body)

    def _let_go(self, effect: Effect, folder: str, mark: Mark, job: Mapping[str, Any], more: str = "") -> Answered:
        patch: list[Json] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": job["metadata"]["resourceVersion"]},
            {"op": "add", "path": f"/metadata/annotations/{_MARK.replace('/', '~1')}", "value": mark.text()},
            {"op": "replace", "path": "/spec/suspend", "value": False},
        ]
        return self._ask("PATCH", _path(effect, folder), more, patch)


def name_of(effect: Effect) -> str:
    """Of the Job: the CronJob's, and ten hex digits of the run's; a Job's name has at most 63 characters."""
    digits = hashlib.sha256(str(effect.parameters["run_id"]).encode()).hexdigest()[:10]
    return f"{effect.parameters['cronjob']}-{digits}"


def _path(effect: Effect, folder: str) -> str:
    return f"{folder}/jobs/{name_of(effect)}"


def _template(cron: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = cron["spec"]["jobTemplate"]
    return found


def _digest(cron: Mapping[str, Any]) -> str:
    return sha256(canonical(_template(cron))).removeprefix("sha256:")


def _notes(job: Mapping[str, Any]) -> Mapping[str, str]:
    kept: Mapping[str, str] | None = job["metadata"].get("annotations")
    return kept or {}


def _annotations(job: Mapping[str, Any], body: dict[str, Any]) -> list[Json]:
    """A JSON patch that sets annotations; a Job that we made has some already."""
    notes: Mapping[str, str] = body["metadata"]["annotations"]
    patch: list[Json] = [] if _notes(job) else [{"op": "add", "path": "/metadata/annotations", "value": {}}]
    for name, value in notes.items():
        patch.append({"op": "add", "path": f"/metadata/annotations/{name.replace('/', '~1')}", "value": value})
    return patch


def _moved(what: str) -> Answered:
    return Answered(409, json.dumps({"message": what}).encode())
