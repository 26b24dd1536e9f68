"""The pool: severity first, bounded, and never an answer that was not given."""

import asyncio
import statistics

import pytest
from support.virtual_loop import run

import schemas as sc
from diagnosis import Answer, Context, Finding, Parameters, QueryFailed, Speaks
from schemas.core import NS
from tidegate._investigate import Pool


class Anything(Parameters):
    n: int = 0


class Slow:
    """Takes half a second by the loop's clock."""

    kind, subsystem, version, about, cost, timeout_s = "slow", "toys", "1", "anything", 1.0, 5.0
    evidence = {"asked_toy": Speaks("toy", "is broken")}
    parameters = Anything

    def __init__(self, seconds=0.5, raises=None, answer=None):
        self.seconds, self.raises, self.answer = seconds, raises, answer

    def ask(self, suspect):
        return Anything()

    async def run(self, parameters, tenant, context):
        await asyncio.sleep(self.seconds)
        if self.raises:
            raise self.raises
        return self.answer or Answer(findings=[])


def inquiry(n=0, severity=1.0, incident="i", patience_s=3600, **more):
    fields = {"query": "slow", "subsystem": "toys", "parameters": {"n": n}} | more
    return sc.Inquiry(
        id=sc.record_id("inquiry", incident, n), incident_id=incident, asked_ns=n, deadline_ns=n + patience_s * NS,
        severity=severity, **fields,
    )  # fmt: skip


def answered(inquiries, query=None, until_s=10_000, send=None, **options):
    """Submit all at once and let time pass; what was sent, with the loop's time."""
    sent = []

    async def keep(observation):
        sent.append((asyncio.get_running_loop().time(), observation))

    async def main():
        pool = Pool({"slow": query or Slow()}, Context(), send or keep, now_ns=lambda: 7, **options)
        for one in inquiries:
            pool.submit(one)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(until_s):
                await pool.run()
        return pool

    return run(main()), sent


def test_of_a_thousand_incidents_at_once_the_fifty_most_severe_wait_less_than_a_minute():
    many = [inquiry(n, float(i % 997), incident=f"i{i}") for i in range(1000) for n in range(8)]
    _, sent = answered(many)
    worst = {f"i{i}" for i in sorted(range(1000), key=lambda i: -(i % 997))[:50]}
    last = {o.incident_id: at for at, o in sent if o.incident_id in worst}
    assert len(sent) == 8000 and len(last) == 50
    assert statistics.quantiles(last.values(), n=20)[18] < 60


def test_the_most_severe_runs_first_and_of_those_the_oldest_question():
    _, sent = answered([inquiry(2, 1.0), inquiry(1, 1.0), inquiry(3, 9.0)], size=1)
    by_id = {inquiry(n).id: n for n in (1, 2, 3)}
    assert [by_id[o.inquiry_id] for _, o in sent] == [3, 1, 2]


def test_no_more_run_at_once_than_the_pool_is_large():
    _, sent = answered([inquiry(n) for n in range(40)], size=16)
    assert [sum(at == t for at, _ in sent) for t in (0.5, 1.0, 1.5)] == [16, 16, 8]


def test_the_observation_names_the_question_and_the_same_question_gives_the_same_id():
    found = Finding(kind="asked_toy", service="cart", strength=0.5, start_ns=1, end_ns=2)
    asked = inquiry(4)
    ((_, first),) = answered([asked], Slow(answer=Answer(findings=[found], cost=3)))[1]
    ((_, again),) = answered([asked], Slow())[1]
    assert (first.status, first.cost, first.age_s, first.observed_ns) == ("answered", 3, 0.5, 7)
    assert first.id == again.id and first.request_sha256 == asked.request_sha256
    assert first.answer["findings"][0]["service"] == "cart" and first.effective_ns is None


@pytest.mark.parametrize(
    ("query", "asked", "status", "reason"),
    [
        (Slow(60), {}, "timeout", "QUERY_TIMEOUT"),
        (Slow(raises=QueryFailed("PROMETHEUS_UNREACHABLE", "no")), {}, "failed", "PROMETHEUS_UNREACHABLE"),
        (Slow(raises=ZeroDivisionError()), {}, "failed", "QUERY_BROKEN"),
        (Slow(), {"parameters": {"other": 1}}, "failed", "PARAMETERS_INVALID"),
        (Slow(), {"query": "unheard"}, "failed", "QUERY_UNKNOWN"),
        (Slow(), {"subsystem": "else"}, "failed", "QUERY_UNKNOWN"),
        (
            Slow(answer=Answer(findings=[Finding(kind="other", service="c", strength=1, start_ns=1, end_ns=2)])),
            {}, "failed", "ANSWER_INVALID",
        ),
        (
            Slow(answer=Answer(findings=[
                Finding(kind="asked_toy", service="c" * 200, strength=1, now=1e300, start_ns=1, end_ns=2)
            ] * 64)),
            {}, "failed", "ANSWER_TOO_LARGE",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_a_failure_is_an_observation(query, asked, status, reason):
    ((_, observation),) = answered([inquiry(**asked)], query)[1]
    assert (observation.status, observation.reason, observation.answer) == (status, reason, {})


def test_who_waited_beyond_the_deadline_is_not_asked_any_more():
    _, sent = answered([inquiry(n, patience_s=2) for n in range(8)], Slow(0.9), size=1)
    assert [o.reason for _, o in sent] == ["", "", "QUERY_TIMEOUT", *["WAITED_TOO_LONG"] * 5]


def test_a_query_that_began_late_is_cut_where_its_time_ends():
    _, sent = answered([inquiry(n, patience_s=2) for n in range(3)], Slow(1.5), size=1)
    assert [(at, o.status) for at, o in sent] == [(1.5, "answered"), (2.0, "timeout"), (2.0, "timeout")]


def test_when_too_many_wait_the_least_severe_are_told_so_at_once():
    pool, sent = answered([inquiry(n, float(n)) for n in range(20)], size=2, most_waiting=10)
    refused = [o.incident_id for at, o in sent if o.reason == "QUEUE_FULL"]
    assert len(refused) == 10 and pool.waiting == 0
    kept = {o.inquiry_id for _, o in sent if o.status == "answered"}
    assert kept == {inquiry(n).id for n in range(10, 20)}


def test_an_inquiry_that_waits_or_runs_is_not_taken_twice():
    pool, sent = answered([inquiry(1), inquiry(1)])
    assert len(sent) == 1 and pool.counts == {"taken": 1, "repeated": 1, "answered": 1}


def test_what_runs_when_the_process_ends_is_not_answered():
    pool, sent = answered([inquiry(n) for n in range(20)], Slow(4), until_s=3)
    assert sent == [] and pool.running == 0 and "answered" not in pool.counts


def test_an_observation_that_cannot_be_written_is_counted_and_the_pool_goes_on():
    calls = []

    async def send(observation):
        calls.append(observation)
        if len(calls) == 1:
            raise ConnectionError("broker away")

    pool, _ = answered([inquiry(1), inquiry(2)], send=send, size=1)
    assert len(calls) == 2 and pool.counts["not_sent"] == 1
