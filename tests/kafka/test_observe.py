"""What running processes say of themselves, and the way of one incident through the topics."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import pipeline
from support.kafka import Broker, Cluster
from support.metric_names import exported, named, samples
from support.pipeline import Deployed, recorded_shop
from typer.testing import CliRunner

import schemas as sc
from schemas.core import NS
from tidegate.cli import app


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def said(deployed: Deployed, event: str) -> list[dict[str, Any]]:
    """Lines of the logs with this event."""
    text = "".join(path.read_text() for path in sorted(deployed.place.glob("process-*.log")))
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == event]


def until(is_so: Callable[[], bool], deployed: Deployed, patience_s: float = 120) -> None:
    end = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < end, deployed.logs()
        time.sleep(0.2)


def wait_for(deployed: Deployed, event: str) -> dict[str, Any]:
    until(lambda: bool(said(deployed, event)), deployed)
    return said(deployed, event)[0]


def is_settled(url: str) -> bool:
    """A look, a snapshot and an answer of the brokers later: nothing waits, as far as the process itself knows."""
    tasks = json.loads(get(url + "/healthz")[1])["tasks"].values()
    return not named() - exported(get(url + "/metrics")[1]) and not any(task["lag_records"] for task in tasks)


def trace_of(deployed: Deployed, *more: str) -> dict[str, Any]:
    answer = CliRunner().invoke(app, ["trace", "--settings", str(deployed.file), "--json", *more])
    assert answer.exit_code == 0, answer.output
    document: dict[str, Any] = json.loads(answer.output.splitlines()[-1])
    return document


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """Of this file alone: whoever else plays into the source topics of a broker would be counted here."""
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("observed")


@pytest.fixture(scope="module")
def ran(broker: Broker, place: Path) -> Iterator[tuple[Deployed, str]]:
    """A process that has worked off the recorded shop, and where it serves."""
    found = Deployed(broker, place, prefix="observed", partitions=2, shards={"snapshot_every_s": 1})
    try:
        found.play(recorded_shop())
        found.start()
        url = wait_for(found, "process started")["metrics"]
        found.wait(lambda _: found.has_ended())
        until(lambda: is_settled(url), found)
        yield found, url
    finally:
        found.kill()


def test_a_process_that_has_read_everything_is_healthy(ran: tuple[Deployed, str]) -> None:
    status, text = get(ran[1] + "/healthz")
    assert status == 200, text
    assert all(task["lag_records"] == 0 for task in json.loads(text)["tasks"].values())
    assert get(ran[1] + "/readyz")[0] == get(ran[1] + "/livez")[0] == 200


def test_the_ledgers_that_prometheus_sees_balance(ran: tuple[Deployed, str]) -> None:
    def total(state: str) -> float:
        found = samples(get(ran[1] + "/metrics")[1])
        return sum(n for name, n in found.items() if 'kind="samples"' in name and f'state="{state}"' in name)

    until(lambda: total("decoded") == total("processed") > 0, ran[0])
    found = samples(get(ran[1] + "/metrics")[1])
    assert {value for name, value in found.items() if name.startswith("tidegate_batches_missing_total")} == {0.0}


def test_every_metric_of_alerts_and_dashboard_is_exported_by_a_running_process(ran: tuple[Deployed, str]) -> None:
    assert named() - exported(get(ran[1] + "/metrics")[1]) == set()


def test_every_log_line_says_which_process_of_which_version_wrote_it(ran: tuple[Deployed, str]) -> None:
    text = "".join(path.read_text() for path in ran[0].place.glob("process-*.log"))
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"event", "level", "timestamp", "process", "version"} <= line.keys() for line in lines)
    assert all(line["stage"] == line["task"].partition("@")[0] for line in lines if "task" in line)


def test_control_records_carry_the_trace_of_their_incident(ran: tuple[Deployed, str]) -> None:
    found = ran[0].read(sc.INCIDENTS) + ran[0].read(sc.DIAGNOSES) + ran[0].read(sc.ACTIONS)
    records = [(sc.read(m), m) for m in found if sc.record_type(m) != "watermark"]
    ids = {getattr(r, "incident_id", None) or r.id: m.header("traceparent").split("-")[1] for r, m in records}
    assert {identity.replace("-", "") for identity in ids} == set(ids.values())
    assert {type(r).__name__ for r, _ in records} == {"Incident", "Diagnosis", "ActionEvent"}


def test_an_incident_is_traced_over_all_hops_from_the_topics_alone(ran: tuple[Deployed, str]) -> None:
    document = trace_of(ran[0])
    # Telemetry of long ago was played, so the wait before the first record that we wrote ourselves is left out.
    assert [hop["hop"] for hop in document["hops"]] == [
        "normalised", "framed", "time passed", "anomaly", "incident", "diagnosis", "decision"
    ]  # fmt: skip
    assert sum(hop["took_s"] for hop in document["hops"]) == pytest.approx(document["hops"][-1]["since_s"], abs=0.01)
    assert "played" in document["notes"][0]


@pytest.fixture
def own() -> Iterator[Broker]:
    """One of our own: the topics of collectors have no prefix."""
    with Broker() as found:
        yield found


def test_the_trace_of_live_telemetry_begins_with_the_fault_and_names_the_source_message(
    own: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Telemetry of the last minutes; sent at once, so what it waits for before it is received is no latency of ours."""
    start_ns = (time.time_ns() // NS - 420) // 60 * 60 * NS
    monkeypatch.setattr(pipeline, "START_NS", start_ns)
    deployed = Deployed(own, tmp_path, prefix="traced", partitions=2)
    try:
        deployed.play(recorded_shop.__wrapped__())
        deployed.start()
        deployed.wait(lambda _: deployed.has_ended())
        document = trace_of(deployed, "--fault-at", str(start_ns // NS + 240))
    finally:
        deployed.kill()
    hops = {hop["hop"]: hop["record"] for hop in document["hops"]}
    # Spans, logs and metrics all tell of the fault; which was first depends on the order of ids. Metrics are framed
    # as they are.
    pair = (hops["received"].split("/")[0], hops.pop("normalised", "").split("/")[0])
    assert pair in {(sc.OTLP_SPANS, sc.SPANS), (sc.OTLP_LOGS, sc.LOGS), (sc.OTLP_METRICS, "")}
    assert list(hops) == ["fault", "received", "framed", "time passed", "anomaly", "incident", "diagnosis", "decision"]
    assert document["notes"] == []
    assert [hop for hop in document["hops"] if hop["took_s"] < 0] == []


@pytest.fixture
def cut_off(proxied: Cluster, tmp_path: Path) -> Iterator[Deployed]:
    found = Deployed(
        proxied, tmp_path, prefix="cut-off", partitions=1, shards={"stalled_after_s": 4}, kafka={"timeout_s": 1}
    )
    yield found
    found.kill()


def test_a_process_whose_broker_is_away_says_so_and_is_not_to_be_killed_for_it(
    proxied: Cluster, cut_off: Deployed
) -> None:
    cut_off.start("decide")
    url = wait_for(cut_off, "process started")["metrics"]
    until(lambda: get(url + "/readyz")[0] == 200, cut_off)
    proxied.proxy().partition()
    until(lambda: get(url + "/healthz")[0] == 503, cut_off)
    assert "BROKERS_AWAY" in get(url + "/healthz")[1] and get(url + "/livez")[0] == 200
    proxied.proxy().heal()
    until(lambda: get(url + "/healthz")[0] == 200, cut_off)
    until(lambda: [line["is_healthy"] for line in said(cut_off, "health changed")][-2:] == [False, True], cut_off)


def test_processes_on_one_machine_take_one_port_after_the_other(broker: Broker, tmp_path: Path) -> None:
    deployed = Deployed(broker, tmp_path, prefix="ports", partitions=1)
    try:
        for _ in range(2):
            deployed.start("decide")
        until(lambda: len(said(deployed, "process started")) == 2, deployed)
        urls = {line["metrics"] for line in said(deployed, "process started")}
        until(lambda: sorted(get(url + "/readyz")[0] for url in urls) == [200, 503], deployed)  # one stands by
    finally:
        deployed.kill()
