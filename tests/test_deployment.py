"""What is deployed fits its schema and the program: nothing here needs a container engine."""

import json
import re
import runpy
from pathlib import Path

import pytest
import typer
import yaml
from jsonschema import Draft7Validator
from support.metric_names import expressions, rules

import schemas as sc
from tidegate._pipeline import ORDER
from tidegate._settings import Settings
from tidegate.cli import app

ROOT = Path(__file__).resolve().parent.parent
COMPOSED = ("docker-compose.yml", "deploy/kafka/docker-compose.yml")


@pytest.mark.parametrize("file", COMPOSED)
def test_a_compose_file_fits_the_compose_specification(file):
    """tests/data/compose_spec.json is the schema of docker/compose 1.29.2 (Apache-2.0)."""
    schema = json.loads((ROOT / "tests/data/compose_spec.json").read_text())
    document = yaml.safe_load((ROOT / file).read_text())
    assert [error.message for error in Draft7Validator(schema).iter_errors(document)] == []


def test_every_command_of_the_deployment_on_kafka_is_one_that_the_program_understands():
    document = yaml.safe_load((ROOT / "deploy/kafka/docker-compose.yml").read_text())
    ours = [s["command"] for s in document["services"].values() if s["image"].startswith("tidegate:")]
    stages = [word for words in ours if words[0] == "run" for word in words[1 : words.index("--settings")]]
    assert sorted(stages) == sorted(ORDER), "each stage runs, in one kind of process"
    for words in ours:
        command = typer.main.get_command(app)
        while words[0] in getattr(command, "commands", {}):
            command, words = command.commands[words[0]], words[1:]
        command.make_context("tidegate", list(words)).close()  # raises if it would not be understood


def test_the_deployment_on_kafka_has_the_settings_that_its_containers_need():
    document = yaml.safe_load((ROOT / "deploy/kafka/docker-compose.yml").read_text())
    settings = Settings.read(ROOT / "deploy/kafka/settings.yaml")
    mounted = {v.split(":")[1] for v in document["services"]["telemetry"]["volumes"]}
    assert settings.shards.snapshots in mounted
    assert settings.kafka.brokers == document["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"][9:]
    assert settings.shards.metrics_host == "0.0.0.0" and settings.diagnosis.investigate
    assert f":{settings.shards.metrics_port}/livez" in document["x-alive"]["test"][-1]


def test_the_collector_writes_the_topics_that_are_read():
    document = yaml.safe_load((ROOT / "deploy/kafka/collector.yaml").read_text())
    topics = {document["exporters"]["kafka"][signal]["topic"] for signal in ("metrics", "logs", "traces")}
    assert topics == {sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS}


def test_the_image_has_what_kafka_needs():
    assert "--extra kafka" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize(("file", "service"), [(COMPOSED[0], "tidegate"), (COMPOSED[1], "telemetry")])
def test_compiled_code_is_kept_although_containers_are_read_only(file, service):
    place = re.search(r"NUMBA_CACHE_DIR=(\S+)", (ROOT / "Dockerfile").read_text()).group(1)
    found = yaml.safe_load((ROOT / file).read_text())["services"][service]
    assert found["read_only"] and place in {volume.split(":")[1] for volume in found["volumes"]}


def test_every_file_that_the_compose_file_mounts_is_there_and_is_read_by_the_program():
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = [v.split(":")[0] for v in document["services"]["tidegate"]["volumes"] if v.startswith("./")]
    assert mounts == ["./deploy/settings.yaml"]
    settings = Settings.read(ROOT / mounts[0])
    secrets = {f"/run/secrets/{name}" for name in document["secrets"]}
    assert {str(token.token_file) for token in settings.gateway.tokens} == secrets  # listening to all wants a token


def test_the_image_runs_the_version_of_uv_that_the_makefile_pins():
    pinned = re.search(r"UV_VERSION := (\S+)", (ROOT / "Makefile").read_text()).group(1)
    assert f"uv=={pinned}" in (ROOT / "Dockerfile").read_text()


def test_the_image_runs_as_nobody_in_particular():
    assert "USER 10001" in (ROOT / "Dockerfile").read_text()


ALERTS = [rule for rule in rules() if "alert" in rule]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do_and_where_more_is_written(alert):
    assert alert["labels"]["severity"] in ("page", "ticket", "none")
    assert set(alert["annotations"]) == {"summary", "todo", "runbook"}
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_two_alerts_have_one_name():
    names = [alert["alert"] for alert in ALERTS]
    assert sorted(set(names)) == sorted(names)


def test_what_is_recorded_is_asked_for_and_what_is_asked_for_is_recorded():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert set(re.findall(r"tidegate:[\w:]+", " ".join(expressions()))) == recorded


def test_the_committed_dashboard_is_what_its_code_renders():
    made = runpy.run_path(str(ROOT / "deploy/grafana/render.py"))["rendered"]()
    assert (ROOT / "deploy/grafana/dashboard.json").read_text() == made, "run: python deploy/grafana/render.py"


def test_prometheus_is_pointed_at_the_ports_that_processes_take():
    document = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())
    (job,) = document["scrape_configs"]
    ports = [int(target.rpartition(":")[2]) for target in job["static_configs"][0]["targets"]]
    assert ports == list(range(Settings().shards.metrics_port, Settings().shards.metrics_port + len(ports)))
    assert all('job="tidegate"' in e for e in expressions() if re.search(r"\b(up|process_\w+)\b\{", e))
    assert document["rule_files"] == ["alerts.yaml"] and job["job_name"] == "tidegate"
