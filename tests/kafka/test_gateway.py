"""The gateway before a real Kafka: what was answered lies there, and what could not be kept is said."""

import json
import threading
from pathlib import Path

import pytest
from support.kafka import Broker
from support.up import Caller

import schemas as sc
from streams import KIND, SOURCE, TRUST, KafkaSettings, kafka
from tidegate._gateway_kafka import run_gateway
from tidegate._settings import Settings

GOLDEN = Path(__file__).resolve().parents[1] / "golden/remote_write"
TOKEN = "prom-token-0123456789"


@pytest.fixture
def settings(broker: Broker) -> KafkaSettings:
    found = KafkaSettings(broker.bootstrap, "gate")
    kafka.create(kafka.admin(found), found, partitions=2)
    return found


def test_what_a_real_prometheus_sent_lies_on_the_raw_topic_as_it_came_under_its_senders_name(settings):
    told = Settings.model_validate({
        "kafka": {"brokers": settings.brokers, "prefix": "gate"},
        "gateway": {"tokens": [{"token": TOKEN, "source": "prom", "tenant": "shop", "trust": 2}]},
    })  # fmt: skip
    body, stop, urls, counts = (GOLDEN / "prometheus-3.15.v2.1.snappy").read_bytes(), threading.Event(), [], []
    ready = threading.Event()

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    thread = threading.Thread(target=lambda: counts.append(run_gateway(told, port=0, on_ready=on_ready, stop=stop)))
    thread.start()
    assert ready.wait(120)
    call = Caller(urls[0])
    told_by = json.loads((GOLDEN / "prometheus-3.15.v2.1.json").read_text())
    headers = {name.replace("-", "_"): value for name, value in told_by.items()}
    refused = call("POST", "/api/v1/write", body, **headers)
    answer = call("POST", "/api/v1/write", body, authorization=f"Bearer {TOKEN}", **headers)
    health, metrics = call("GET", "/healthz"), call("GET", "/metrics").body.decode()
    stop.set()
    thread.join(30)
    assert (refused.status, answer.status, health.status, counts) == (401, 204, 200, [{"messages": 1}])
    assert 'tidegate_source_heard_seconds{source="prom/prometheus"}' in metrics
    with kafka.KafkaHistory(settings) as history:
        (message,) = [m for m in history.messages([sc.RAW]) if m.header(KIND)]
    assert message.value == body
    said = [message.header(name) for name in (KIND, SOURCE, "tidegate-tenant", TRUST, "http-content-type")]
    assert said == ["prometheus", "prom/prometheus", "shop", "2", headers["content_type"]]
