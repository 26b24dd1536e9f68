"""The gateway as a process: real sockets, a real store, a real repository; killed, cut off, stopped and resumed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from support.act_place import bare_repository, git
from support.act_place import gateway_told as told
from support.gateway import KEY, NOW, OTHER, PARAMETERS, TARGET, VERBS, permitted, request
from support.gateway_dying import POINTS

from actions import Answer, DryRun, ProbeRequest, TargetAway, gateway_wire
from actions._errors import ParametersInvalid
from schemas import Control
from schemas.core import NS
from schemas.signatures import signed
from tidegate._action_gateway import ActionGateway
from tidegate._action_gateway_client import GatewayClient
from tidegate._action_gateway_serve import run_action_gateway
from tidegate._action_gateway_settings import ActGateway
from tidegate._errors import ActGatewayError, SettingsError

ROOT = Path(__file__).resolve().parents[2]
CHANGE = VERBS.change("gitops.revert", TARGET, PARAMETERS, "r")


@pytest.fixture
def place(tmp_path):
    """A directory with a repository, an empty kill file and the gateway's settings."""
    bare_repository(tmp_path)
    (tmp_path / "kill.jsonl").write_text("")
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(told(tmp_path)))
    return tmp_path


STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def _none_is_left():
    """Also where a test fails: no gateway outlives it."""
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.wait()
    STARTED.clear()


class Running:
    """The gateway as an own process."""

    def __init__(self, place, point=""):
        self.client = GatewayClient(f"unix:{place / 'gw.sock'}", timeout_s=60)
        (place / "gw.sock").unlink(missing_ok=True)
        file = str(place / "gateway.yaml")
        run = ["support.gateway_dying", file, point] if point else ["tidegate", "act", "gateway", "--settings", file]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        with (place / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *run], cwd=ROOT, stderr=log, stdout=log, env=environment
            )
        STARTED.append(self.process)
        while self.process.poll() is None:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(place / "gw.sock"))
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the gateway has ended: {(place / 'log').read_text()[-1500:]}")

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(60)


def now_request(**more):
    now_ns = time.time_ns()
    plain = request(evidence_ns=now_ns - 5 * NS, until_ns=now_ns + 30 * NS, **more)
    return permitted(plain, now_ns=now_ns)


def renewed(told):
    """The same request with a permit of now: one lives 30 s at most, and a busy machine may take that to restart."""
    now_ns = time.time_ns()
    return permitted(told._replace(until_ns=now_ns + 30 * NS), now_ns=now_ns)


def version(place):
    return git("show", "main:apps/checkout/kustomization.yaml", cwd=place / "bare.git").split()[-1]


def order(kind, key=KEY, scope="all"):
    plain = Control(id="c", kind=kind, scope=scope, issued_ns=time.time_ns(), issuer="on-call", signature="-")
    return signed(plain, key)


def test_a_process_of_its_own_acts_once_through_kills_and_stops_when_told(place):
    running = Running(place)
    ask = running.client
    dry = asyncio.run(ask.dry_run("sha256:a", 0, CHANGE))
    assert isinstance(dry, DryRun), dry
    assert '"v42"' in dry.diff and version(place) == "v42"
    told = now_request(expected_version=dry.target_version, dry_run_digest=dry.digest)
    assert asyncio.run(ask.apply(told)) == Answer("applied", "") and version(place) == "v41"
    running.end(signal.SIGKILL)
    assert asyncio.run(ask.apply(told)) == Answer("not_applied", "GATEWAY_AWAY")
    running = Running(place)
    head = git("rev-parse", "main", cwd=place / "bare.git")
    assert asyncio.run(ask.apply(renewed(told))) == Answer("applied", "")
    assert git("rev-parse", "main", cwd=place / "bare.git") == head
    assert asyncio.run(ask.probe(ProbeRequest("sha256:a", 0, CHANGE, TARGET, 4))) == "applied"
    assert asyncio.run(ask.order(order("kill"))) and not asyncio.run(ask.order(order("resume", OTHER)))
    undo = now_request(direction="undo", epoch=5)
    assert asyncio.run(ask.apply(undo)) == Answer("not_applied", "KILLED") and version(place) == "v41"
    assert running.end() == 0
    running = Running(place)
    assert asyncio.run(ask.apply(now_request(direction="undo", epoch=6))).reason == "KILLED", (
        "it stays through restarts"
    )
    assert asyncio.run(ask.order(order("resume"))) and asyncio.run(ask.order(order("kill", scope="key:decide-1")))
    assert asyncio.run(ask.apply(now_request(direction="undo", epoch=7))).reason == "KEY_REVOKED"
    assert asyncio.run(ask.order(order("resume", scope="key:decide-1")))
    assert asyncio.run(ask.apply(now_request(direction="undo", epoch=8))).result == "applied"
    assert version(place) == "v42" and running.end() == 0
    log = (place / "log").read_text()
    assert '"effect applied"' in log and '"order taken"' in log and not (place / "gw.sock").exists()


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_of_an_attempt_it_writes_at_most_once_and_says_what_is_so(place, point):
    dying = Running(place, point)
    dry = asyncio.run(dying.client.dry_run("sha256:a", 0, CHANGE))
    told = now_request(expected_version=dry.target_version)
    before = git("rev-list", "--count", "main", cwd=place / "bare.git")
    assert asyncio.run(dying.client.apply(told)) == Answer("lost", "ANSWER_LOST")
    assert dying.process.wait(60) == -signal.SIGKILL
    running = Running(place)
    again = asyncio.run(running.client.apply(renewed(told)))
    assert again.result == {"asked": "applied", "begun": "lost", "written": "lost", "answered": "applied"}[point]
    wrote = version(place) == "v41"
    assert asyncio.run(running.client.fence(TARGET, 4))
    found = asyncio.run(running.client.probe(ProbeRequest("sha256:a", 0, CHANGE, TARGET, 4)))
    assert found == ("applied" if wrote else "not_applied") and wrote == (point != "begun")
    touched = git("rev-list", "--count", "main", "--", "apps", cwd=place / "bare.git")
    assert int(touched) == int(before) + wrote
    running.end()


@pytest.fixture
def serving(place):
    """The gateway in this process, and how to reach it; `more` are other settings."""
    stops = []

    def start(**more):
        gateway = ActionGateway(ActGateway.model_validate(told(place, **more)))
        stop, ready, address = threading.Event(), threading.Event(), []
        on_ready = lambda where: (address.append(where), ready.set())
        thread = threading.Thread(target=lambda: run_action_gateway(gateway, on_ready=on_ready, stop=stop), daemon=True)
        thread.start()
        assert ready.wait(60)
        stops.append((stop, thread))
        return gateway, address[0]

    yield start
    for stop, thread in stops:
        stop.set()
        thread.join(60)


def test_on_a_port_it_takes_nothing_without_its_token(serving):
    _, address = serving(listen="127.0.0.1:0", token="sixteen-characters")
    for token, reason in (("", "GATEWAY_AWAY"), ("another-token-here", "GATEWAY_AWAY")):
        assert asyncio.run(GatewayClient(address, token).apply(now_request())).reason == reason
    assert asyncio.run(GatewayClient(address, "sixteen-characters").fence(TARGET, 3)) is True


def test_the_socket_is_for_this_user_only(serving, place):
    serving()
    assert os.stat(place / "gw.sock").st_mode & 0o077 == 0


def test_a_kill_file_that_is_gone_torn_or_forged_closes_the_gateway(serving, place):
    _, address = serving()
    ask, epoch = GatewayClient(address), 10
    lines = [b"{torn", order("resume", OTHER).to_bytes(), None]
    for line in lines:
        (place / "kill.jsonl").write_bytes(line) if line else (place / "kill.jsonl").unlink()
        epoch += 1
        answer = asyncio.run(ask.apply(now_request(epoch=epoch)))
        assert answer == Answer("not_applied", "KILL_STATE_OLD") and version(place) == "v42"


def test_an_executor_that_hangs_breaks_or_goes_away_never_counts_as_done(serving):
    gateway, address = serving()
    executor, released = gateway._threads._by_verb["gitops.revert"], threading.Event()
    ask = GatewayClient(address)
    before = asyncio.run(ask.dry_run("k", 0, CHANGE))
    for epoch, write, timeout_s, answer in (
        (11, lambda *told: released.wait(60), 2.0, ("lost", "TIMEOUT")),
        (32, lambda *told: 1 / 0, 60.0, ("lost", "EXECUTOR_FAILED")),
    ):
        executor.write, gateway._threads._timeouts = write, {"gitops.revert": timeout_s}
        told = now_request(epoch=epoch, key=f"sha256:{epoch}", expected_version=before.target_version)
        assert asyncio.run(ask.apply(told)) == answer
        assert asyncio.run(ask.fence(TARGET, epoch + 10))
    released.set()

    def away(effect):
        raise TargetAway("gone")

    executor.read = away
    assert asyncio.run(ask.probe(ProbeRequest("sha256:11", 0, CHANGE, TARGET, 50))) == "unreadable"
    assert asyncio.run(ask.dry_run("k", 0, CHANGE)).reason == "TARGET_AWAY"


def test_a_broken_store_ends_the_process_and_is_never_an_answer(place):
    gateway, failed, address = ActionGateway(ActGateway.model_validate(told(place))), [], []
    ready = threading.Event()

    def run():
        try:
            run_action_gateway(gateway, on_ready=lambda where: (address.append(where), ready.set()))
        except ActGatewayError as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    gateway._store._db.execute("drop table attempt")
    assert asyncio.run(GatewayClient(address[0]).apply(now_request())) == Answer("lost", "ANSWER_LOST")
    thread.join(60)
    assert len(failed) == 1 and "Look at the disk" in str(failed[0])


OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = [b"", OK + b"\r\n{}", OK + b"Content-Length: 9\r\n\r\n{}", OK + b"Content-Length: 2\r\n\r\n{}",
          b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}", b"SSH-2.0\r\n\r\n"]  # fmt: skip


@pytest.mark.parametrize("answer", BROKEN)
def test_whatever_is_not_a_whole_answer_is_lost(tmp_path, answer):
    async def asked():
        async def serve(reader, writer):
            await reader.read(65536)
            writer.write(answer)
            writer.close()

        server = await asyncio.start_unix_server(serve, str(tmp_path / "s"))
        async with server:
            ask = GatewayClient(f"unix:{tmp_path / 's'}", timeout_s=2)
            return await ask.apply(request()), await ask.fence(TARGET, 1), await ask.probe(PROBE)

    assert asyncio.run(asked()) == (Answer("lost", "ANSWER_LOST"), False, "unreadable")


def test_a_gateway_that_says_nothing_is_lost_after_a_while(tmp_path):
    async def asked():
        async def serve(reader, writer):
            await asyncio.sleep(5)

        server = await asyncio.start_unix_server(serve, str(tmp_path / "s"))
        return await GatewayClient(f"unix:{tmp_path / 's'}", timeout_s=0.2).apply(request()), server.close()

    assert asyncio.run(asked())[0] == Answer("lost", "ANSWER_LOST")


PROBE = ProbeRequest("sha256:a", 0, CHANGE, TARGET, 4)


def test_what_goes_over_the_wire_comes_back_the_same():
    told = permitted(now_ns=NOW)
    assert gateway_wire.load_effect(gateway_wire.dump(told)) == told
    assert gateway_wire.load_probe(gateway_wire.dump(PROBE)) == PROBE


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"key": 1}', b"[" * 5000, b"\xff"])
def test_what_is_no_request_is_refused(body):
    for load in (gateway_wire.load_effect, gateway_wire.load_probe, gateway_wire.load_fence):
        with pytest.raises(ParametersInvalid):
            load(body)


@pytest.mark.parametrize(
    ("more", "message"),
    [({"listen": "127.0.0.1:1"}, "token"), ({"scopes": ["*"]}, "scope"), ({"scopes": ["default/service/*"]}, "scope"),
     ({"permit_keys": {}}, "permit_keys"), ({"permit_keys": {"a": "x"}}, "no Ed25519 key"), ({"more": 1}, "more"),
     ({"token": "sixteen-characters", "token_file": "t"}, "not both")],
)  # fmt: skip
def test_settings_that_would_open_too_much_are_refused(place, more, message):
    (place / "gateway.yaml").write_text(yaml.safe_dump(told(place, **more)))
    with pytest.raises(SettingsError, match=message):
        ActGateway.read(place / "gateway.yaml")


@pytest.mark.parametrize(
    ("executors", "message"),
    [
        ({"ftp": {}}, "Executors: alertmanager"),
        ({"git": {"url": 1}}, "executors.git.url"),
        ({"git": {"x": 1}}, "git.x"),
    ],
)
def test_an_executor_that_is_not_there_or_told_wrongly_is_refused(place, executors, message):
    with pytest.raises(SettingsError, match=message):
        ActionGateway(ActGateway.model_validate(told(place, executors=executors)))
    with pytest.raises(ActGatewayError, match="no address"):
        GatewayClient("https://elsewhere")
