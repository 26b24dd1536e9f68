"""No audit, no action: the worker as it runs, whose audit log fails, forks, or differs from what lies elsewhere."""

import shutil

import pytest
from cryptography.hazmat.primitives import serialization as ser
from support.act_place import KEY, PARAMETERS, gated_now, gateway_of, order, repository, run, states, tell, until

from actions import Happening
from actions._autonomy_kept import breach_of
from tidegate._audit_follow import FileAnchor
from tidegate._audit_log import AuditLog, verify_place
from tidegate._errors import AuditLogError


@pytest.fixture
def place(tmp_path):
    repository(tmp_path)
    pem = KEY.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    (tmp_path / "audit.pem").write_bytes(pem)
    with gateway_of(tmp_path):
        yield tmp_path


def audited(place, scene, anchors=(), **more):
    told = {"log": str(place / "log"), "key_file": str(place / "audit.pem"), "anchor_files": [str(place / "seen")]}
    return run(place, scene, anchors=anchors, audit=told | {"every_s": 0.1} | more)


async def outcome(worker, place, version):
    """State and reason of another decision: checkout back to this version."""
    known = set(worker.ledger.open_actions()) | {row.key for row in worker.ledger.ended(-1, 99)}
    tell(place, gated_now(len(known), parameters=PARAMETERS | {"to_version": version}))

    def new():
        ends = {row.key for row in worker.ledger.ended(-1, 99)} - known
        waits = {key for key in worker.ledger.open_actions() if states(worker) and key not in known}
        return [key for key in ends | waits if worker.worker.read(key).state in ("advised", "awaiting_approval")]

    await until(new)
    action = worker.worker.read(new()[0])
    return action.state, action.reason


def test_every_entry_of_the_ledger_comes_to_the_log_and_its_checkpoints_to_the_anchors(place):
    tell(place, gated_now())

    async def scene(worker):
        await until(lambda: states(worker) == ["awaiting_approval"])
        await until(lambda: worker.audit._log.signed.size >= worker.ledger.head()[0] > 0)
        return worker.audit._log.key

    key = audited(place, scene)
    anchored = tuple(FileAnchor(place / "seen").notes())
    report, _ = verify_place(place / "log", key, anchored)
    assert report.ok and len(anchored) > 1


async def stays_stopped(worker, place, reason):
    await until(lambda: worker.ledger.kept("trip/"))
    await until(lambda: worker.worker.safety.held == reason)
    assert (await outcome(worker, place, "v40"))[0] == "advised"
    assert any(name == ("people", f"trip:{reason}") for name in told_to_people(worker))


def lift(place):
    with (place / "worker-kill.jsonl").open("ab") as file:
        file.write(order("resume", "breaker:*@*").to_bytes() + b"\n")


def told_to_people(worker):
    return [(topic, key) for topic, key, _ in worker.ledger.contents().told]


def test_a_log_that_cannot_be_written_stops_everything_and_a_signed_order_lifts_it_when_it_can(place):
    async def scene(worker):
        with open("/dev/full", "ab", buffering=0) as full:
            worker.audit._log._entries = full
            tell(place, gated_now())
            await until(lambda: worker.ledger.kept("trip/"))
        await until(lambda: worker.audit.fault == "")
        assert await outcome(worker, place, "v40") == ("advised", "BREAKER_OPEN")
        lift(place)
        await until(lambda: not worker.ledger.kept("trip/"))
        assert (await outcome(worker, place, "v39"))[0] == "awaiting_approval"

    audited(place, scene)


def test_a_ledger_that_went_back_behind_its_log_stops_everything_through_a_reset_and_a_restart(place):
    async def quiet(worker):
        await until(lambda: worker.audit.fault == "")

    async def acted(worker):
        tell(place, gated_now())
        await until(lambda: states(worker) == ["awaiting_approval"])
        await until(lambda: worker.audit._log.head.size == worker.ledger.head()[0])

    async def restored(worker):
        await stays_stopped(worker, place, "AUDIT_FAILED")
        lift(place)
        await until(lambda: not worker.ledger.kept("trip/"))
        assert await outcome(worker, place, "v39") == ("advised", "AUDIT_FAILED")

    audited(place, quiet)
    shutil.copy(place / "ledger", place / "backup")
    audited(place, acted)
    shutil.copy(place / "backup", place / "ledger")
    audited(place, restored)


def test_a_log_that_differs_from_an_anchor_stops_everything_and_takes_all_autonomy(place):
    async def quiet(worker):
        await until(lambda: worker.audit.fault == "")

    async def differs(worker):
        await stays_stopped(worker, place, "AUDIT_ALTERED")
        assert worker.worker.safety.breach_ns == breach_of(worker.ledger) > 0

    audited(place, quiet)
    with AuditLog(place / "other", KEY, origin="tidegate/audit") as other:
        other.append(Happening("", "", "other", "x", 1))
        (place / "seen").write_text(other.checkpoint().note)
    audited(place, differs)


class Away:
    name = "away"

    def put(self, checkpoint):
        raise AuditLogError("nobody is there", where="away")

    def notes(self):
        return ()


def test_anchors_that_are_away_are_waited_for_and_then_nothing_acts(place):
    async def scene(worker):
        await until(lambda: worker.audit.failed and worker.audit.fault == "")
        await until(lambda: worker.worker.safety.held == "AUDIT_UNANCHORED")
        assert await outcome(worker, place, "v40") == ("advised", "AUDIT_UNANCHORED")
        assert not worker.ledger.kept("trip/")

    audited(place, scene, [Away()], unanchored_s=3)
