"""`up` from start to a clean stop, and the webhooks that it tells."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.servers import free_port
from support.up import START_NS, Caller, Clock, feed, made, receiving, settings, shop_emits, shop_recording, undisturbed

import schemas as sc
from schemas.core import NS, Emit
from streams import EmbeddedLog
from tidegate._errors import GatewayError, SettingsError
from tidegate._live import Live
from tidegate._play import play
from tidegate._settings import Settings
from tidegate._up import run_up
from tidegate._webhooks import Webhooks

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-0123456789"


@contextmanager
def up(place: Path, config: Settings | None = None, **options: object) -> Iterator[tuple[str, dict[str, object]]]:
    """A running `up`; the dictionary holds what it returned, once it has ended."""
    ready, stop, urls, said = threading.Event(), threading.Event(), [], {}

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    def run() -> None:
        said.update(run_up(place, config or Settings(), port=0, stop=stop, on_ready=on_ready, **options))

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(60)
    try:
        yield urls[0], said
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def until(fact: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_what_is_sent_is_worked_off_and_a_stop_leaves_nothing_undone(tmp_path):
    recording = shop_recording(tmp_path / "shop")
    with up(tmp_path / "up") as (url, said):
        assert play(recording, url, speed=0).sent == 74
    assert (said["messages"]["decoded"], said["waiting"]) == (74, 0)
    live = Live(tmp_path / "up", Settings())
    assert [runner.poll(live.log) for runner in live.engine.runners] == [0] * 7
    assert made(live.log) == undisturbed(live)
    live.close()


UP = """
import sys
from pathlib import Path
from tidegate._settings import Settings
from tidegate._up import run_up
said = run_up(Path(sys.argv[1]), Settings(), port=0, on_ready=lambda url: print(url, flush=True))
print(said["messages"]["decoded"])
"""


def test_a_signal_stops_the_process_cleanly_and_what_it_took_is_in_the_snapshot(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", UP, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    call = Caller(process.stdout.readline().strip())
    metrics = next(e.value for e in shop_emits() if e.topic == sc.OTLP_METRICS)
    assert call("POST", "/v1/metrics", metrics, content_type="application/x-protobuf").status == 200
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "1\n")
    log = EmbeddedLog(tmp_path / "log.sqlite")
    assert log.snapshot("normalise") is not None
    log.close()


def test_what_was_taken_before_kill_9_is_worked_off_after_the_next_start(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", UP, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    taken = play(shop_recording(tmp_path / "shop"), url, speed=0).sent
    process.kill()
    process.communicate(timeout=60)
    clock = Clock(time.time_ns())
    live = Live(tmp_path, Settings(), now_ns=clock)
    live.pump()
    assert live.health.ledger["messages"]["decoded"] == taken
    clock.ns += 31 * NS  # it all came within a moment, so the last of it waits until its senders count as silent
    live.pump()
    assert made(live.log) == undisturbed(live)
    assert live.board.document()
    live.close()


def test_without_tokens_only_this_machine_may_connect(tmp_path):
    with pytest.raises(GatewayError, match=r"0\.0\.0\.0.*--insecure"):
        run_up(tmp_path, Settings(), host="0.0.0.0", port=0)
    with up(tmp_path, host="0.0.0.0", insecure=True) as (url, _):
        assert Caller(url.replace("0.0.0.0", "127.0.0.1"))("GET", "/healthz").status == 200


def test_with_tokens_any_address_will_do(tmp_path):
    with up(tmp_path, settings(tokens=[{"token": TOKEN, "source": "a"}]), host="0.0.0.0") as (url, _):
        call = Caller(url.replace("0.0.0.0", "127.0.0.1"))
        assert call("POST", "/v1/logs", b"", content_type="application/x-protobuf").status == 401


def test_a_port_that_is_taken_is_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(GatewayError, match=f"127.0.0.1:{port}.*--port"):
            run_up(tmp_path, Settings(), port=port)


def test_an_engine_that_breaks_ends_the_process_with_its_error(tmp_path, monkeypatch):
    def broken(self: Live, *_: object) -> int:
        raise OSError("the disk is gone")

    monkeypatch.setattr(Live, "pump", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        run_up(tmp_path, Settings(), port=0)


@pytest.mark.parametrize(
    ("gateway", "says"),
    [
        ({"tokens": [{"token": "short", "source": "a"}]}, "at least 16"),
        ({"tokens": [{"source": "a"}]}, "token_file"),
        ({"tokens": [{"tokn": TOKEN, "source": "a"}]}, "Did you mean 'token'"),
        ({"webhooks": [{"url": "ftp://x"}]}, "webhooks.0.url"),
        ({"max_backlog_bytes": 5}, "max_body_bytes"),
    ],
)
def test_a_mistake_in_the_settings_of_the_gateway_is_a_sentence_without_the_secret(tmp_path, gateway, says):
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps({"gateway": gateway}))
    with pytest.raises(SettingsError) as refused:
        Settings.read(file)
    assert says in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_token_may_stand_in_a_file_of_its_own_and_never_twice(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    one, two = {"token_file": str(tmp_path / "token"), "source": "a"}, {"token": TOKEN, "source": "b"}
    with pytest.raises(SettingsError, match="'b' stands twice"):
        run_up(tmp_path, settings(tokens=[one, two]), port=0)


# --- webhooks ---


@pytest.fixture(scope="module")
def action(tmp_path_factory) -> Emit:
    """An action as the pipeline writes it."""
    live = Live(tmp_path_factory.mktemp("action"), Settings(), now_ns=(clock := Clock()))
    feed(live, clock)
    live.pump()
    clock.ns += 40 * NS
    for _ in range(30):
        live.pump()
        clock.ns += 10 * NS
    found = [s.message for s in live.log.read([sc.ACTIONS], 0, 1000)]
    live.close()
    message = next(m for m in found if sc.record_type(m) == "action")
    return Emit(sc.ACTIONS, message.key, message.value, message.headers, message.event_ns)


def numbered(action: Emit, n: int) -> Emit:
    headers = tuple((name, f"id-{n}".encode() if name == "ce_id" else value) for name, value in action.headers)
    return Emit(action.topic, action.key, action.value, headers, START_NS)


@contextmanager
def telling(place: Path, *urls: str, token: str | None = None) -> Iterator[tuple[EmbeddedLog, Webhooks, list[str]]]:
    said: list[str] = []
    log = EmbeddedLog(place / "log.sqlite")
    hooks = settings(webhooks=[{"url": url, "token": token} for url in urls]).gateway.webhooks
    sender = Webhooks(log, place, hooks, on_event=lambda text, facts: said.append(text), first_s=0.01)
    sender.start()
    yield log, sender, said
    sender.stop()
    log.close()


def test_a_receiver_gets_every_action_in_order_as_a_cloudevent(tmp_path, action):
    with receiving() as receiver, telling(tmp_path, f"{receiver.url}/hook?a=1", token=TOKEN) as (log, sender, _):
        log.append([numbered(action, n) for n in range(5)], writer="decide")
        until(lambda: len(receiver.got) == 5)
        until(lambda: sender.health()[0].sent == 5)
    path, headers, _, _ = receiver.got[0]
    assert (path, headers["authorization"]) == ("/hook?a=1", f"Bearer {TOKEN}")
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert [body["id"] for body in receiver.bodies()] == [f"id-{n}" for n in range(5)]
    event = receiver.bodies()[0]
    assert (event["specversion"], event["type"][:19]) == ("1.0", "io.tidegate.action.")
    sc.ActionEvent.model_validate(event["data"])


def test_a_receiver_that_fails_gets_the_same_event_again_and_then_the_next(tmp_path, action):
    with receiving([500, 503, 301, 429]) as receiver, telling(tmp_path, receiver.url) as (log, _, said):
        log.append([numbered(action, n) for n in range(2)], writer="decide")
        until(lambda: len(receiver.got) == 6)
    assert [(status, status == 200) for *_, status in receiver.got][:4] == [(s, False) for s in (500, 503, 301, 429)]
    assert [body["id"] for body in receiver.bodies()] == ["id-0", "id-1"]
    assert said == ["webhook failing", "webhook recovered"]


def test_an_event_that_a_receiver_refuses_for_good_is_noted_and_the_next_is_sent(tmp_path, action):
    with receiving([422, 422, 422]) as receiver, telling(tmp_path, receiver.url) as (log, sender, said):
        log.append([numbered(action, n) for n in range(2)], writer="decide")
        until(lambda: sender.health()[0].sent == 1)
        assert sender.health()[0].refused == 1
        assert sender._db.execute("SELECT id, status FROM refused").fetchall() == [("id-0", 422)]
    assert [body["id"] for body in receiver.bodies()] == ["id-1"]
    assert "webhook refused" in said


def test_after_a_restart_a_receiver_goes_on_where_it_was_and_a_new_one_begins_now(tmp_path, action):
    with receiving() as old, receiving() as new:
        with telling(tmp_path, old.url) as (log, sender, _):
            log.append([numbered(action, 0)], writer="decide")
            until(lambda: sender.health()[0].sent == 1)
        log = EmbeddedLog(tmp_path / "log.sqlite")
        log.append([numbered(action, 1)], writer="decide")
        log.close()
        with telling(tmp_path, old.url, new.url) as (log, _, _):
            log.append([numbered(action, 2)], writer="decide")
            until(lambda: (len(old.got), len(new.got)) == (3, 1))
    assert [body["id"] for body in old.bodies()] == ["id-0", "id-1", "id-2"]
    assert [body["id"] for body in new.bodies()] == ["id-2"]


def test_what_was_under_way_when_the_process_died_is_sent_again_with_the_same_id(tmp_path, action):
    port = free_port()
    with receiving([500] * 1000, port=port) as receiver, telling(tmp_path, receiver.url) as (log, _, _):
        log.append([numbered(action, 0)], writer="decide")
        until(lambda: receiver.got)
    with receiving(port=port) as receiver, telling(tmp_path, receiver.url):
        until(lambda: receiver.got)
    assert [body["id"] for body in receiver.bodies()] == ["id-0"]


def test_a_receiver_that_is_not_there_holds_up_neither_the_pipeline_nor_the_others(tmp_path):
    recording = shop_recording(tmp_path / "shop")
    config = Settings.model_validate({"streams": {"idle_after_s": 0.3}})
    clock = Clock(START_NS)
    with (
        receiving() as receiver,
        up(tmp_path / "up", config, webhooks=["http://127.0.0.1:1/", receiver.url], now_ns=clock) as (url, _),
    ):
        clock.ns += 300 * NS
        play(recording, url, speed=0)
        while not receiver.got:
            clock.ns += 10 * NS
            time.sleep(0.02)
        until(lambda: Caller(url)("GET", "/healthz").json["backlog"]["messages"] == 0)
        until(lambda: Caller(url)("GET", "/healthz").json["webhooks"][0]["failing_s"] > 0)
