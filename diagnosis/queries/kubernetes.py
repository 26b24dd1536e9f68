"""Kubernetes: is the suspect short of replicas, killed for memory, crashing, and was its image changed?

Reads the Deployment, its ReplicaSets and its Pods, nothing else and never a Secret. Confirms memory (OOMKilled), a
crash loop, missing capacity, a change of image near the onset; a healthy deployment answers 0 to each, which
eliminates them.
Source: Kubernetes API, apps/v1 Deployment and ReplicaSet (`deployment.kubernetes.io/revision`), core/v1 PodStatus
(`containerStatuses[].lastState.terminated.reason`).
"""

import re
from collections.abc import Mapping
from typing import Any

from diagnosis._contract import Answer, Context, Finding, Onset, Parameters, QueryFailed, Speaks, Suspect
from diagnosis.queries._numbers import BEFORE_S, at, items, needed, number, shown, time_ns
from schemas.core import NS

UNREADABLE = "KUBERNETES_UNREADABLE"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9._-]{1,63}")
_VALUE = re.compile(r"[A-Za-z0-9._-]{0,63}")
_CRASHES = ("CrashLoopBackOff", "Error", "ContainerCannotRun", "ImagePullBackOff", "ErrImagePull")


class Kubernetes:
    """Looks at the deployment that is called as the service is."""

    kind = "kubernetes_workload"
    subsystem = "kubernetes"
    version = "1"
    about = "that a workload lacks replicas, was killed for memory, crashes, or has another image"
    evidence: Mapping[str, Speaks] = {
        "asked_replicas": Speaks("", "has fewer pods ready than it should", 0.5),
        "asked_killed": Speaks("memory", "was killed because it needed more memory than it may"),
        "asked_crashes": Speaks("code", "has containers that crash or cannot start"),
        "asked_image": Speaks("change", "has another image since shortly before the onset"),
    }
    cost = 2.0
    timeout_s = 15.0
    parameters: type[Parameters] = Onset

    def ask(self, suspect: Suspect) -> Onset | None:
        return Onset.of(suspect)

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        """A name that no object can have finds nothing. Raises QueryFailed."""
        reader = context.kubernetes
        if reader is None or not isinstance(parameters, Onset):
            raise QueryFailed("KUBERNETES_NOT_SET_UP", "no address of a Kubernetes API server is set")
        space = context.kubernetes_namespace
        if not (_NAME.fullmatch(parameters.service) and _NAME.fullmatch(space)):
            return Answer(cost=0.0)
        apps = f"/apis/apps/v1/namespaces/{space}"
        deployment: Any = await reader.get(f"{apps}/deployments/{parameters.service}", {})
        selector = selector_of(at(deployment, "spec", "selector", "matchLabels"))
        sets: Any = await reader.get(f"{apps}/replicasets", {"labelSelector": selector, "limit": "50"})
        pods: Any = await reader.get(f"/api/v1/namespaces/{space}/pods", {"labelSelector": selector, "limit": "200"})
        found = [
            _replicas(deployment, parameters), *_containers(needed(pods, UNREADABLE, "items"), parameters),
            _image(needed(sets, UNREADABLE, "items"), deployment, parameters),
        ]  # fmt: skip
        return Answer(findings=found, cost=3.0)


def selector_of(labels: Any) -> str:
    """A label selector of exactly these labels; raises QueryFailed if there are none, for that would select all."""
    if not isinstance(labels, dict) or not labels:
        raise QueryFailed(UNREADABLE, "the deployment selects its pods by no label")
    for name, value in labels.items():
        if not (_LABEL.fullmatch(str(name)) and isinstance(value, str) and _VALUE.fullmatch(value)):
            raise QueryFailed(UNREADABLE, "the deployment selects its pods by what is no label")
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _replicas(deployment: Any, asked: Onset) -> Finding:
    wanted = number(at(deployment, "spec", "replicas"))
    ready = number(at(deployment, "status", "readyReplicas")) or 0.0
    missing = max((wanted or 0.0) - ready, 0.0) / wanted if wanted else 0.0
    return shown("asked_replicas", asked.service, missing, ready, 1, asked.onset_ns, asked.end_ns, before=wanted)


def _containers(pods: list[Any], asked: Onset) -> list[Finding]:
    killed = crashed = 0
    since = asked.onset_ns - BEFORE_S * NS
    for pod in pods:
        for status in items(pod, "status", "containerStatuses", most=20):
            ended = at(status, "lastState", "terminated") or at(status, "state", "terminated")
            at_ns = time_ns(at(ended, "finishedAt"))
            is_late = at_ns is not None and since <= at_ns <= asked.end_ns
            reason = at(ended, "reason")
            killed += is_late and reason == "OOMKilled"
            crashed += at(status, "state", "waiting", "reason") in _CRASHES or (is_late and reason in _CRASHES)
    n = len(pods)
    return [
        shown("asked_killed", asked.service, 1.0 if killed else 0.0, float(killed), n, asked.onset_ns, asked.end_ns),
        shown("asked_crashes", asked.service, crashed / n if n else 0.0, float(crashed), n, asked.onset_ns,
              asked.end_ns),
    ]  # fmt: skip


def _image(sets: list[Any], deployment: Any, asked: Onset) -> Finding:
    """Whether the newest ReplicaSet was made near the onset and has other images than the one before it."""
    made: list[tuple[float, Any]] = []
    for one in sets:
        revision = number(at(one, "metadata", "annotations", "deployment.kubernetes.io/revision"))
        if revision is not None:
            made.append((revision, one))
    made.sort(key=lambda pair: pair[0])
    strength = 0.0
    if len(made) > 1:
        (_, old), (_, new) = made[-2:]
        at_ns = time_ns(at(new, "metadata", "creationTimestamp"))
        is_near = at_ns is not None and asked.onset_ns - 4 * BEFORE_S * NS <= at_ns <= asked.end_ns
        strength = float(is_near and _images(old) != _images(new))
    return shown("asked_image", asked.service, strength, made[-1][0] if made else None, len(made), asked.onset_ns,
                 asked.end_ns)  # fmt: skip


def _images(replica_set: Any) -> list[str]:
    found = items(replica_set, "spec", "template", "spec", "containers", most=20)
    return sorted(str(at(container, "image")) for container in found)


PLUGIN = Kubernetes
