"""The whole pipeline asks, is answered at random moments, and its replay has the same digest."""

import random
from functools import cache
from pathlib import Path

import pytest

import diagnosis.queries.topics
import schemas as sc
from diagnosis import Answer, Finding
from schemas.core import NS, Message
from simulation import BadDeploy, shop
from streams import Engine, MemoryLog
from tidegate._journal import journals, journals_first
from tidegate._pipeline import asked, build
from tidegate._replay import KEPT, Run, collect, replay
from tidegate._settings import Settings

SETTINGS = Settings.model_validate({
    "streams": {"lateness_s": 10},
    "diagnosis": {"investigate": True, "deadline_s": 30},
    "investigate": {"prometheus": {"url": "http://prometheus.example:9090"}},
})  # fmt: skip


@cache
def recorded() -> tuple[Message, ...]:
    fault = BadDeploy(at_s=240, error_ratio=0.5, innocent_s=60)
    log = MemoryLog()
    for emit in shop(5, 1_767_268_800 * NS, 480, fault=fault, rate=10):
        log.append([emit], writer="shop")
    topics = {sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS, sc.CHANGES, sc.RAW}
    return tuple(stored.message for stored in log.read(sorted(topics), 0, 10**9))


def answer(inquiry: sc.Inquiry, rng: random.Random) -> sc.Observation:
    query = asked(SETTINGS)[inquiry.query]
    service = str(inquiry.parameters["service"])
    found = [
        Finding(kind=kind, service=service, strength=round(rng.random(), 3), start_ns=1, end_ns=2)
        for kind in query.evidence
    ]
    return sc.Observation(
        id=sc.record_id("observation", inquiry.id), inquiry_id=inquiry.id, incident_id=inquiry.incident_id,
        status="answered", request_sha256=inquiry.request_sha256, observed_ns=5, age_s=1.0,
        answer=Answer(findings=found).model_dump(mode="json"),
    )  # fmt: skip


def live(seed: int) -> MemoryLog:
    """Telemetry in small bites; each open question is answered at a random one, or never."""
    rng, log = random.Random(seed), MemoryLog(keep=(*KEPT, sc.INQUIRIES, sc.OBSERVATIONS))
    engine = Engine(log, build(SETTINGS, has_investigators=True).stages)
    messages, answered = list(recorded()), set()
    while messages:
        n = rng.randint(1, 40)
        log.feed(messages[:n], writer="outside")
        del messages[:n]
        engine.run()
        for message in log.messages(sc.INQUIRIES):
            if sc.record_type(message) == "inquiry" and rng.random() < 0.1:
                inquiry = sc.Inquiry.from_bytes(message.value)
                if inquiry.id not in answered:
                    answered.add(inquiry.id)
                    one = answer(inquiry, rng)
                    emit = sc.emit(
                        sc.OBSERVATIONS, one, id=one.id, key="i", source="tidegate/investigate",
                        event_ns=inquiry.asked_ns,
                    )  # fmt: skip
                    log.append([emit], writer="investigate")
    engine.run()
    return log


def digest(log: MemoryLog) -> str:
    run = Run()
    collect(run, [message for topic in KEPT for message in log.messages(topic)])
    return run.digest


@pytest.fixture(autouse=True)
def _nothing_is_clear_enough(monkeypatch):
    monkeypatch.setattr("diagnosis._inquire.OPEN_SHARE", 1.01)


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_was_answered_at_random_moments_and_its_replay_have_one_digest(seed):
    log = live(seed)
    placed = [m for m in log.messages(sc.OBSERVATIONS) if b'"effective_ns":null' not in m.value]
    assert placed, "nothing was answered"
    pipeline = build(SETTINGS)

    def read(topics):
        if topics == [sc.OBSERVATIONS]:
            return iter(log.messages(sc.OBSERVATIONS))
        return (m for m in recorded() if m.topic in topics)

    topics = [*dict.fromkeys(m.topic for m in recorded()), sc.OBSERVATIONS]
    run = replay(journals_first(pipeline.stages, topics, read), pipeline)
    assert run.digest == digest(log)


def test_without_questions_there_is_no_journal_and_prometheus_is_asked_only_where_it_is_set():
    assert journals(build(Settings()).stages) == () and journals(build(SETTINGS).stages) == (sc.OBSERVATIONS,)
    assert set(asked(Settings())) == {"compare_windows"} and set(asked(SETTINGS)) == {"compare_windows", "saturation"}


def test_a_new_query_is_one_file(tmp_path, monkeypatch):
    source = Path(diagnosis.queries.topics.__file__).read_text()
    (tmp_path / "extra_query.py").write_text(source.replace('kind = "compare_windows"', 'kind = "extra"'))
    monkeypatch.setattr(diagnosis.queries, "__path__", [*diagnosis.queries.__path__, str(tmp_path)])
    assert set(asked(SETTINGS)) == {"compare_windows", "saturation", "extra"}
