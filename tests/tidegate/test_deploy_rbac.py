"""Least privilege: for each verb its permissions are rendered, and nothing more. At a real API server: tests/live."""

import json

import pytest
import yaml
from support.gateway import KEY
from typer.testing import CliRunner

from schemas.signatures import public_text
from tidegate import _catalogue
from tidegate._action_gateway_settings import ActGateway
from tidegate._deploy_rbac import render
from tidegate._errors import SettingsError
from tidegate.cli import app

PLACES = {
    "kubernetes": {"namespaces": ["shop", "search"]}, "git": {"url": "https://git.example.org/shop.git"},
    "postgres": {"services": {"orders-db": "postgresql://gateway@orders.db.svc/postgres"}, "roles": ["orders", 'a"b']},
    "envoy": {"admin": "http://10.0.0.7:9901"}, "alertmanager": {"url": "http://alertmanager.monitoring.svc:9093"},
    "webhook": {"url": "https://hooks.example.org/x"},
}  # fmt: skip
EXECUTORS = _catalogue.classes("executors")
VERBS = sorted(name for one in EXECUTORS.values() for name in one.verbs)
ON_KUBERNETES = [name for name in VERBS if name.startswith("kubernetes.")]


def settings(*verbs, **more):
    kinds = {kind for kind, one in EXECUTORS.items() if not verbs or set(one.verbs) & set(verbs)}
    told = {
        "deployment": "shop", "permit_keys": {"d": public_text(KEY)}, "control_keys": {"on-call": public_text(KEY)},
        "scopes": ["default/"], "executors": {kind: PLACES[kind] for kind in sorted(kinds)}, "verbs": verbs,
    }  # fmt: skip
    return ActGateway.model_validate(told | more)


def manifests(*verbs, **more):
    return render(settings(*verbs, **more), "tidegate").get("kubernetes.yaml", [])


def granted(*verbs):
    """(group, resource, verb) of every role, by where it holds."""
    found = {}
    for one in manifests(*verbs):
        if one["kind"] in ("Role", "ClusterRole"):
            place = one["metadata"].get("namespace", "everywhere")
            found[place] = {
                (group, resource, verb)
                for rule in one["rules"]
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }
    return found


@pytest.mark.parametrize("name", ON_KUBERNETES)
def test_a_verb_alone_gets_exactly_the_permissions_that_it_declares(name):
    declared = {
        (group, resource, verb)
        for rule in EXECUTORS["kubernetes"].permissions[name]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    places = ["everywhere"] if "cordon" in name else ["search", "shop"]
    assert granted(name) == dict.fromkeys(places, declared)


def test_all_verbs_together_get_the_union_and_never_delete_or_everything_and_create_only_jobs():
    allowed = granted()
    assert set(allowed) == {"everywhere", "search", "shop"}
    assert allowed["everywhere"] == {("", "nodes", verb) for verb in ("get", "list", "patch")}
    assert allowed["shop"] == {
        ("apps", "deployments", "get"), ("apps", "deployments", "patch"), ("apps", "replicasets", "list"),
        ("batch", "cronjobs", "get"), ("batch", "jobs", "create"), ("batch", "jobs", "get"), ("batch", "jobs", "patch"),
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in VERBS if not name.startswith("kubernetes.")])
def test_a_verb_that_needs_no_cluster_gets_nothing_there_and_its_rules_are_listed(name):
    files = render(settings(name), "tidegate")
    assert "kubernetes.yaml" not in files
    (row,) = files["permissions.yaml"]
    assert row["verb"] == name and row["rules"] == [dict(r) for r in EXECUTORS[row["executor"]].permissions[name]]


def test_every_binding_is_for_the_gateways_own_identity():
    for one in manifests():
        if one["kind"].endswith("Binding") and "roleRef" in one:
            assert one["subjects"] == [{"kind": "ServiceAccount", "name": "tidegate-gateway", "namespace": "tidegate"}]
            assert one["roleRef"]["kind"] == one["kind"].removesuffix("Binding")


def test_without_namespaces_there_is_no_role():
    executors = {"kubernetes": {}}
    kinds = {one["kind"] for one in manifests("kubernetes.scale", executors=executors)}
    assert not kinds & {"Role", "ClusterRole"}


def test_nobody_may_come_in_and_it_may_go_out_to_its_targets_only():
    (policy,) = [one for one in manifests() if one["kind"] == "NetworkPolicy"]
    assert policy["spec"]["ingress"] == [] and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    ports = {port["port"] for out in policy["spec"]["egress"] for port in out["ports"]}
    assert ports == {53, 443, 5432, 9901, 9093}
    assert {"to": [{"ipBlock": {"cidr": "10.0.0.7/32"}}], "ports": [{"port": 9901, "protocol": "TCP"}]} in policy[
        "spec"
    ]["egress"]


def test_what_the_verbs_in_use_do_not_change_is_held_by_the_admission_policy():
    def held(*verbs):
        return [
            rule["expression"]
            for one in manifests(*verbs)
            if one["kind"] == "ValidatingAdmissionPolicy"
            for rule in one["spec"]["validations"]
        ]

    assert "object.spec.replicas == oldObject.spec.replicas" in held("kubernetes.restart")
    assert "object.spec.template.spec == oldObject.spec.template.spec" in held("kubernetes.scale")
    assert "object.spec.template.spec == oldObject.spec.template.spec" not in held("kubernetes.rollback")


def test_sql_grants_what_the_verbs_need_with_names_quoted():
    files = render(settings("postgres.pool_resize"), "tidegate")
    sql = files["postgres.sql"]
    assert 'grant "orders" to tidegate_gateway with admin option' in sql and 'grant "a""b" to' in sql
    assert "pg_signal_backend" not in sql and "create table if not exists tidegate.mark" in sql
    ends = render(settings("postgres.terminate_backend"), "tidegate")["postgres.sql"]
    assert "pg_signal_backend" in ends and "createrole" not in ends


def test_a_verb_that_nothing_performs_is_refused():
    with pytest.raises(SettingsError, match="nothing performs"):
        render(settings("flag.off", executors={"kubernetes": {}}), "tidegate")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(json.loads(settings().model_dump_json(exclude={"token"}))))
    return path


def test_the_command_writes_files_that_read_back(file, tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["deploy", "rbac", "--gateway", str(file), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["files"] == ["kubernetes.yaml", "permissions.yaml", "postgres.sql"]
    assert list(yaml.safe_load_all((out / "kubernetes.yaml").read_text())) == manifests()


def test_boundaries_say_what_it_may_read_ask_and_change_and_who_may_stop_it(file):
    done = CliRunner().invoke(app, ["boundaries", "--gateway", str(file), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert [one["verb"] for one in told["may_change"]] == VERBS and told["may_never_change"] == []
    assert all(one["only_on"] == ["default/"] for one in told["may_change"])
    assert told["may_stop"] == ["on-call"] and told["may_read"]["telemetry"] and told["may_ask"]
    assert any(rule["people"] >= 1 for rule in told["must_be_approved"])


def test_without_a_gateway_nothing_may_be_changed():
    done = CliRunner().invoke(app, ["boundaries"])
    assert done.exit_code == 0 and "may change  nothing" in done.output
