"""What the worker measures and whom it tells, over HTTP: a server in this process answers as Prometheus does."""

import asyncio
import json
import math
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from actions import Illness, Look, Notice, View
from actions._brakes import mass_illness
from actions._budget import Limits, takes
from actions._verify import judge
from schemas import DIAGNOSES, INCIDENTS, TOPOLOGY, Cause, Diagnosis, Hypothesis, Incident, TopologyEdge, emit
from schemas.core import NS, Message
from tidegate._act_ports import Hooks
from tidegate._act_settings import Measure
from tidegate._act_telemetry import PrometheusTelemetry

T0 = 1_790_000_010 * NS
FAULT, EFFECT, SINCE, UNTIL = (T0 + n * 300 * NS for n in (0, 1, 2, 3))
TARGET = "default/service/checkout"
ERRORS = Measure(name="errors", query='errors{service="{service}"}', control='errors{service!="{service}"}')


@contextmanager
def server(answer):
    """answer(path, body) -> (status, document)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, document = answer(self.path, body)
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *told):
            """Nothing on standard error."""

    one = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{one.server_address[1]}"
    one.shutdown()
    one.server_close()


def prometheus(value, queries=None, series=1):
    """value(query, second) -> a number, or None for no point."""

    def answer(path, body):
        told = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if queries is not None:
            queries.append(told["query"])
        at, points = float(told["start"]), []
        while at <= float(told["end"]) + 1e-6:
            found = value(told["query"], at)
            points += [] if found is None else [[at, str(found)]]
            at += float(told["step"])
        return 200, {"status": "success", "data": {"resultType": "matrix", "result": [{"values": points}] * series}}

    return answer


def ill_then_well(query, second):
    at_ns = second * NS
    return 0.2 if 'service="' in query and FAULT < at_ns <= EFFECT else 0.01 + second % 7 * 1e-4


def view():
    found = View()
    diagnosis = Diagnosis(id="d", incident_id="i", as_of_ns=EFFECT, opened_ns=FAULT, entities=[TARGET], severity=1)
    told = emit(DIAGNOSES, diagnosis, id="d", key="i", source="test", event_ns=EFFECT)
    found.take(Message(DIAGNOSES, 0, 0, told.key, told.value, told.headers, EFFECT, EFFECT))
    return found


def seen(url, *measures, target=TARGET):
    telemetry = PrometheusTelemetry(url, measures or (ERRORS,), 15, view(), now_ns=lambda: UNTIL + 60 * NS)
    return asyncio.run(telemetry.read(Look(target, "i", SINCE, UNTIL)))


def verdict(url, *measures):
    return judge(seen(url, *measures), EFFECT, SINCE, UNTIL)


def test_a_cured_service_beside_untouched_peers_is_recovered():
    queries = []
    with server(prometheus(ill_then_well, queries)) as url:
        assert verdict(url).verdict == "recovered"
    assert set(queries) == {'errors{service="checkout"}', 'errors{service!="checkout"}'}


def test_without_peers_the_own_history_is_the_control():
    with server(prometheus(ill_then_well)) as url:
        found = seen(url, ERRORS.model_copy(update={"control": ""}))
    assert found.indicators[0].control_kind == "history"
    assert judge(found, EFFECT, SINCE, UNTIL).verdict == "recovered"


@pytest.mark.parametrize("trouble", ["half the points", "an error", "two series", "nobody there"])
def test_what_cannot_be_read_is_inconclusive(trouble):
    half = lambda query, second: None if second // 15 % 2 else ill_then_well(query, second)
    answers = {
        "half the points": prometheus(half), "an error": lambda path, body: (500, {"status": "error"}),
        "two series": prometheus(ill_then_well, series=2), "nobody there": prometheus(ill_then_well),
    }  # fmt: skip
    with server(answers[trouble]) as url:
        found = verdict("http://127.0.0.1:9" if trouble == "nobody there" else url)
    assert found.verdict == "inconclusive"


def test_a_missing_point_is_no_zero():
    with server(prometheus(lambda query, second: None)) as url:
        windows = seen(url).indicators[0].target
    assert windows and all(math.isnan(one.value) and one.completeness == 0 for one in windows)


def test_a_name_that_is_no_name_is_never_put_into_a_query():
    queries = []
    with server(prometheus(ill_then_well, queries)) as url:
        assert seen(url, target='default/service/x"} or up{a="').indicators == ()
    assert queries == []


def test_the_fleet_is_as_ill_as_its_open_incidents():
    found = View()
    entities = [f"default/service/s{n}" for n in range(4)]
    one = Incident(id="i", opened_ns=T0, updated_ns=T0, entities=entities, severity=1, title="x")
    told = emit(INCIDENTS, one, id="i", key="i", source="test", event_ns=T0)
    found.take(Message(INCIDENTS, 0, 0, told.key, told.value, told.headers, T0, T0))
    telemetry = PrometheusTelemetry("", (), 15, found, services=10, now_ns=lambda: T0 + NS)
    assert asyncio.run(telemetry.illness(TARGET))[0] == Illness("fleet", 4, 10)


def test_who_is_only_foreseen_is_not_ill_but_not_well_either_and_what_nobody_has_explained_is_ill():
    found, seen_ill = View(through_ns=T0), []
    telemetry = PrometheusTelemetry("", (), 15, found, services=10, now_ns=lambda: T0 + NS)
    entity = "default/service/checkout"
    incident = Incident(id="i", opened_ns=T0, updated_ns=T0, entities=[entity], severity=0, title="x")
    told = [emit(INCIDENTS, incident, id="i", key="i", source="test", event_ns=T0)]
    for revision, family in enumerate(("load_ahead", "change")):
        cause = Cause(entity="checkout", entity_id=entity, family=family)
        said = Diagnosis(
            id=f"d{revision}", incident_id="i", revision=revision, as_of_ns=T0, opened_ns=T0, entities=[entity],
            severity=0.0, hypotheses=[Hypothesis(cause=cause, score=1.0, reason="x")],
        )  # fmt: skip
        told.append(emit(DIAGNOSES, said, id=said.id, key="i", source="test", event_ns=T0))
    for one in told:
        found.take(Message(one.topic, 0, 0, one.key, one.value, one.headers, T0, T0))
        seen_ill.append(asyncio.run(telemetry.illness(TARGET))[0])
        assert not asyncio.run(telemetry.is_well(TARGET, T0))
    assert seen_ill == [Illness("fleet", 1, 10), Illness("fleet", 0, 10, 1), Illness("fleet", 1, 10)]


def test_sizes_come_from_the_topology_and_what_nobody_knows_is_held_to_the_strictest():
    found, groups = View(), []
    telemetry = PrometheusTelemetry("", (), 15, found, now_ns=lambda: T0 + NS)
    groups.append(asyncio.run(telemetry.illness(TARGET)))
    for number in range(40):
        pod = f"default/instance/checkout/pod-{number % 20}"
        edge = TopologyEdge(id=f"e{number}", caller=f"default/service/s{number}", callee=pod, first_ns=T0, last_ns=T0)
        told = emit(TOPOLOGY, edge, id=edge.id, key=edge.id, source="test", event_ns=T0)
        found.take(Message(TOPOLOGY, 0, 0, told.key, told.value, told.headers, T0, T0))
    groups.append(asyncio.run(telemetry.illness(TARGET)))
    assert [[one.members for one in some] for some in groups] == [[0, 0], [41, 20]]
    most = lambda some: [one.limit for one in takes(Limits(), "k", 0, "v", TARGET, "checkout", some)][-2:]
    assert [most(some) for some in groups] == [[1, 1], [2, 2]]
    assert mass_illness([Illness("fleet", 3, 0)]) and not mass_illness([Illness("fleet", 2, 0)])
    found.forget(T0 + 1)
    assert asyncio.run(telemetry.illness(TARGET)) == groups[0]


def test_one_address_that_takes_a_notice_is_enough_and_none_is_not():
    taken, notice = [], Notice("n1", "page", "g", "text", "k", T0)
    good = lambda path, body: (taken.append(json.loads(body)), (200, {}))[1]
    with server(good) as works, server(lambda path, body: (500, {})) as broken:
        assert asyncio.run(Hooks((broken, works)).tell(notice))
        assert not asyncio.run(Hooks((broken,)).tell(notice))
    assert [one["text"] for one in taken] == ["text"]


def test_a_page_that_went_up_is_told_there_and_below():
    taken = []
    heard = lambda name: lambda path, body: (taken.append(name), (200, {}))[1]
    with server(heard("team")) as team, server(heard("lead")) as lead, server(heard("head")) as head:
        hooks = Hooks((team,), escalation=((lead,), (head,)))
        for level in range(4):
            assert asyncio.run(hooks.tell(Notice(f"n{level}", "page", "g", "text", "k", T0, level, "n0")))
    assert [taken.count(name) for name in ("team", "lead", "head")] == [4, 3, 2]
