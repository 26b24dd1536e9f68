"""Queries of other systems against servers in this process that answer in their documented forms, and a real clone."""

import asyncio
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from support.query_answers import ONSET, Says, T, argocd, elasticsearch, jaeger, kubernetes, loki

from diagnosis import Context, QueryFailed, Suspect
from diagnosis.queries.argocd import ArgoCd
from diagnosis.queries.elasticsearch import Elasticsearch
from diagnosis.queries.git import Git
from diagnosis.queries.jaeger import Jaeger
from diagnosis.queries.kubernetes import Kubernetes, selector_of
from diagnosis.queries.loki import Loki
from diagnosis.queries.postgres import Postgres
from schemas import Change
from schemas.core import NS
from tidegate._investigate_readers import CloneReader, context_of
from tidegate._investigate_settings import Investigate


def suspect(service="cart", old="a", new="b"):
    change = Change(id="c", entity_id=f"default/service/{service}", service=service, kind="deploy", at_ns=ONSET,
                    title="", version_from=old, version_to=new)  # fmt: skip
    return Suspect("default", service, None, (), change, ONSET, T + 30 * NS)


def found(query, context, service="cart", **more):
    answer = asyncio.run(query.run(query.ask(suspect(service, **more)), "default", context))
    return {finding.kind: finding.strength for finding in answer.findings}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        self.server.seen.append((unquote(path), {k: v[0] for k, v in query.items()}, self.headers.get("Authorization")))
        body = json.dumps(self.server.says(path)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.url = [], f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


CASES = {
    "loki": (Loki, lambda path: loki(1, 9), "/loki/api/v1/query_range", {"asked_loki_errors": 0.8}),
    "elasticsearch": (Elasticsearch, lambda p: elasticsearch(15, 27), "/logs-*/_search", {"asked_es_errors": 17 / 19}),
    "jaeger": (Jaeger, lambda p: jaeger(failed=("front", "cart")), "/api/traces",
               {"asked_error_origin": 1.0, "asked_span_time": 0.0}),
    "kubernetes": (Kubernetes, lambda p: kubernetes(p, ready=1, killed=True, image="cart:8"),
                   "/apis/apps/v1/namespaces/default/deployments/cart",
                   {"asked_replicas": 2 / 3, "asked_killed": 1.0, "asked_crashes": 0.0, "asked_image": 1.0}),
    "argocd": (ArgoCd, lambda p: argocd(60, "a1", "b2"), "/api/v1/applications/cart", {"asked_sync": 0.904837418036}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_a_server_says_in_its_own_form_becomes_evidence(server, name):
    query, server.says, path, wanted = CASES[name]
    context = context_of(Investigate.model_validate({name: {"url": server.url, "token": "secret"}}))
    assert found(query(), context) == pytest.approx(wanted)
    assert server.seen[0][0] == path and server.seen[0][2].endswith(" secret")


def test_a_service_that_only_passes_failures_on_is_eliminated():
    told = Says(jaeger(failed=("front", "cart", "redis")))
    strengths = {s: found(Jaeger(), Context(jaeger=told), s)["asked_error_origin"] for s in ("front", "cart", "redis")}
    assert strengths == {"front": 0.0, "cart": 0.0, "redis": 1.0}


def test_a_name_is_a_value_in_what_is_asked_and_never_more():
    nasty = 'a"} or {job="x", "}}'
    reader = Says(loki(1, 1))
    found(Loki(), Context(loki=reader), nasty)
    assert f"{{app={json.dumps(nasty)}}}" in reader.asked[0][1]["query"]
    reader = Says(elasticsearch(1, 1))
    found(Elasticsearch(), Context(elasticsearch=reader), nasty)
    assert json.loads(reader.asked[0][1]["source"])["query"]["bool"]["filter"][0] == {"term": {"service.name": nasty}}
    reader = Says({})
    assert found(Kubernetes(), Context(kubernetes=reader), "../secrets/x") == {} and reader.asked == []


@pytest.mark.parametrize("labels", [{}, None, {"a,b": "c"}, {"a": "b,c=d"}])
def test_a_selector_that_would_select_more_is_refused(labels):
    with pytest.raises(QueryFailed):
        selector_of(labels)


def test_an_answer_of_some_shards_is_no_answer():
    partial = elasticsearch(1, 9) | {"_shards": {"failed": 1}}
    with pytest.raises(QueryFailed, match="ELASTICSEARCH_PARTIAL"):
        found(Elasticsearch(), Context(elasticsearch=Says(partial)))


def test_sessions_that_wait_or_idle_speak_for_the_service_that_opened_them():
    rows = [{"application": "cart", "sessions": 8, "waiting": 4, "idle": 2, "most": 10}]
    wanted = {"asked_lock_waits": 0.5, "asked_idle_transactions": 0.25, "asked_connections": 0.8}
    assert found(Postgres(), Context(postgres=Says(rows))) == wanted
    assert set(found(Postgres(), Context(postgres=Says(rows)), "pay").values()) == {0.0}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    place = tmp_path_factory.mktemp("clone")
    named = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")

    def commit(tag, **files):
        for name, text in files.items():
            file = place / name.replace("__", "/").replace("_dot_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for words in (("add", "-A"), (*named, "commit", "-qm", tag), ("tag", tag)):
            subprocess.run(["git", "-C", str(place), *words], check=True, capture_output=True)

    subprocess.run(["git", "init", "-q", str(place)], check=True, capture_output=True)
    commit("v1", cart_dot_py="1", values_dot_yaml="a: 1", README_dot_md="x")
    commit("v2", README_dot_md="y")
    commit("v3", cart_dot_py="2", values_dot_yaml="a: 2", db__migrations__001_dot_sql="select 1", more_dot_py="3")
    return place


def test_what_a_change_changed_is_told_by_its_files(clone):
    context = Context(git=CloneReader(clone))
    assert set(found(Git(), context, old="v1", new="v2").values()) == {0.0}
    wanted = {"asked_config_changed": 0.25, "asked_data_changed": 0.25, "asked_code_changed": 0.5}
    assert found(Git(), context, old="v2", new="v3") == wanted


@pytest.mark.parametrize("new", ["v9", "HEAD:secret", "--output=x"])
def test_a_version_that_a_clone_does_not_know_is_a_failure_or_is_not_asked(clone, new):
    asked = Git().ask(suspect(new=new, old="v1"))
    if asked is not None:
        with pytest.raises(QueryFailed, match="GIT_REFUSED"):
            asyncio.run(Git().run(asked, "default", Context(git=CloneReader(clone))))
