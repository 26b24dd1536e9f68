"""What the shipped queries find, and that nothing but what was enumerated is ever asked."""

import asyncio
import itertools
import re

import numpy as np
import pytest

from diagnosis import Context, Onset, QueryFailed
from diagnosis.queries.prometheus import TEMPLATES, Prometheus, selector_of, values_of
from diagnosis.queries.topics import Compare, Topics
from schemas import SeriesDef
from schemas.core import NS

T = 1_700_000_000 * NS
HOUR = 3600 * NS


class Shop:
    """Levels of series by hour: cart@7 rose now, cart@6 and pay did not; web does so every hour."""

    levels = {"a7": {0: 90.0, 1: 10.0}, "a6": {0: 10.0, 1: 10.0}, "b1": {0: 5.0, 1: 5.0}, "c1": {0: 90.0, 1: 90.0}}
    owners = {"cart": {"a7": "7", "a6": "6"}, "pay": {"b1": "1"}, "web": {"c1": "1"}}

    def __init__(self, **levels):
        self.levels = self.levels | levels
        self.reads = []

    async def definitions(self, tenant, service, name):
        return [
            SeriesDef(id=wide(s), entity_id="e", service=service, name=name, labels={"version": v})
            for s, v in self.owners[service].items()
        ]

    async def points(self, tenant, service, series, start_ns, end_ns):
        self.reads.append((service, start_ns))
        hour = round((T - end_ns) / HOUR)
        found = {s: self.levels[s[-2:]].get(hour) for s in series}
        t = np.arange(start_ns, end_ns, 10 * NS)
        return {s: (t, np.full(len(t), level)) for s, level in found.items() if level is not None}


def wide(short):
    return f"{'0' * 14}{short}"


def compared(service, series, version, callees=(), shop=None):
    asked = Compare(
        service=service, name="m", series=wide(series), labels={"version": version}, callees=callees,
        start_ns=T - 120 * NS, end_ns=T,
    )  # fmt: skip
    answer = asyncio.run(Topics().run(asked, "default", Context(topics=shop or Shop())))
    return {finding.kind: finding.strength for finding in answer.findings}


def test_a_rise_that_is_new_of_one_version_and_of_one_service_speaks_for_it():
    assert compared("cart", "a7", "7", ("pay",)) == {"asked_before": 0.8, "asked_versions": 0.8, "asked_alone": 0.8}


def test_what_happens_every_hour_speaks_for_nobody():
    assert compared("web", "c1", "1") == {"asked_before": 0.0}


def test_a_callee_that_moved_as_much_takes_the_suspicion_away():
    assert compared("cart", "a7", "7", ("pay",), Shop(b1={0: 45.0, 1: 5.0}))["asked_alone"] == pytest.approx(0.16)


def test_what_was_not_recorded_then_is_not_compared_with():
    assert "asked_before" not in compared("cart", "a7", "7", shop=Shop(a7={0: 90.0}))


def test_each_window_is_read_once():
    shop = Shop()
    compared("cart", "a7", "7", ("pay",), shop)
    assert all(shop.reads.count(read) <= 2 for read in shop.reads)  # its own series, and its other versions


@pytest.mark.parametrize("service", ['a"b', "a\\b", "a.b|c", "x{}[]()^$*+?", "new\nline", '"} or vector(1) #'])
def test_a_service_name_stays_a_name_in_promql(service):
    selector = selector_of("pod", service)
    text = re.fullmatch(r'pod=~"((?:[^"\\\n]|\\.)*)"', selector)
    assert text, selector
    unquoted = text[1].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
    assert re.fullmatch(unquoted, service) and re.fullmatch(unquoted, f"{service}-7f-x")
    assert not re.fullmatch(unquoted, service + "x")


def test_only_enumerated_expressions_are_asked():
    class Keeps:
        asked = []

        async def get(self, path, query):
            self.asked.append((path, query["query"]))
            return {"status": "success", "data": {"resultType": "matrix", "result": []}}

    asked = Onset(service="cart", onset_ns=T - 60 * NS, end_ns=T)
    asyncio.run(Prometheus().run(asked, "default", Context(prometheus=Keeps())))
    assert Keeps.asked == [("/api/v1/query_range", t % 'pod=~"cart(-.*)?"') for t in TEMPLATES.values()]


def test_memory_that_doubled_at_the_onset_speaks_for_memory():
    class Doubled:
        async def get(self, path, query):
            level = itertools.count(float(query["start"]), 30)
            times = list(itertools.takewhile(lambda t: t <= float(query["end"]), level))
            rose = [[t, "200" if "memory" in query["query"] and t >= T / NS - 60 else "100"] for t in times]
            return {"status": "success", "data": {"resultType": "matrix", "result": [{"values": rose}]}}

    asked = Onset(service="cart", onset_ns=T - 60 * NS, end_ns=T)
    answer = asyncio.run(Prometheus().run(asked, "default", Context(prometheus=Doubled())))
    found = {finding.kind: finding.strength for finding in answer.findings}
    assert found == {"asked_cpu": 0.0, "asked_memory": pytest.approx(1 / 3), "asked_restarts": 0.0}


@pytest.mark.parametrize(
    "document",
    [{}, [], None, {"status": "error"}, {"status": "success", "data": {"resultType": "vector", "result": []}},
     {"status": "success", "data": {"resultType": "matrix", "result": [{"values": [["x", "1"]]}]}}],
)  # fmt: skip
def test_an_answer_of_another_form_is_a_failure(document):
    with pytest.raises(QueryFailed):
        values_of(document)


def test_a_label_that_is_none_is_refused():
    with pytest.raises(QueryFailed, match="PROMETHEUS_LABEL"):
        selector_of('pod="x",y', "cart")
