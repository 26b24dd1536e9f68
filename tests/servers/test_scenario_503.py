"""503s at the front: a real Prometheus and the lines of a log store contradict what looked guilty.

Prometheus is Debian's, with an hour of samples in its blocks; Loki's API is spoken by a small server that counts real
lines (`support/loki.py`), because Loki itself cannot be built within the time of the tests.
"""

import pytest
from support.loki import loki
from support.prometheus import holding
from support.query_answers import ONSET, T
from support.scenario_503 import played

from diagnosis.queries.loki import Loki
from diagnosis.queries.prometheus import Prometheus
from schemas.core import NS
from tidegate._investigate_readers import context_of
from tidegate._settings import Settings

QUERIES = {query.kind: query for query in (Prometheus(), Loki())}
BEGIN, END = ONSET // NS - 3600, T // NS + 120


def samples():
    """Nothing moves for an hour, until redis fills its memory and is restarted; the front is well."""
    yield "# TYPE container_cpu_usage_seconds_total counter"
    for pod in ("front-7f-x1", "redis-0"):
        yield from (f'container_cpu_usage_seconds_total{{pod="{pod}"}} {(t - BEGIN) * 0.2} {t}' for t in steps())
    yield "# TYPE container_memory_working_set_bytes gauge"
    for pod, full in (("front-7f-x1", 100), ("redis-0", 900)):
        for t in steps():
            yield f'container_memory_working_set_bytes{{pod="{pod}"}} {full if t >= ONSET // NS else 100} {t}'
    yield "# TYPE kube_pod_container_status_restarts_total counter"
    for pod, many in (("front-7f-x1", 0), ("redis-0", 4)):
        for t in steps():
            yield f'kube_pod_container_status_restarts_total{{pod="{pod}"}} {many if t >= ONSET // NS else 0} {t}'
    yield "# EOF"


def steps():
    return range(BEGIN, END, 15)


def lines():
    """The front writes an error every ten seconds as it always did, redis only since it has no memory left."""
    found = [(t * NS, {"app": "front"}, "GET /cart 503 upstream error") for t in range(BEGIN, END, 10)]
    found += [(t * NS, {"app": "redis"}, "OOM command not allowed, error") for t in range(ONSET // NS, END, 2)]
    return found + [(t * NS, {"app": "redis"}, "saved") for t in range(BEGIN, END, 10)]


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    with holding(tmp_path_factory.mktemp("prometheus"), samples()) as prometheus, loki(lines()) as logs:
        settings = {"prometheus": {"url": prometheus, "label": "pod"}, "loki": {"url": logs, "label": "app"}}
        yield context_of(Settings.model_validate({"investigate": settings}).investigate)


def test_the_deploy_of_the_front_gives_way_to_the_memory_of_redis(context):
    said, asked = played(QUERIES, context)
    assert (said[0].hypotheses[0].cause.entity, said[-1].hypotheses[0].cause.entity) == ("front", "redis")
    kinds = {e.kind: e for e in said[-1].hypotheses[0].evidence}
    assert {"asked_memory", "asked_loki_errors"} <= kinds.keys()
    front = next(h for h in said[-1].hypotheses if h.cause.entity == "front")
    assert not any(e.kind.startswith("asked") and e.weight > 0.2 for e in front.evidence)
    assert {i.query for i in asked} == {"saturation", "loki_errors"} and not said[-1].unknown
