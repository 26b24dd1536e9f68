"""What holds of the executor of Kubernetes, at a real API server (tests/live) and at a faithful double (tests/actions).

`api` is a fixture: an object with `url`, `token_file`, `ca_file`, and `ask(method, path, body)` with all rights.
"""

import hashlib

import pytest
from support.gateway import VERBS

from actions._contract import Capacity
from actions._executor import Mark, TargetAway
from actions._gateway import effect_of
from actions.executors.kubernetes import HASH, Kubernetes, KubernetesSettings

DO, UNDO = Mark("sha256:a", 0, "do", 3), Mark("sha256:a", 0, "undo", 4)
TARGET, NODE = "default/service/checkout", "default/host/node-1"
APPS, BATCH = "/apis/apps/v1/namespaces/shop", "/apis/batch/v1/namespaces/shop"
DEPLOYMENT = {"namespace": "shop", "deployment": "checkout"}


def template(image):
    return {
        "metadata": {"labels": {"app": "checkout"}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }


def fill(api):
    """A Deployment of four ready pods with two revisions, as its controller leaves it, and three nodes."""
    api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    selector = {"matchLabels": {"app": "checkout"}}
    made = api.ask("POST", f"{APPS}/deployments", {
        "metadata": {"name": "checkout", "labels": {"app": "checkout"}},
        "spec": {"replicas": 4, "selector": selector, "template": template("shop:v42")},
    })  # fmt: skip
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout", "uid": made["metadata"]["uid"]}
    for name, image in (("7f6b", "shop:v41"), ("5d9c", "shop:v42")):
        told = template(image)
        told["metadata"]["labels"][HASH] = name
        api.ask("POST", f"{APPS}/replicasets", {
            "metadata": {"name": f"checkout-{name}", "labels": {"app": "checkout", HASH: name},
                         "ownerReferences": [owner]},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "checkout", HASH: name}}, "template": told},
        })  # fmt: skip
    settle(api)
    pods = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "copy:v7"}]}
    job = {"metadata": {"labels": {"app": "checkout"}}, "spec": {"template": {"spec": pods}}}
    api.ask("POST", f"{BATCH}/cronjobs", {
        "metadata": {"name": "nightly-copy", "labels": {"app": "checkout"}},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": job},
    })  # fmt: skip
    for number in (1, 2, 3):
        api.ask("POST", "/api/v1/nodes", {"metadata": {"name": f"node-{number}"}})
        path = f"/api/v1/nodes/node-{number}"
        one = api.ask("GET", path)
        one["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        api.ask("PUT", f"{path}/status", one)
        if one["spec"].get("taints"):
            api.ask("PATCH", path, {"spec": {"taints": None}})


def settle(api):
    """What the controller would say when all is done."""
    one = api.ask("GET", f"{APPS}/deployments/checkout")
    n = one["spec"]["replicas"]
    one["status"] = {"replicas": n, "updatedReplicas": n, "readyReplicas": n, "availableReplicas": n,
                     "observedGeneration": one["metadata"]["generation"]}  # fmt: skip
    api.ask("PUT", f"{APPS}/deployments/checkout/status", one)


def empty(api):
    api.ask("DELETE", f"{BATCH}/cronjobs/nightly-copy")
    for one in api.ask("GET", f"{BATCH}/jobs")["items"]:
        api.ask("DELETE", f"{BATCH}/jobs/{one['metadata']['name']}?propagationPolicy=Background")
    for name in ("deployments/checkout", "replicasets/checkout-7f6b", "replicasets/checkout-5d9c"):
        api.ask("DELETE", f"{APPS}/{name}")
    for number in (1, 2, 3):
        api.ask("DELETE", f"/api/v1/nodes/node-{number}")


@pytest.fixture
def hands(api):
    fill(api)
    yield Kubernetes(settings(api))
    empty(api)


def settings(api, **more):
    told = {"api": api.url, "token_file": api.token_file, "ca_file": api.ca_file, "namespaces": ("shop",)}
    return KubernetesSettings(**(told | more))


def effect(verb, direction="do", target=TARGET, **parameters):
    told = parameters if "node" in parameters else DEPLOYMENT | parameters
    return effect_of(VERBS, VERBS.change(verb, target, told, "r"), direction)


JOB = f"{BATCH}/jobs/nightly-copy-{hashlib.sha256(b'i-1').hexdigest()[:10]}"


def again(**more):
    told = {"namespace": "shop", "cronjob": "nightly-copy", "run_id": "i-1"} | more
    return effect_of(VERBS, VERBS.change("kubernetes.run_job", TARGET, told, "r"), "do")


def scale(direction="do"):
    return effect("kubernetes.scale", direction, from_replicas=4, to_replicas=6)


def deployment(api):
    return api.ask("GET", f"{APPS}/deployments/checkout")


def test_scaling_sets_the_number_with_our_mark_and_back(api, hands):
    before = hands.read(scale())
    assert before.state["replicas"] == 4 and before.capacity == Capacity(4, 4) and before.mark is None
    assert hands.write(scale(), DO, before).outcome == "written"
    after = hands.read(scale())
    assert deployment(api)["spec"]["replicas"] == 6 and after.mark == DO and after.version != before.version
    assert hands.write(scale("undo"), UNDO, after).outcome == "written"
    assert deployment(api)["spec"]["replicas"] == 4 and hands.read(scale()).mark == UNDO


def test_a_dry_run_is_asked_of_the_server_and_changes_nothing(api, hands):
    before = deployment(api)
    reading = hands.read(scale())
    assert hands.check(scale(), reading) is None
    bad = scale()._replace(sets={"replicas": -1})
    assert "must be greater than or equal to 0" in (hands.check(bad, reading) or "")
    assert deployment(api)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_a_deployment_that_moved_since_it_was_read_is_not_written(api, hands):
    reading = hands.read(scale())
    api.ask("PATCH", f"{APPS}/deployments/checkout", {"metadata": {"annotations": {"somebody": "else"}}})
    assert hands.write(scale(), DO, reading)[:2] == ("refused", "CONFLICT")
    assert deployment(api)["spec"]["replicas"] == 4
    assert hands.read(scale()).version == reading.version, "what the verb is about has not moved"


def test_a_write_that_comes_after_the_fence_conflicts(api, hands):
    reading = hands.read(scale())
    hands.fence(scale(), 4)
    assert hands.write(scale(), DO, reading)[:2] == ("refused", "CONFLICT")
    assert hands.read(scale()).version == reading.version and deployment(api)["spec"]["replicas"] == 4


def test_a_fence_leaves_our_mark(api, hands):
    hands.write(scale(), DO, hands.read(scale()))
    hands.fence(scale(), 4)
    assert hands.read(scale()).mark == DO


def test_a_restart_is_named_and_one_that_rolls_already_is_seen(api, hands):
    restart = effect("kubernetes.restart", restart_id="i-1")
    before = hands.read(restart)
    assert before.state["is_rolling"] is False and before.state["max_unavailable"] == 1
    assert hands.write(restart, DO, before).outcome == "written"
    after = hands.read(restart)
    assert after.state["restart_id"] == "i-1" and after.state["is_rolling"] is True
    assert deployment(api)["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:v42"


def test_a_rollback_takes_the_whole_template_of_the_earlier_revision(api, hands):
    back = effect("kubernetes.rollback", from_hash="5d9c", to_hash="7f6b")
    before = hands.read(back)
    assert before.state["template"] == "5d9c"
    assert hands.check(back, before) is None and hands.write(back, DO, before).outcome == "written"
    told = deployment(api)["spec"]["template"]
    assert told["spec"]["containers"][0]["image"] == "shop:v41" and HASH not in told["metadata"]["labels"]
    after = hands.read(back)
    assert after.state["template"] == "7f6b" and after.mark == DO
    gone = effect("kubernetes.rollback", from_hash="5d9c", to_hash="0000")
    assert hands.write(gone, DO, hands.read(gone))[:2] == ("refused", "TARGET_ABSENT")


def test_two_fields_of_one_deployment_carry_a_mark_each_and_are_undone_in_reverse(api, hands):
    back = effect("kubernetes.rollback", from_hash="5d9c", to_hash="7f6b")
    second = Mark("sha256:a", 1, "do", 5)
    assert hands.write(scale(), DO, hands.read(scale())).outcome == "written"
    assert hands.write(back, second, hands.read(back)).outcome == "written"
    assert hands.read(scale()).mark == DO and hands.read(back).mark == second
    undo = effect("kubernetes.rollback", "undo", from_hash="5d9c", to_hash="7f6b")
    assert hands.write(undo, second._replace(direction="undo"), hands.read(undo)).outcome == "written"
    assert hands.read(scale()).mark == DO and hands.read(scale("undo")).state["replicas"] == 6


def test_a_node_is_closed_and_opened_and_the_others_are_counted(api, hands):
    close = effect("kubernetes.cordon", target=NODE, node="node-1")
    before = hands.read(close)
    assert before.state == {"is_schedulable": True} and before.capacity == Capacity(3, 3)
    assert hands.write(close, DO, before).outcome == "written"
    after = hands.read(close)
    assert after.state == {"is_schedulable": False} and after.capacity == Capacity(2, 3) and after.mark == DO
    undo = effect("kubernetes.cordon", "undo", NODE, node="node-1")
    assert hands.write(undo, UNDO, after).outcome == "written" and hands.read(close).state == before.state
    assert hands.read(close).version == before.version


def test_a_job_runs_once_more_from_the_template_of_its_cronjob_with_our_mark(api, hands):
    before = hands.read(again())
    assert before.state == {"run_id": None, "is_running": False} and before.mark is None
    assert hands.check(again(), before) is None and hands.read(again()) == before, "nothing was made"
    assert hands.write(again(), DO, before).outcome == "written"
    made, after = api.ask("GET", JOB), hands.read(again())
    assert made["spec"]["suspend"] is False and made["spec"]["template"]["spec"]["containers"][0]["image"] == "copy:v7"
    owner = made["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("CronJob", "nightly-copy", before.uid)
    assert (after.state["run_id"], after.mark, after.version) == ("i-1", DO, before.version)


def test_the_same_run_twice_is_one_job_whoever_read_before(api, hands):
    reading = hands.read(again())
    assert hands.write(again(), DO, reading).outcome == "written"
    assert hands.write(again(), DO._replace(epoch=9), reading)[:2] == ("refused", "CONFLICT")
    assert hands.read(again()).mark == DO


def test_a_job_of_a_cronjob_that_moved_since_it_was_read_is_not_run(api, hands):
    reading = hands.read(again())
    api.ask("PATCH", f"{BATCH}/cronjobs/nightly-copy", {"metadata": {"annotations": {"somebody": "else"}}})
    assert hands.write(again(), DO, reading)[:2] == ("refused", "CONFLICT")
    assert hands.read(again()).version == reading.version, "what the verb is about has not moved"
    api.ask("PATCH", f"{BATCH}/cronjobs/nightly-copy", {"spec": {"jobTemplate": {"spec": {"backoffLimit": 1}}}})
    assert hands.read(again()).version != reading.version


def test_a_run_that_is_on_its_way_when_it_is_fenced_starts_nothing(api, hands):
    reading = hands.read(again())
    hands.fence(again(), 4)
    assert hands.write(again(), DO, reading)[:2] == ("refused", "CONFLICT")
    fenced = hands.read(again())
    assert fenced.state["run_id"] is None and api.ask("GET", JOB)["spec"]["suspend"] is True
    hands.fence(again(), 5)
    assert hands.write(again(), DO, fenced)[:2] == ("refused", "CONFLICT"), "fenced once more since"
    assert hands.write(again(), DO, hands.read(again())).outcome == "written", "under the new epoch it may run"
    assert hands.read(again()).mark == DO


def test_a_fence_after_it_ran_leaves_our_mark_on_the_job(api, hands):
    hands.write(again(), DO, hands.read(again()))
    hands.fence(again(), 4)
    assert hands.read(again()).mark == DO and hands.read(again()).state["run_id"] == "i-1"


def test_a_cronjob_that_runs_is_seen_to_run(api, hands):
    one = api.ask("GET", f"{BATCH}/cronjobs/nightly-copy")
    one["status"] = {"active": [{"kind": "Job", "name": "nightly-copy-1", "namespace": "shop"}]}
    api.ask("PUT", f"{BATCH}/cronjobs/nightly-copy/status", one)
    assert hands.read(again()).state["is_running"] is True


@pytest.mark.parametrize(
    "told",
    [lambda: again(namespace="kube-system"), lambda: again(cronjob="no-such"),
     lambda: effect("kubernetes.scale", target="default/service/cart", from_replicas=4, to_replicas=6),
     lambda: effect("kubernetes.scale", namespace="kube-system", from_replicas=4, to_replicas=6),
     lambda: effect("kubernetes.scale", deployment="cart", from_replicas=4, to_replicas=6),
     lambda: effect("kubernetes.cordon", target=NODE, node="node-2")],
    ids=["a job of another namespace", "no such cronjob",
         "another service", "another namespace", "no such deployment", "another node"],
)  # fmt: skip
def test_what_is_not_of_the_target_is_absent(api, hands, told):
    with pytest.raises(TargetAway) as refused:
        hands.read(told())
    assert refused.value.code == "TARGET_ABSENT"


def test_without_the_right_token_nothing_is_read_or_written(api, hands, tmp_path):
    reading = hands.read(scale())
    (tmp_path / "token").write_text("wrong")
    stranger = Kubernetes(settings(api, token_file=tmp_path / "token"))
    with pytest.raises(TargetAway):
        stranger.read(scale())
    assert stranger.write(scale(), DO, reading).outcome == "refused" and deployment(api)["spec"]["replicas"] == 4
