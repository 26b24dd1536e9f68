"""Kubernetes events and objects: events become log lines of what they are about, objects rollouts, scales and edges.

Takes what `kubectl get --watch -o json` and exporters post: one object, a list, watch events (`{"type", "object"}`), or
several of these one after another. A rollout is told by a Deployment, StatefulSet or DaemonSet once per revision, a
scale by the event of it; an Ingress or HTTPRoute says who calls which service, a Service which workload its selector
finds. Owners are followed by names and labels inside one body; nothing is asked of the API server here.
Sources: Kubernetes API reference 1.30, `core/v1` and `events.k8s.io/v1` Event, `apps/v1`, `networking.k8s.io/v1`;
Gateway API v1. The recommended labels `app.kubernetes.io/*`; annotation `deployment.kubernetes.io/revision`.
"""

import json
import re
from typing import Any

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import origin_of, pod_owner, tenant_of
from streams._errors import SourceError
from streams._intake import Intake
from streams.sources._webhook import Fields, change, intent_in, lines, plain, short

_CODE = "KUBERNETES_INVALID"
_MOST = 10_000
_INTENT = "tidegate.io/intent"
_REVISION = "deployment.kubernetes.io/revision"
_SCALED = re.compile(r"[Ss]caled (?:up|down) .*? to (\d+)(?: from (\d+))?|New size: (\d+)")
_SPACE = re.compile(r"\s*")
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
Row = tuple[Any, ...]


class Kubernetes:
    kind = "kubernetes"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/kubernetes",), max_bytes=32 << 20,
        media_types=("application/json", "application/json;stream=watch", "application/x-ndjson"),
    )  # fmt: skip

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError KUBERNETES_INVALID naming the field; objects of other kinds are passed over."""
        records: list[sc.Record] = []
        rows: list[Row] = []
        fronts: list[Fields] = []
        behind: list[Fields] = []
        for at, thing in enumerate(_objects(message.value)):
            fields = Fields(thing, _CODE, f"[{at}].")
            kind = fields.any("kind")
            if kind == "Event":
                rows.append(_line(message, fields))
                records += _scale(message, fields)
            elif kind in _WORKLOADS:
                records += _rollout(message, fields, kind)
                behind.append(fields)
            elif kind == "Service":
                fronts.append(fields)
            elif kind in ("Ingress", "HTTPRoute"):
                records += _edges(message, fields, kind)
        records += _fronts(message, fronts, behind)
        return Decoded(records=tuple(records), logs=lines(rows), is_occasional=True)


PLUGIN = Kubernetes


def _objects(body: bytes) -> list[dict[str, Any]]:
    """All objects of a body, those of lists and watch events too. Raises SourceError."""
    found: list[dict[str, Any]] = []
    for value in _values(body):
        if not isinstance(value, dict):
            raise SourceError(f"a JSON object is due, this is {type(value).__name__}", code=_CODE)
        if isinstance(value.get("object"), dict) and "kind" not in value:
            if value.get("type") in ("BOOKMARK", "ERROR", "DELETED"):
                continue
            value = value["object"]
        items = value.get("items")
        many = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else [value]
        kind = plain(value.get("kind")).removesuffix("List")
        found += [item if item.get("kind") else {**item, "kind": kind} for item in many]
    if len(found) > _MOST:
        raise SourceError(f"{len(found)} objects in one body, {_MOST} are taken; send fewer at once", code=_CODE)
    return found


def _values(body: bytes) -> list[Any]:
    try:
        text, found, decoder = body.decode("utf-8"), [], json.JSONDecoder()
        at = _past_space(text, 0)
        while at < len(text):
            value, at = decoder.raw_decode(text, at)
            at = _past_space(text, at)
            found.append(value)
            if len(found) > _MOST:
                raise SourceError(f"more than {_MOST} objects in one body; send fewer at once", code=_CODE)
    except RecursionError as error:
        raise SourceError("the JSON nests too deep to be read", code=_CODE) from error
    except ValueError as error:
        raise SourceError(f"not JSON: {str(error)[:200]}", todo="Send `kubectl get -o json`", code=_CODE) from error
    if not found:
        raise SourceError("the body is empty", code=_CODE)
    return found


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _about(event: Fields) -> Fields:
    """core/v1 says `involvedObject`, events.k8s.io/v1 `regarding`."""
    if "involvedObject" in event:
        return event.part("involvedObject")
    return event.part("regarding")


def _time(event: Fields, message: Message) -> int:
    series = event.maybe("series")
    if "lastObservedTime" in series:
        return series.time("lastObservedTime")
    names = ("lastTimestamp", "deprecatedLastTimestamp", "eventTime", "firstTimestamp", "deprecatedFirstTimestamp")
    return event.time(*names, default=event.maybe("metadata").time("creationTimestamp", default=message.received_ns))


def _line(message: Message, event: Fields) -> Row:
    about, reason = _about(event), event.text("reason")
    kind, name = about.text("kind"), about.text("name")
    severity = 13 if event.any("type") == "Warning" else 9  # OpenTelemetry: WARN, INFO
    entity, service = _who(tenant_of(message), kind, name)
    text = event.any("note", "message")
    return _time(event, message), entity, service, severity, f"kubernetes/{kind}/{reason}", text, b"", b""


def _who(tenant: str, kind: str, name: str) -> tuple[str, str]:
    """Entity id and service of an object: a pod is an instance of its owner, a node a node, others by name."""
    name = short(name)
    if kind == "Pod":
        origin = origin_of({"k8s.pod.name": name}, tenant)
        return origin.entity_id, origin.service
    if kind == "Node":
        return sc.Entity(tenant=tenant, kind="node", service=name, name=name).entity_id, name
    service = pod_owner(f"{name}-xxxxx") if kind == "ReplicaSet" else name
    service = re.sub(r"-[a-z0-9]{6,10}$", "", service) if kind == "ReplicaSet" else service
    return sc.Entity(tenant=tenant, kind="service", service=service, name=service).entity_id, service


def _scale(message: Message, event: Fields) -> tuple[sc.Change, ...]:
    """Who scaled, to how many: of a Deployment by hand or rollout it is told too often, so only of the autoscaler."""
    about, reason = _about(event), event.text("reason")
    found = _SCALED.search(event.any("note", "message"))
    if about.any("kind") != "HorizontalPodAutoscaler" or reason != "SuccessfulRescale" or found is None:
        return ()
    at, name = _time(event, message), short(about.text("name"))
    size = found[1] or found[3]
    key = (about.any("namespace"), name, "scale", size, at // 1_000_000_000)
    return (change(
        message, "kubernetes", key, name, "scale", at, event.any("note", "message"), version_from=found[2] or "",
        version_to=size, author="horizontal-pod-autoscaler",
    ),)  # fmt: skip


def _rollout(message: Message, workload: Fields, kind: str) -> tuple[sc.Change, ...]:
    """One change per revision: its time is that of the newest progress, else when the object was taken."""
    metadata, status = workload.part("metadata"), workload.maybe("status")
    annotations = metadata.maybe("annotations")
    revision = annotations.any(_REVISION) or status.any("updateRevision") or metadata.any("generation")
    if not revision:
        return ()
    name, service = metadata.text("name"), _named(metadata)
    progress = next((c for c in status.parts("conditions") if c.any("type") == "Progressing"), None)
    fallback = metadata.time("creationTimestamp", default=message.received_ns) if revision == "1" else None
    at = message.received_ns if fallback is None else fallback
    at = progress.time("lastUpdateTime", default=at) if progress is not None else at
    pods = workload.maybe("spec").maybe("template").maybe("spec")
    images = ", ".join(short(image) for c in pods.parts("containers") if (image := c.any("image")))
    where = f"{metadata.any('namespace') or 'default'}/{name}"
    return (change(
        message, "kubernetes", (kind, metadata.any("uid") or where, revision), service, "deploy", at,
        f"rollout of {kind} {where}, revision {revision}", version_to=images[:200] or revision,
        reference=annotations.any("kubernetes.io/change-cause") or where,
        environment=metadata.any("namespace"), intent=intent_in(annotations.raw(_INTENT), at, is_trailer=False),
    ),)  # fmt: skip


def _named(metadata: Fields) -> str:
    """The service that a workload is, by the recommended labels, else its name."""
    return short(metadata.maybe("labels").any("app.kubernetes.io/name", "app") or metadata.text("name"))


def _fronts(message: Message, fronts: list[Fields], behind: list[Fields]) -> list[sc.TopologyEdge]:
    """A Service calls the workloads whose pods it selects, where it has another name; both must be in this body."""
    workloads = [
        (w.part("metadata").any("namespace"), _named(w.part("metadata")),
         set(w.maybe("spec").maybe("template").maybe("metadata").maybe("labels").items()))
        for w in behind
    ]  # fmt: skip
    found: list[sc.TopologyEdge] = []
    for front in fronts:
        metadata, selector = front.part("metadata"), set(front.maybe("spec").maybe("selector").items())
        callees = {
            name for place, name, labels in workloads
            if selector and place == metadata.any("namespace") and selector <= labels
        }  # fmt: skip
        found += _calls(message, metadata, short(metadata.text("name")), callees)
    return found


def _edges(message: Message, route: Fields, kind: str) -> list[sc.TopologyEdge]:
    """An Ingress or HTTPRoute calls the services behind it."""
    metadata, spec = route.part("metadata"), route.maybe("spec")
    found = set()
    for rule in spec.parts("rules"):
        paths = rule.maybe("http").parts("paths") if kind == "Ingress" else rule.parts("backendRefs")
        for path in paths:
            backend = path.maybe("backend").maybe("service").any("name") if kind == "Ingress" else path.any("name")
            found.add(backend)
    found.add(spec.maybe("defaultBackend").maybe("service").any("name"))
    return _calls(message, metadata, short(metadata.text("name")), found)


def _calls(message: Message, metadata: Fields, caller: str, callees: set[str]) -> list[sc.TopologyEdge]:
    tenant = tenant_of(message)
    first = metadata.time("creationTimestamp", default=message.received_ns)
    edges = []
    for callee in sorted(callees - {"", caller}):
        ends = [
            sc.Entity(tenant=tenant, kind="service", service=name, name=name).entity_id
            for name in (caller, short(callee))
        ]
        edges.append(sc.TopologyEdge(
            id=sc.record_id("edge", tenant, *ends, "kubernetes"), tenant=tenant, caller=ends[0], callee=ends[1],
            source="kubernetes", first_ns=first, last_ns=max(first, message.received_ns),
        ))  # fmt: skip
    return edges
