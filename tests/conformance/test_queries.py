"""What holds for every query in the folder; a new file there is tested here without an edit."""

import asyncio
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from support.query_answers import HOSTILE, Says, quiet_context

import diagnosis.queries
from diagnosis import MOST_BYTES, Answer, Context, Parameters, QueryFailed, Suspect
from diagnosis._kinds import KINDS
from schemas import Anomaly, Change, EvidencePointer, SeriesDef, canonical
from schemas.core import NS

FOUND = [
    importlib.import_module(f"diagnosis.queries.{module.name}").PLUGIN()
    for module in pkgutil.iter_modules(diagnosis.queries.__path__)
    if not module.name.startswith("_")
]
every = pytest.mark.parametrize("query", FOUND, ids=lambda query: query.kind)
T = 1_700_000_000 * NS
NASTY = 'cart"} or vector(1) #\n\\'


def suspect(service="cart", anomaly=True, **more):
    pointer = EvidencePointer(signal="traces", subject="a" * 16, t_min_ns=T, t_max_ns=T, sha256="s")
    told = Anomaly(
        id="a", entity_id=f"default/service/{service}", service=service, series="a" * 16, name="span.errors",
        labels={"version": "7"}, signal="traces", kind="error_ratio", detector="t@1", start_ns=T - 60 * NS, end_ns=T,
        observed=9.0, expected=1.0, residual=8.0, unit="1", p_value=1e-9, pointer=pointer,
    )  # fmt: skip
    deploy = Change(id="c", entity_id=f"default/service/{service}", service=service, kind="deploy", at_ns=T - 90 * NS,
                    title="deploy #7", version_from="a1b2c3", version_to="d4e5f6")  # fmt: skip
    fields = {"callees": ("pay",), "change": deploy, "onset_ns": T - 60 * NS, "as_of_ns": T + 30 * NS} | more
    return Suspect("default", service, told if anomaly else None, **fields)


class Topics:
    """Every series says 5.0 ten times."""

    async def definitions(self, tenant, service, name):
        return [SeriesDef(id="b" * 16, entity_id="e", service=service, name=name, labels={"version": "6"})]

    async def points(self, tenant, service, series, start_ns, end_ns):
        return {s: (np.arange(start_ns, end_ns, (end_ns - start_ns) // 10), np.full(10, 5.0)) for s in series}


class Prometheus:
    """Knows every expression and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    async def get(self, path, query):
        self.asked.append((path, dict(query)))
        times = np.arange(float(query["start"]), float(query["end"]), float(query["step"]))
        values = [[t, "5"] for t in times.tolist()]
        return {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}}


def run(query, parameters, context=None):
    context = context or Context(topics=Topics(), prometheus=Prometheus(), **quiet_context())
    return asyncio.run(query.run(parameters, "default", context))


def test_kinds_of_queries_and_of_evidence_are_unique():
    assert len({query.kind for query in FOUND}) == len(FOUND) >= 2
    kinds = [kind for query in FOUND for kind in query.evidence]
    assert len(set(kinds)) == len(kinds) and not set(kinds) & set(KINDS)
    assert all(kind.startswith("asked_") for kind in kinds)


@every
def test_it_says_all_that_the_contract_wants(query):
    assert query.kind and query.subsystem and query.version and query.about and query.cost > 0
    assert 0 < query.timeout_s <= 60 and issubclass(query.parameters, Parameters)
    assert inspect.iscoroutinefunction(query.run)


@every
def test_what_it_asks_is_a_pure_function_and_survives_the_topic(query):
    asked = query.ask(suspect())
    assert asked == query.ask(suspect()) and asked is not None
    assert query.parameters.model_validate(asked.model_dump(mode="json")) == asked
    query.ask(suspect(anomaly=False))


@every
@pytest.mark.parametrize("service", ["cart", NASTY, "c" * 200])
def test_its_answer_is_typed_bounded_and_about_what_it_declares(query, service):
    answer = run(query, query.ask(suspect(service)))
    assert isinstance(answer, Answer) and len(canonical(answer.model_dump(mode="json"))) <= MOST_BYTES
    assert {finding.kind for finding in answer.findings} <= set(query.evidence)
    assert {finding.service for finding in answer.findings} <= {service}


@every
def test_where_nothing_changed_nothing_speaks_for_the_suspect(query):
    answer = run(query, query.ask(suspect()))
    assert answer.findings and all(finding.strength == 0 for finding in answer.findings)


@every
def test_without_its_subsystem_it_fails_with_a_code(query):
    with pytest.raises(QueryFailed) as error:
        run(query, query.ask(suspect()), Context())
    assert error.value.code.isupper()


@every
def test_a_reader_that_fails_is_not_hidden(query):
    class Broken:
        async def definitions(self, *_):
            raise QueryFailed("X_UNREACHABLE", "no")

        points = get = rows = changed = definitions

    broken = dict.fromkeys(quiet_context(), Broken())
    with pytest.raises(QueryFailed, match="X_UNREACHABLE"):
        run(query, query.ask(suspect()), Context(topics=Broken(), prometheus=Broken(), **broken))


@every
@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_a_server_answers_it_fails_with_a_code_or_keeps_to_its_form(query, answer):
    if query.subsystem in ("topics", "git"):
        return  # typed readers: they hand over arrays and paths, no documents
    reader = Says(answer)
    try:
        found = run(query, query.ask(suspect()), Context(prometheus=reader, **dict.fromkeys(quiet_context(), reader)))
    except QueryFailed as error:
        assert error.code.isupper()
    else:
        assert {finding.service for finding in found.findings} <= {"cart"}
