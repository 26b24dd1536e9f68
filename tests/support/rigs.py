"""A system for each executor, small and in this process, so that every verb is done and undone through the gateway.

A rig has the executor, the targets as its verbs' samples expect them, and somebody else who changes one. PostgreSQL's
is in tests/servers. Envoy and Alertmanager are doubles that keep what they are told; tests/live has the real ones.
"""

import json
import subprocess
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from support.kube_double import KubeDouble
from support.kubernetes_cases import APPS, BATCH, fill, settings, settle, template

from actions.executors.alertmanager import Alertmanager, AlertmanagerSettings
from actions.executors.envoy import Envoy, EnvoySettings
from actions.executors.git import Git, GitSettings
from actions.executors.kubernetes import Kubernetes
from actions.executors.webhook import Webhook, WebhookSettings


class Rig:
    """executor; parameters(verb): over those of the sample; moved(verb): somebody else changes its target.

    after: what the system itself does after a write.
    """

    def __init__(self, executor, moved=None, parameters=lambda verb: {}, prepare=lambda verb: None, after=lambda: None):
        self.executor, self.moved, self.parameters, self.prepare = executor, moved, parameters, prepare
        self.after = after


@contextmanager
def serving(answer):
    """An HTTP server; `answer(method, path, query, body)` gives status and JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, told = answer(self.command, parts.path, dict(parse_qsl(parts.query)), body)
            text = json.dumps(told).encode()
            self.send_response_only(status)
            self.send_header("Date", formatdate(time.time(), usegmt=True))
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, *told):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def git(place):
    bare, work = place / "bare.git", place / "work"

    def run(*told, cwd=work):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *told], cwd=cwd, check=True, capture_output=True
        )

    run("init", "-q", "--bare", "-b", "main", str(bare), cwd=place)
    run("clone", "-q", str(bare), str(work), cwd=place)

    def commit(version, flag):
        for path, text in (
            ("apps/checkout/kustomization.yaml", f"images:\n- newTag: {version}\n"),
            ("flags/checkout.json", json.dumps({"flags": {"new-cart": {"state": flag}}})),
        ):
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        run("add", "-A")
        run("commit", "-q", "--allow-empty", "-m", "somebody")
        run("push", "-q", "-f", "origin", "HEAD:main")

    def prepare(verb):
        commit("v42", "DISABLED" if verb == "flag.on" else "ENABLED")

    yield Rig(Git(GitSettings(url=str(bare))), lambda verb: commit("v50", "ARCHIVED"), prepare=prepare)


@contextmanager
def kubernetes(place):
    double = KubeDouble(place)
    fill(double)

    def prepare(verb):
        if verb == "kubernetes.uncordon":
            double.ask("PATCH", "/api/v1/nodes/node-3", {"spec": {"unschedulable": True}})
        settle(double)

    def moved(verb):
        if "cordon" in verb:
            now = double.ask("GET", "/api/v1/nodes/node-3")["spec"].get("unschedulable", False)
            double.ask("PATCH", "/api/v1/nodes/node-3", {"spec": {"unschedulable": not now}})
        elif verb == "kubernetes.run_job":
            told = {"jobTemplate": {"spec": {"backoffLimit": 1}}}
            double.ask("PATCH", f"{BATCH}/cronjobs/nightly-copy", {"spec": told})
        else:
            told = {"replicas": 9, "template": template("shop:v43")}
            double.ask("PATCH", f"{APPS}/deployments/checkout", {"spec": told})

    yield Rig(Kubernetes(settings(double)), moved, prepare=prepare, after=lambda: settle(double))
    double.stop()


@contextmanager
def envoy(place):
    runtime = {"canary.checkout": "25"}

    def answer(method, path, query, body):
        if method == "POST":
            runtime.update(query)
        return 200, {"entries": {name: {"final_value": value} for name, value in runtime.items()}}

    with serving(answer) as url:
        yield Rig(Envoy(EnvoySettings(admin=url)), lambda verb: runtime.update({"canary.checkout": "50"}))


@contextmanager
def alertmanager(place):
    silences, until_s = {}, int(time.time()) // 3600 * 3600 + 7200

    def keep(told):
        told.setdefault("id", f"s{len(silences)}")
        silences[told["id"]] = told | {"updatedAt": f"{time.time_ns():020}"}
        return {"silenceID": told["id"]}

    def answer(method, path, query, body):
        return 200, keep(json.loads(body)) if method == "POST" else list(silences.values())

    ours = [{"name": n, "value": v, "isRegex": False, "isEqual": True}
            for n, v in (("alertname", "HighErrors"), ("service", "checkout"))]  # fmt: skip

    def theirs(hours):
        at = [time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(s)) for s in (time.time(), until_s + hours * 3600)]
        keep({"matchers": ours, "startsAt": at[0], "endsAt": at[1], "comment": "somebody", "createdBy": "a"})

    with serving(answer) as url:
        yield Rig(
            Alertmanager(AlertmanagerSettings(url=url)), lambda verb: theirs(1), lambda verb: {"until_s": until_s},
            lambda verb: theirs(0) if verb == "alert.unsilence" else None,
        )  # fmt: skip


@contextmanager
def webhook(place):
    with serving(lambda method, path, query, body: (202, {})) as url:
        yield Rig(Webhook(WebhookSettings(url=url)))


RIGS = {"git": git, "kubernetes": kubernetes, "envoy": envoy, "alertmanager": alertmanager, "webhook": webhook}
