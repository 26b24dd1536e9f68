"""What executors say over HTTP: what is certain, what is lost, and that a key goes along. See also tests/live."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.gateway import VERBS
from support.servers import free_port
from support.verbs import SAMPLES

from actions._executor import Mark, Reading, TargetAway
from actions._gateway import effect_of
from actions.executors._http import call
from actions.executors.alertmanager import Alertmanager, AlertmanagerSettings
from actions.executors.envoy import Envoy, EnvoySettings
from actions.executors.webhook import Webhook, WebhookSettings

MARK = Mark("sha256:a", 0, "do", 3)


@pytest.fixture
def server():
    """A server that keeps what it was asked and answers what `answers` says by method."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            size = int(self.headers.get("Content-Length") or 0)
            server.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(size)))
            status, body = server.answers.get(self.command, (200, b"{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *told):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers = [], {}
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def breaking():
    """A server that takes the request and then says `told`, or nothing, and hangs up or stays silent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(told, stays=False):
        def one():
            peer, _ = listener.accept()
            peer.recv(65536)
            peer.sendall(told)
            if stays:
                done.wait(5)
            peer.close()

        done = threading.Event()
        threading.Thread(target=one, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/", done

    yield serve
    listener.close()


@pytest.mark.parametrize("told", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"nonsense\r\n\r\n"])
def test_an_answer_that_breaks_off_is_lost(breaking, told):
    url, _ = breaking(told)
    answer = call("POST", url, body=b"{}", timeout_s=60)
    assert (answer.status, answer.is_lost) == (0, True)


def test_a_silent_server_is_lost_after_its_time(breaking):
    url, done = breaking(b"", stays=True)
    assert call("POST", url, body=b"{}", timeout_s=0.2).is_lost
    done.set()


def test_a_connection_that_never_came_about_is_certain():
    answer = call("POST", f"http://127.0.0.1:{free_port()}/", timeout_s=60)
    assert (answer.status, answer.is_lost) == (0, False)


def test_a_redirect_is_not_followed_and_the_token_is_read_anew(server, tmp_path):
    server.answers["GET"] = (307, b"")
    token = tmp_path / "token"
    for text in ("one", "two"):
        token.write_text(f"{text}\n")
        assert call("GET", server.url, timeout_s=60, token_file=token).status == 307
    assert [headers["Authorization"] for _, _, headers, _ in server.asked] == ["Bearer one", "Bearer two"]


def notice():
    sample = SAMPLES["notify.owner"]
    return effect_of(VERBS, VERBS.change("notify.owner", sample.target, sample.parameters, "r"), "do")


@pytest.mark.parametrize(
    ("status", "outcome"), [(202, "written"), (404, "refused"), (409, "refused"), (500, "lost"), (503, "lost")]
)
def test_the_owner_is_told_once_with_the_key_of_the_attempt(server, status, outcome):
    server.answers["POST"] = (status, b"")
    hands = Webhook(WebhookSettings(services={"checkout": f"{server.url}/hook"}))
    assert hands.write(notice(), MARK, hands.read(notice())).outcome == outcome
    ((method, path, headers, body),) = server.asked
    assert (method, path, headers["Idempotency-Key"]) == ("POST", "/hook", '"sha256:a/0/do/3"')
    assert json.loads(body)["reason"] == "NO_RUNBOOK"


def test_a_service_without_a_webhook_is_absent():
    with pytest.raises(TargetAway) as refused:
        Webhook(WebhookSettings()).read(notice())
    assert refused.value.code == "TARGET_ABSENT"


def effect(verb):
    sample = SAMPLES[verb]
    return effect_of(VERBS, VERBS.change(verb, sample.target, sample.parameters, "r"), "do")


def test_envoy_is_asked_for_both_values_in_one_call(server):
    entries = {"canary.checkout": {"final_value": "25"}}
    server.answers["GET"] = (200, json.dumps({"entries": entries}).encode())
    hands, told = Envoy(EnvoySettings(admin=server.url)), effect("traffic.shift")
    reading = hands.read(told)
    assert reading.state == {"percent": 25} and hands.write(told, MARK, reading).outcome == "written"
    assert server.asked[-1][1].startswith("/runtime_modify?canary.checkout=0&tidegate.mark.")


@pytest.mark.parametrize("body", [b"{}", b"<html>", b'{"entries": {"canary.checkout": {"final_value": "x"}}}'])
def test_what_does_not_answer_as_envoy_or_alertmanager_does_is_away(server, body):
    server.answers["GET"] = (200, body)
    with pytest.raises(TargetAway):
        Envoy(EnvoySettings(admin=server.url)).read(effect("traffic.shift"))
    with pytest.raises(TargetAway):
        Alertmanager(AlertmanagerSettings(url=server.url)).read(effect("alert.silence"))


def test_alertmanager_is_asked_for_one_alert_of_one_service_exactly(server):
    server.answers["GET"] = (200, b"[]")
    hands, told = Alertmanager(AlertmanagerSettings(url=server.url)), effect("alert.silence")
    reading = hands.read(told)
    assert isinstance(reading, Reading) and reading.state["until_s"] == 0 and reading.mark is None
    hands.write(told, MARK, reading)
    sent = json.loads(server.asked[-1][3])
    assert [(one["name"], one["value"], one["isRegex"]) for one in sent["matchers"]] == [
        ("alertname", "HighErrors", False), ("service", "checkout", False),
    ]  # fmt: skip
    assert sent["comment"].startswith("sha256:a/0/do/3 ") and "id" not in sent
