"""What `tidegate deploy rbac` renders, applied to a real API server: enough for each verb, and nothing more.

`pytest tests/live/rbac_check.py`; needs what kubernetes_check.py needs.
"""

import os
import shutil
import time
from pathlib import Path

import pytest
from support.gateway import KEY
from support.kube import Cluster
from support.kubernetes_cases import (
    APPS,
    BATCH,
    DO,
    JOB,
    NODE,
    again,
    deployment,
    effect,
    empty,
    fill,
    scale,
    settings,
    template,
)  # fmt: skip

from actions.executors._jobs import name_of
from actions.executors.kubernetes import Kubernetes
from schemas.signatures import public_text
from tidegate._action_gateway_settings import ActGateway
from tidegate._deploy_rbac import render

TOKEN, USER = "token-of-the-gateway", "system:serviceaccount:tidegate:tidegate-gateway"
PATHS = {
    "ServiceAccount": "/api/v1/namespaces/tidegate/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    server = os.environ.get("KUBE_APISERVER") or shutil.which("kube-apiserver")
    etcd = shutil.which("etcd")
    assert server and etcd, "kube-apiserver or etcd is not there"
    place = tmp_path_factory.mktemp("kube")
    cluster = Cluster(Path(server), Path(etcd), place, {TOKEN: USER}).start()
    cluster.token_file = place / "gateway-token"
    cluster.token_file.write_text(TOKEN)
    fill(cluster)
    for name in ("tidegate", "search"):
        cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    yield cluster
    empty(cluster)
    cluster.stop()


def apply(api, *verbs):
    told = {
        "deployment": "shop", "permit_keys": {"d": public_text(KEY)}, "control_keys": {"on-call": public_text(KEY)},
        "executors": {"kubernetes": {"namespaces": ["shop"]}}, "verbs": verbs,
    }  # fmt: skip
    said = f"as it was applied at {time.monotonic_ns()}"
    for one in render(ActGateway.model_validate(told), "tidegate")["kubernetes.yaml"]:
        for rule in one["spec"]["validations"] if one["kind"] == "ValidatingAdmissionPolicy" else ():
            rule["message"] = said  # so that a refusal says which of the policies that replaced each other it is of
        path = PATHS[one["kind"]].format(one["metadata"].get("namespace", ""))
        status, there = api.raw("GET", f"{path}/{one['metadata']['name']}")
        if status == 200:  # in place, as `kubectl apply` does: between deleting and making it nothing would hold
            one["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
            api.ask("PUT", f"{path}/{one['metadata']['name']}", one)
        else:
            api.ask("POST", path, one)
    asked = f"{APPS}/deployments/checkout?dryRun=All"
    until(lambda: said in str(api.raw("PATCH", asked, {"metadata": {"labels": {"x": "y"}}}, token=TOKEN)[1]))


def until(holds):
    for _ in range(100):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to hold")


def status(api, method, path, body=None):
    return api.raw(method, path, body, token=TOKEN)[0]


def test_before_anything_is_granted_nothing_is_allowed(api):
    assert status(api, "GET", f"{APPS}/deployments/checkout") == 403


def test_with_what_is_rendered_every_verb_works_and_nothing_else(api):
    apply(api)
    hands = Kubernetes(settings(api))
    told = [scale(), effect("kubernetes.restart", restart_id="i-1"), scale("undo"),
            effect("kubernetes.rollback", from_hash="5d9c", to_hash="7f6b"),
            again(), effect("kubernetes.cordon", target=NODE, node="node-1"),
            effect("kubernetes.uncordon", target=NODE, node="node-1")]  # fmt: skip
    for one in told:
        reading = hands.read(one)
        assert hands.check(one, reading) is None, one.verb
        assert hands.write(one, DO, reading).outcome == "written", one.verb
    hands.fence(scale(), 9)
    for method, path, body in (
        ("DELETE", f"{APPS}/deployments/checkout", None), ("GET", f"{APPS}/deployments", None),
        ("POST", f"{APPS}/deployments", {"metadata": {"name": "x"}}),
        ("DELETE", JOB, None), ("GET", f"{BATCH}/jobs", None), ("PATCH", f"{BATCH}/cronjobs/nightly-copy", {}),
        ("GET", "/apis/apps/v1/namespaces/search/deployments/checkout", None),
        ("GET", "/api/v1/namespaces/shop/secrets", None), ("GET", "/api/v1/namespaces/shop/pods", None),
        ("DELETE", "/api/v1/namespaces/shop/persistentvolumeclaims/x", None), ("DELETE", "/api/v1/nodes/node-1", None),
        ("PATCH", "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/tidegate-gateway", {"rules": []}),
        ("PATCH", "/apis/apps/v1/namespaces/shop/replicasets/checkout-5d9c", {"spec": {"replicas": 9}}),
    ):  # fmt: skip
        assert status(api, method, path, body) == 403, f"{method} {path}"


@pytest.mark.parametrize(
    "change",
    [{"metadata": {"labels": {"app": "other"}}}, {"spec": {"replicas": 40}}, {"spec": {"replicas": 0}},
     {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}},
     {"spec": {"template": template("evil:v1")}}],
    ids=["labels", "too many", "none", "strategy", "image"],
)  # fmt: skip
def test_even_with_the_stolen_token_only_small_changes_of_known_fields_pass(api, change):
    apply(api, "kubernetes.scale")
    before = deployment(api)["spec"]
    assert status(api, "PATCH", f"{APPS}/deployments/checkout", change) == 422
    assert deployment(api)["spec"] == before
    spec = {"spec": {"replicas": before["replicas"] + 1}}
    assert status(api, "PATCH", f"{APPS}/deployments/checkout", spec) == 200
    api.ask("PATCH", f"{APPS}/deployments/checkout", {"spec": {"replicas": before["replicas"]}})


def test_even_with_the_stolen_token_only_a_suspended_job_of_a_cronjob_is_made_and_what_it_runs_stays(api):
    apply(api, "kubernetes.scale", "kubernetes.run_job")
    owner = [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly-copy", "uid": "u", "controller": True}]
    pods = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "evil:v1"}]}
    for meta, more in (({}, {"suspend": True}), ({"ownerReferences": owner}, {"suspend": False})):
        notes = {"annotations": {"tidegate.io/template": "x"}}
        body = {"metadata": {"name": "evil", **notes, **meta}, "spec": {"template": {"spec": pods}, **more}}
        assert status(api, "POST", f"{BATCH}/jobs", body) == 422
    hands = Kubernetes(settings(api))
    hands.fence(again(run_id="i-2"), 1)
    name = f"{BATCH}/jobs/{name_of(again(run_id='i-2'))}"
    assert status(api, "PATCH", name, {"spec": {"template": {"spec": pods}}}) == 422
    assert hands.write(again(run_id="i-2"), DO, hands.read(again(run_id="i-2"))).outcome == "written"
    api.ask("DELETE", name)
