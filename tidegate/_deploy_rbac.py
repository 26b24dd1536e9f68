"""Least privilege, rendered: what the credentials of the gateway must allow for the verbs in use, and nothing more.

The verbs' executors say their rules; here they become manifests. Kubernetes gets a Role for each namespace, never a
ClusterRole for what has namespaces; a NetworkPolicy that lets the gateway out to its targets and nobody in; and an
admission policy that holds, at the API server and apart from our code, which fields the gateway may change and by how
much. Source: Kubernetes API, rbac/v1, networking/v1, admissionregistration/v1 (ValidatingAdmissionPolicy).
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from actions import MARK, Executor
from tidegate._action_gateway_settings import ActGateway

NAME = "tidegate-gateway"
_LABELS = {"app.kubernetes.io/name": NAME}
_CLUSTER_WIDE = {"nodes"}
_SAME_LABELS = "object.metadata.?labels.orValue({}) == oldObject.metadata.?labels.orValue({})"
_SAME_PODS = "object.spec.template.spec == oldObject.spec.template.spec"


def render(settings: ActGateway, namespace: str) -> dict[str, Any]:
    """File name to contents: a list of manifests (YAML), SQL text, or the rules of the other systems.

    namespace: where the gateway runs. Raises SettingsError.
    """
    by_verb = settings.open_executors()
    files: dict[str, Any] = {}
    mine = {verb: one for verb, one in by_verb.items() if one.kind == "kubernetes"}
    told = settings.executors.get("kubernetes", {})
    if mine:
        files["kubernetes.yaml"] = [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(namespace)},
            *_roles(rules_of(mine), told.get("namespaces", ()), namespace),
            *_admission(set(mine), namespace),
            _network(settings, namespace),
        ]
    databases = {verb: one for verb, one in by_verb.items() if one.kind == "postgres"}
    if databases:
        files["postgres.sql"] = _sql(databases, settings)
    files["permissions.yaml"] = [
        {"verb": verb, "executor": one.kind, "rules": [dict(rule) for rule in one.permissions[verb]]}
        for verb, one in sorted(by_verb.items())
    ]
    return files


def rules_of(by_verb: Mapping[str, Executor]) -> list[dict[str, Any]]:
    """The union of the rules of these verbs, one for each resource, its verbs sorted."""
    union: dict[tuple[str, str], set[str]] = {}
    for verb, executor in by_verb.items():
        for rule in executor.permissions[verb]:
            for group in _texts(rule["apiGroups"]):
                for resource in _texts(rule["resources"]):
                    union.setdefault((group, resource), set()).update(_texts(rule["verbs"]))
    return [{"apiGroups": [g], "resources": [r], "verbs": sorted(verbs)} for (g, r), verbs in sorted(union.items())]


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value]


def _meta(namespace: str | None, name: str = NAME) -> dict[str, Any]:
    return {"name": name, **({"namespace": namespace} if namespace else {}), "labels": dict(_LABELS)}


def _roles(rules: list[dict[str, Any]], namespaces: Iterable[str], home: str) -> list[dict[str, Any]]:
    wide = [rule for rule in rules if set(rule["resources"]) <= _CLUSTER_WIDE]
    narrow = [rule for rule in rules if rule not in wide]
    subjects = [{"kind": "ServiceAccount", "name": NAME, "namespace": home}]
    made: list[dict[str, Any]] = []
    for kind, where, told in (*(("Role", one, narrow) for one in namespaces), ("ClusterRole", None, wide)):
        if told:
            group = "rbac.authorization.k8s.io"
            made.append({"apiVersion": f"{group}/v1", "kind": kind, "metadata": _meta(where), "rules": told})
            made.append({
                "apiVersion": f"{group}/v1", "kind": f"{kind}Binding", "metadata": _meta(where),
                "subjects": subjects, "roleRef": {"apiGroup": group, "kind": kind, "name": NAME},
            })  # fmt: skip
    return made


def _admission(verbs: set[str], home: str) -> list[dict[str, Any]]:
    """What the gateway may change of a Deployment or a Node; everybody else is not asked."""
    found = []
    if verbs & {"kubernetes.scale", "kubernetes.restart", "kubernetes.rollback"}:
        held = {
            "its labels": _SAME_LABELS, "its selector": "object.spec.selector == oldObject.spec.selector",
            "its strategy": "object.spec.strategy == oldObject.spec.strategy",
            "our mark is missing":
                "object.metadata.?annotations.orValue({}).exists(name,"
                f" name.startsWith('{MARK}.') || name == 'tidegate.io/fence')",
        }  # fmt: skip
        if "kubernetes.scale" in verbs:
            held["replicas more than doubled or below half"] = (
                "object.spec.replicas <= [2 * oldObject.spec.replicas, oldObject.spec.replicas + 2].max()"
                " && 2 * object.spec.replicas >= oldObject.spec.replicas"
            )
        else:
            held["its replicas"] = "object.spec.replicas == oldObject.spec.replicas"
        if "kubernetes.rollback" not in verbs:
            held["what its pods run"] = _SAME_PODS
        found += _policy("deployments", "apps", held, home)
    if verbs & {"kubernetes.cordon", "kubernetes.uncordon"}:
        held = {"its labels": _SAME_LABELS,
                "its taints": "object.spec.?taints.orValue([]) == oldObject.spec.?taints.orValue([])"}  # fmt: skip
        found += _policy("nodes", "", held, home)
    if "kubernetes.run_job" in verbs:
        held = {"what it runs": "object.spec.template.spec == oldObject.spec.template.spec", "its labels": _SAME_LABELS}
        found += _policy("jobs", "batch", held, home)
        made = {
            "a Job that is not made of a CronJob":
                "object.metadata.?ownerReferences.orValue([]).exists(one, one.kind == 'CronJob')"
                " && object.metadata.?annotations.orValue({}).exists(name, name == 'tidegate.io/template')",
            "a Job that starts at once": "object.spec.?suspend.orValue(false) == true",
        }  # fmt: skip
        found += _policy("jobs", "batch", made, home, "CREATE")
    return found


def _policy(
    resource: str, group: str, held: Mapping[str, str], home: str, when: str = "UPDATE"
) -> list[dict[str, Any]]:
    api, name = "admissionregistration.k8s.io/v1", f"{NAME}-{resource}{'' if when == 'UPDATE' else '-made'}"
    user = f"system:serviceaccount:{home}:{NAME}"
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": [when], "resources": [resource]}
    return [
        {
            "apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": _meta(None, name),
            "spec": {
                "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
                "matchConditions": [{"name": "by-the-gateway", "expression": f"request.userInfo.username == '{user}'"}],
                "validations": [
                    {"expression": expression, "message": f"the gateway may not change this: {what}"}
                    for what, expression in held.items()
                ],
            },
        },
        {
            "apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": _meta(None, name),
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]  # fmt: skip


def _network(settings: ActGateway, home: str) -> dict[str, Any]:
    """Nobody in (it listens on its own machine), and out to names, the API server and the targets' ports only."""
    dns = {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    }
    outs = [_out(url) for url in sorted(_addresses(settings))]
    unique = [out for n, out in enumerate(outs) if out not in outs[:n]]
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": _meta(home),
        "spec": {"podSelector": {"matchLabels": dict(_LABELS)}, "policyTypes": ["Ingress", "Egress"], "ingress": [],
                 "egress": [dns, *unique]},
    }  # fmt: skip


def _addresses(settings: ActGateway) -> set[str]:
    """URLs of the executors' systems."""
    found = set[str]()
    for kind, told in settings.executors.items():
        if kind == "kubernetes":
            found.add(str(told.get("api", "https://kubernetes.default.svc")))
        places = [told.get(key) for key in ("url", "admin", "dsn")]
        places += list(told.get("services", {}).values())
        found |= {str(place) for place in places if place and "://" in str(place)}
    return found


def _out(url: str) -> dict[str, Any]:
    """One way out. A name outside the cluster cannot be said in a NetworkPolicy, so there only the port is held."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80, "postgresql": 5432, "ssh": 22}.get(parts.scheme, 443)
    host, ports = parts.hostname or "", [{"port": port, "protocol": "TCP"}]
    labels = host.split(".")
    try:
        address = ipaddress.ip_address(host)
        return {"to": [{"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}}], "ports": ports}
    except ValueError:
        if host == "kubernetes.default.svc" or len(labels) < 3 or labels[2] != "svc":
            return {"ports": ports}  # the API server has no pods that could be selected
    return {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": labels[1]}}}], "ports": ports}


def _sql(verbs: Mapping[str, Executor], settings: ActGateway) -> str:
    """To be run by a DBA, once per server; the login of the gateway is `tidegate_gateway`."""
    lines = ["create role tidegate_gateway login;", next(iter(verbs.values())).set_up.strip(),
             "grant usage on schema tidegate to tidegate_gateway;",
             "grant select, insert, update on tidegate.mark to tidegate_gateway;"]  # fmt: skip
    if "postgres.terminate_backend" in verbs:
        lines.append("grant pg_signal_backend, pg_read_all_stats to tidegate_gateway;")
    if "postgres.pool_resize" in verbs:
        lines.append("alter role tidegate_gateway createrole;")
        for role in settings.executors["postgres"].get("roles", ()):
            quoted = '"' + str(role).replace('"', '""') + '"'
            lines.append(f"grant {quoted} to tidegate_gateway with admin option, inherit false, set false;")
    return "\n".join(lines) + "\n"
