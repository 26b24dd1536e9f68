"""A deployment in one directory: a repository, a gateway process, settings of a worker, a person who may approve."""

import asyncio
import subprocess
import threading
import time
from contextlib import contextmanager

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.gateway import KEY, PARAMETERS, TARGET, VERBS

from actions import NEUTRAL, PeopleHead, PersonRecord, append_record, load_policies, seal
from actions._keyring import KeyRing
from schemas import ActionEvent, Cause, Control, Hypothesis, emit, record_id
from schemas.core import NS
from schemas.signatures import public_text, signed
from streams import EmbeddedLog
from tidegate._act import ActWorker
from tidegate._act_feed import LogFeed
from tidegate._action_gateway import ActionGateway
from tidegate._action_gateway_serve import run_action_gateway
from tidegate._action_gateway_settings import ActGateway
from tidegate._settings import Settings

HIS = Ed25519PrivateKey.from_private_bytes(b"\x0b" * 32)
HERS = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
ROOT_KEY = Ed25519PrivateKey.from_private_bytes(b"\x0a" * 32)
PERSON = "idp#ada"
COLLEAGUE = "idp#ben"
POLICY = """\
rules:
  - id: permit_all
    text: Everything is permitted, in this test.
    when: "true"
    effect: permit
    reason: RULE
    priority: 1
cases:
  - name: anything
    given: {}
    expect: {effect: permit, reason: RULE}
"""


def git(*told, cwd):
    return subprocess.run(["git", *told], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def bare_repository(place):
    """`bare.git`, in which checkout runs v42."""
    git("init", "-q", "--bare", "-b", "main", str(place / "bare.git"), cwd=place)
    git("clone", "-q", str(place / "bare.git"), str(place / "work"), cwd=place)
    add_app(place, "checkout")


def add_app(place, name):
    """Another service in the repository, at v42 as well."""
    work = place / "work"
    (work / f"apps/{name}").mkdir(parents=True)
    (work / f"apps/{name}/kustomization.yaml").write_text("images:\n  - newTag: v42\n")
    git("add", "-A", cwd=work)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", f"add {name}", cwd=work)
    git("push", "-q", "origin", "HEAD:main", cwd=work)


def repository(place):
    """With the kill files of gateway and worker."""
    bare_repository(place)
    for name in ("kill.jsonl", "worker-kill.jsonl"):
        (place / name).write_text("")


def gateway_told(place, **more):
    """Settings of a gateway that holds the repository."""
    return {
        "deployment": "shop", "permit_keys": {"decide-1": public_text(KEY)},
        "control_keys": {"on-call": public_text(KEY)}, "scopes": ["default/"], "store": str(place / "store.sqlite"),
        "kill_file": str(place / "kill.jsonl"), "listen": f"unix:{place / 'gw.sock'}",
        "executors": {"git": {"url": str(place / "bare.git")}},
    } | more  # fmt: skip


@contextmanager
def gateway_of(place):
    """The gateway's process code on its socket, in a thread of its own."""
    told = ActGateway.model_validate(gateway_told(place))
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(
        target=lambda: run_action_gateway(ActionGateway(told), on_ready=lambda address: ready.set(), stop=stop)
    )
    thread.start()
    assert ready.wait(60)
    try:
        yield place
    finally:
        stop.set()
        thread.join()


def settings_of(place, **act):
    """Of a worker beside the gateway of `tests/tidegate/test_action_gateway.py`."""
    private = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (place / "permit.pem").write_bytes(private)
    (place / "policies").mkdir(exist_ok=True)
    (place / "policies/all.yaml").write_text(POLICY)
    people(place)
    return Settings.model_validate({
        "actions": {
            "executors": ["gitops.revert"], "modes": {"*": "act"}, "policies": str(place / "policies"),
        },
        "approvals": {"deployment": "shop", "people": str(place / "people"), "roots": {"root": public_text(ROOT_KEY)}},
        "control": {"keys": {"on-call": public_text(KEY)}},
        "act": {
            "ledger": str(place / "ledger"), "gateway": f"unix:{place / 'gw.sock'}", "listen_port": 0,
            "permit_key": str(place / "permit.pem"), "kill_file": str(place / "worker-kill.jsonl"),
        } | act,
    })  # fmt: skip


def people(place):
    ring, head, lines = KeyRing(), PeopleHead(), []
    now_s = int(time.time()) - 100
    for person, kid, key in ((PERSON, "ada-1", HERS), (COLLEAGUE, "ben-1", HIS)):
        public = key.public_key().public_bytes_raw()
        for record in (
            PersonRecord("enrol", now_s, person=person, kid=kid, public=public, grade="A"),
            PersonRecord("roles", now_s, person=person, roles=("operator",)),
        ):
            ring, head, line = append_record(ring, head, record, "shop", "root", ROOT_KEY)
            lines.append(line)
    (place / "people").write_bytes(b"".join(line + b"\n" for line in lines))


def gated_now(number=0, *, age_s=0, target=TARGET, parameters=PARAMETERS):
    """The record that decide would write now."""
    at_ns = time.time_ns() - int(age_s * NS)
    snapshot = NEUTRAL | {"target": target, "verb": "gitops.revert", "has_executor": True, "mode": "act"}
    decision = load_policies({"policies/all.yaml": POLICY}).evaluate(snapshot)
    service = target.split("/")[2]
    cause = Cause(entity=service, entity_id=target, family="change", change="chg-1")
    return ActionEvent(
        id=record_id("e", number, target), action_id=record_id("a", number, target), incident_id=f"inc-{number}",
        diagnosis_id=f"d-{number}", sequence=1, state="gated", at_ns=at_ns,
        change=VERBS.change("gitops.revert", target, parameters, "r"),
        hypothesis=Hypothesis(cause=cause, score=1.0, reason="deploy"), decision=decision, snapshot=snapshot,
    )  # fmt: skip


def tell(place, event):
    log = EmbeddedLog(place / "log.sqlite")
    record = emit(
        "tidegate.actions.v1", event, id=event.id, key=event.change.target, source="tidegate/decide",
        event_ns=event.at_ns,
    )  # fmt: skip
    log.append([record], writer="test", received_ns=event.at_ns)
    log.close()


def told_by_worker(place):
    log = EmbeddedLog(place / "log.sqlite")
    found = [m for m in log.messages(["tidegate.actions.v1"]) if m.header("ce_source") == "tidegate/act"]
    log.close()
    return [ActionEvent.from_bytes(m.value) for m in found if m.header("ce_type").startswith("io.tidegate.action.")]


def run(place, scene, feed_of=None, anchors=(), **act):
    """The worker on this machine's clock while `scene(worker)` lasts; it reads the embedded log unless told else."""
    settings, stop = settings_of(place, **act), threading.Event()

    async def whole():
        worker = ActWorker(settings, feed_of or (lambda positions: LogFeed(place / "log.sqlite")), anchors)
        running = asyncio.create_task(worker.run(stop))
        while not hasattr(worker, "desk"):
            await asyncio.sleep(0.01)
        try:
            return await scene(worker)
        finally:
            stop.set()
            await running
            assert not worker.broken

    return asyncio.run(whole())


async def until(holds, seconds=120.0):
    for _ in range(int(seconds / 0.05)):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to that")


def states(worker):
    return [row.state for row in worker.ledger.contents().actions]


async def approve(worker, person=PERSON, kid="ada-1", key=HERS):
    """Whoever it is signs the one action that waits."""
    (docket,) = worker.desk.waiting()
    asked = await worker.desk.challenge(docket.ask.action_id, person, "operator", kid, "approve")
    return await worker.desk.vote(docket.ask.action_id, seal(asked, key))


def order(kind="kill", scope="all", key=KEY):
    body = Control(
        id=record_id(kind, scope, time.time_ns()), kind=kind, scope=scope, issued_ns=time.time_ns(), issuer="on-call",
        signature="-",
    )  # fmt: skip
    return signed(body, key)
