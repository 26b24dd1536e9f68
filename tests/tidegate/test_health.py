"""When a process is well: a verdict from two looks at it, and a heartbeat that stops with it."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from schemas.core import NS
from tidegate._health import Limits, Verdict, Watched, readiness, verdict
from tidegate._heartbeat import Heartbeat
from tidegate._observed import BrokersSeen, Observed, TaskSeen

LIMITS = Limits(stalled_s=60, watermark_age_s=180, away_s=30, unsaved_s=150)
AT = 1_000_000 * NS
TASK = TaskSeen("detect", "2", through_ns=AT - 20 * NS, is_speaking=True, passed=10, lag=5, snapshot_ns=AT)


def look(after_s: float, **changes: Any) -> Observed:
    """At that many seconds, with one task that keeps up unless told otherwise."""
    at = AT + round(after_s * NS)
    task = replace(TASK, through_ns=at - 20 * NS, snapshot_ns=at, passed=10 + round(after_s), **changes)
    return Observed(at, (task,), BrokersSeen(at))


def codes(before: Observed, after: Observed, later_s: float = 0) -> list[str]:
    found = verdict(before, after, after.at_ns + round(later_s * NS), LIMITS)
    return [reason.code for reason in found.reasons]


def test_a_process_whose_tasks_move_is_healthy() -> None:
    assert codes(look(0), look(60)) == []


def test_a_task_with_work_that_does_not_move_is_stuck() -> None:
    assert codes(look(0), replace(look(60), tasks=(replace(look(60).tasks[0], passed=10),))) == ["TASK_STUCK"]


def test_a_task_that_has_read_everything_is_not_stuck() -> None:
    done = [replace(look(s), tasks=(replace(look(s).tasks[0], passed=10, lag=0),)) for s in (0, 60)]
    assert codes(*done) == []


def test_a_task_that_waits_for_slower_ones_is_not_stuck() -> None:
    waiting = replace(look(60).tasks[0], passed=10, is_waiting=True)
    assert codes(look(0), replace(look(60), tasks=(waiting,))) == []


def test_a_task_that_has_just_got_its_first_work_is_not_stuck() -> None:
    idle = replace(look(0), tasks=(replace(look(0).tasks[0], lag=0),))
    assert codes(idle, replace(look(60), tasks=(replace(look(60).tasks[0], passed=10),))) == []


def test_nobody_is_judged_before_the_time_has_passed() -> None:
    assert codes(look(0), replace(look(59), tasks=(replace(look(59).tasks[0], passed=10),))) == []


def test_a_task_that_came_from_another_process_is_not_judged_by_its_past() -> None:
    assert codes(Observed(AT), replace(look(60), tasks=(replace(look(60).tasks[0], passed=10),))) == []


def test_a_thread_that_does_not_turn_is_noticed_by_those_that_do() -> None:
    assert codes(look(0), look(60), later_s=61) == ["WORKER_SILENT"]


@pytest.mark.parametrize(("away_s", "said"), [(29, []), (31, ["BROKERS_AWAY"])])
def test_brokers_may_be_away_for_a_moment(away_s: int, said: list[str]) -> None:
    after = look(100)
    gone = replace(after, brokers=BrokersSeen(after.at_ns - away_s * NS, reason="KAFKA_UNREACHABLE"))
    assert codes(look(0), gone) == said


@pytest.mark.parametrize(("is_speaking", "said"), [(True, ["WATERMARK_OLD"]), (False, [])])
def test_old_event_time_is_unhealthy_only_while_sources_speak(is_speaking: bool, said: list[str]) -> None:
    after = look(60)
    task = replace(after.tasks[0], through_ns=after.at_ns - 181 * NS, is_speaking=is_speaking)
    assert codes(look(0), replace(after, tasks=(task,))) == said


@pytest.mark.parametrize(("is_changed", "said"), [(True, ["SNAPSHOT_OVERDUE"]), (False, [])])
def test_an_old_snapshot_is_unhealthy_only_if_there_is_work_to_save(is_changed: bool, said: list[str]) -> None:
    after = look(60)
    task = replace(after.tasks[0], snapshot_ns=after.at_ns - 151 * NS, is_changed=is_changed)
    assert codes(look(0), replace(after, tasks=(task,))) == said


def test_a_process_that_catches_up_is_not_killed_for_it() -> None:
    after = look(60)
    old = replace(after, tasks=(replace(after.tasks[0], through_ns=1),))
    found = verdict(look(0), old, after.at_ns, LIMITS)
    assert (found.is_healthy, found.is_alive) == (False, True)


def test_a_process_that_stands_by_is_healthy_and_not_ready() -> None:
    idle = Observed(AT, (), BrokersSeen(AT))
    found = verdict(idle, idle, AT, LIMITS)
    assert found.is_healthy and [r.code for r in readiness(found, idle).reasons] == ["NO_TASKS"]


def test_before_the_first_turn_nothing_is_claimed() -> None:
    assert Watched(LIMITS).verdict(None, AT).reasons[0].code == "STARTING"


def test_a_stuck_task_is_found_by_looks_a_second_apart_and_forgiven_when_it_moves() -> None:
    watched, found = Watched(LIMITS), []
    for s in range(200):
        passed = 10 + max(s - 130, 0)
        seen = replace(look(s), tasks=(replace(look(s).tasks[0], passed=passed),))
        found.append(watched.verdict(seen, seen.at_ns).is_healthy)
    assert found.index(False) in range(60, 68)
    assert all(found[:60]) and not any(found[70:131]) and all(found[131:])


# --- heartbeats ---


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[bytes]]]:
    """Somebody who takes heartbeats: a URL, and what came."""
    came: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", came
    server.shutdown()
    server.server_close()


def heartbeat(url: str, found: Verdict, said: list[str]) -> Heartbeat:
    return Heartbeat(
        url,
        lambda: found.is_healthy,
        facts={"process": "a"},
        say=lambda text, **_: said.append(text),
        now_ns=lambda: AT,
    )


def test_a_healthy_process_says_so(receiver: tuple[str, list[bytes]]) -> None:
    beats = heartbeat(receiver[0], Verdict(), [])
    assert beats.beat() and beats.last_ns == AT
    assert receiver[1] == [b'{"status": "ok", "at_ns": %d, "process": "a"}' % AT]


def test_a_process_that_is_not_well_is_silent(receiver: tuple[str, list[bytes]]) -> None:
    ill = verdict(look(0), look(60), AT + 1000 * NS, LIMITS)
    beats = heartbeat(receiver[0], ill, [])
    assert not beats.beat() and beats.last_ns == 0 and receiver[1] == []


def test_heartbeats_that_nobody_takes_are_counted_and_told_once() -> None:
    said: list[str] = []
    beats = heartbeat("http://127.0.0.1:9/", Verdict(), said)
    assert [beats.beat(), beats.beat()] == [False, False]
    assert (beats.failures, said) == (2, ["heartbeat not taken"])
