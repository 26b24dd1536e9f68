"""From the ledger to the log to anchors, and back: what was decided, on what grounds, by whom."""

import json
import subprocess
from base64 import b64encode
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from actions import AuditInvalid, Sealer, opening, snapshot_digest
from actions._drive import With, advance, open_action, read_action
from actions._ledger import ActionWrite, Transaction, write
from actions._ledger_sqlite import SqliteLedger
from actions._machine_types import Gated, Origin, dump_action
from actions._saga import Plan, Step
from bench._approval_office import ADA, GRACE, NOW_S, Office, change
from schemas import ActionEvent, Cause, Decision, Diagnosis, EvidencePointer, Hypothesis, sha256
from schemas.core import NS
from tidegate._audit_follow import FileAnchor, Follower, GitAnchor
from tidegate._audit_log import AuditLog, verify_place
from tidegate._errors import AuditLogError, NotFoundError
from tidegate._reconstruct import reconstruct
from tidegate.cli import app

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def office(tmp_path):
    """An action that two people approved, asked for by a record with inputs, decision and evidence."""
    made = Office(tmp_path / "ledger")
    plan = Plan((Step(change(7), "conditional"),))
    opened = open_action(
        plan, 0, NOW_S * NS, origin=Origin("a1", "i1", "critical", "v7", asked=ASKED.model_dump_json())
    )
    write(made.ledger, opened.transaction)
    made.plan, made.id = plan, opened.action.key
    docket = replace(made.desk.waiting()[0], ask=made.ask(plan, made.id))
    gated = Gated(NOW_S * NS, "require_approval", "CRITICAL_SERVICE", "act", NOW_S * NS)
    advance(made.ledger, made.id, gated, With(keeps=(opening(docket),)))
    for person in (ADA, GRACE):
        made.vote(made.sign(person))
    return made


SNAPSHOT = {"tier": "critical", "confidence_low": 0.76, "is_calibrated": True}
DECISION = Decision(
    effect="require_approval", reason="CRITICAL_SERVICE", policies=["critical"], policy_digest=sha256(b"policies"),
    snapshot_digest=snapshot_digest(SNAPSHOT),
)  # fmt: skip
EVIDENCE = EvidencePointer(signal="metrics", subject="checkout", t_min_ns=1, t_max_ns=2, sha256=sha256(b"rows"))
HYPOTHESIS = Hypothesis(
    cause=Cause(entity="checkout", entity_id="default/service/checkout", family="code"), score=1.0, reason="deploy"
)
ASKED = ActionEvent(
    id="e1", action_id="a1", incident_id="i1", diagnosis_id="d1", sequence=0, state="approved", at_ns=1,
    change=change(7), hypothesis=HYPOTHESIS, evidence=[EVIDENCE], decision=DECISION, snapshot=SNAPSHOT,
)  # fmt: skip


def test_a_decision_is_put_together_again_with_inputs_policies_versions_evidence_and_people(office):
    versions = {"ranker": sha256(b"weights"), "calibration": sha256(b"map")}
    diagnosis = Diagnosis.model_construct(id="d1", versions=versions)
    found = reconstruct(office.ledger, office.id, diagnosis)
    assert found["faults"] == [] and found["state"] == "approved"
    assert found["inputs"] == SNAPSHOT and found["decision"]["policy_digest"] == DECISION.policy_digest
    assert found["versions"] == {"action": "v7", **versions}
    assert [one["sha256"] for one in found["evidence"]] == [EVIDENCE.sha256]
    assert [(one["person"], one["reason"], one["ring"]) for one in found["people"]] == [
        (ADA, "ACCEPTED", office.ring.version), (GRACE, "ACCEPTED", office.ring.version)]  # fmt: skip
    assert [to for _, _, to, _ in found["moves"]][-1] == "approved"


def exchanged(office, **edits):
    """The ledger's row of the action as whoever holds the database could write it."""
    action = replace(read_action(office.ledger, office.id), **edits)
    row = office.ledger.action(office.id)
    body, leaf = dump_action(action), office.desk.docket(office.id).said[0]
    put = ActionWrite(row.key, row.version, row.digest, row.change_key, row.generation, action.state, False, body)
    write(office.ledger, Transaction(NOW_S * NS, action=put, leaves=(leaf,)))


def faults(office):
    return " ".join(reconstruct(office.ledger, office.id)["faults"])


def test_grounds_that_were_exchanged_afterwards_are_found(office):
    other = ASKED.model_copy(update={"evidence": []}).model_dump_json()
    exchanged(office, origin=Origin("a1", "i1", "critical", "v7", asked=other))
    assert "the record that asked" in faults(office)


def test_a_plan_state_or_input_that_was_exchanged_is_found(office):
    exchanged(office, plan=Plan((Step(change(8), "conditional"),)))
    assert "the plan is not" in faults(office)
    other = ASKED.model_copy(update={"snapshot": {"tier": "low"}}).model_dump_json()
    exchanged(office, origin=Origin("a1", "i1", "critical", "v7", asked=other))
    assert "the inputs are not" in faults(office)


def test_an_approval_that_was_put_in_afterwards_is_found(office):
    docket = office.desk.docket(office.id)
    forged = docket.said[0].replace(ADA.encode(), b"idp#nobody")
    write(office.ledger, Transaction(0, keeps=(opening(replace(docket, said=(*docket.said, forged))),)))
    assert "an approval is not in the audit log" in faults(office)
    assert "another diagnosis" in " ".join(
        reconstruct(office.ledger, office.id, Diagnosis.model_construct(id="x", versions={}))["faults"]
    )
    with pytest.raises(NotFoundError):
        reconstruct(office.ledger, "nobody")


def log_of(tmp_path, **settings):
    return AuditLog(tmp_path / "log", KEY, origin="tidegate/test", **settings)


def test_the_ledgers_entries_are_copied_signed_anchored_and_verified(office, tmp_path):
    with log_of(tmp_path) as log:
        follower = Follower(log, [FileAnchor(tmp_path / "anchor")])
        first = follower.follow(office.ledger, now=True)
        office.wait(Plan((Step(change(9), "conditional"),)))
        second = follower.follow(office.ledger, now=True)
        assert second.copied > 0 and second.anchored == first.copied + second.copied == office.ledger.head()[0]
        assert follower.follow(office.ledger, now=True).copied == 0
        key = log.key
    done = run("verify", "--log", tmp_path / "log", "--anchor", tmp_path / "anchor", "--key", key.text, "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["anchors"] == 2


def test_a_log_is_followed_on_after_a_restart_of_either(office, tmp_path):
    with log_of(tmp_path) as log:
        Follower(log).follow(office.ledger)
    office.wait(Plan((Step(change(9), "conditional"),)))
    with log_of(tmp_path) as log:
        Follower(log).follow(office.ledger)
        assert log.head.size == office.ledger.head()[0]
    assert verify_place(tmp_path / "log", log.key)[0].ok


def test_a_ledger_that_was_restored_from_a_backup_is_found_by_its_log(office, tmp_path):
    older, other = Office(tmp_path / "older"), Office(tmp_path / "other", value=99)
    for n in range(9):
        other.wait(Plan((Step(change(100 + n), "conditional"),)))
    with log_of(tmp_path) as log:
        follower = Follower(log)
        follower.follow(office.ledger)
        for ledger in (older.ledger, other.ledger):
            with pytest.raises(AuditLogError) as found:
                follower.follow(ledger)
            assert found.value.code == "LEDGER_WENT_BACK"


def test_entries_that_do_not_follow_are_not_taken(office, tmp_path):
    rows = office.ledger.leaves(0, 9)
    with log_of(tmp_path) as log:
        for wrong in ([rows[1].leaf], [rows[0].leaf, rows[0].leaf], [rows[0].leaf, rows[2].leaf], [b"noise"]):
            with pytest.raises(AuditInvalid):
                log.take(wrong)
        assert log.head.size == 0
        log.take([row.leaf for row in rows])
        assert log.head.size == len(rows)


def test_checkpoints_are_commits_of_a_repository(office, tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path / "repo")], check=True)
    with log_of(tmp_path) as log:
        follower = Follower(log, [GitAnchor(tmp_path / "repo")])
        assert follower.follow(office.ledger, now=True).failed == {}
        office.wait(Plan((Step(change(9), "conditional"),)))
        follower.follow(office.ledger, now=True)
    said = subprocess.run(["git", "-C", str(tmp_path / "repo"), "log", "--format=%s"], capture_output=True, text=True)
    assert len(said.stdout.splitlines()) == 2 and "Checkpoint of tidegate/test over" in said.stdout
    done = run("verify", "--log", tmp_path / "log", "--anchor", tmp_path / "repo/checkpoints.txt", "--json")
    assert done.exit_code == 0


def test_an_anchor_that_is_away_is_told_of_and_gets_the_next_checkpoint(office, tmp_path):
    away = FileAnchor(tmp_path / "share" / "anchor")
    with log_of(tmp_path) as log:
        follower = Follower(log, [away, FileAnchor(tmp_path / "here")])
        found = follower.follow(office.ledger, now=True)
        assert found.failed.keys() == {away.name} and found.anchored == 0
        (tmp_path / "share").mkdir()
        found = follower.follow(office.ledger, now=True)
        assert found.failed == {} and found.anchored == log.head.size


def test_no_repository_is_a_failure_of_the_anchor(tmp_path, office):
    (tmp_path / "plain").mkdir()
    with log_of(tmp_path) as log:
        failed = Follower(log, [GitAnchor(tmp_path / "plain")]).follow(office.ledger, now=True).failed
    assert "cannot be committed" in failed[f"git:{tmp_path / 'plain'}"]


def run(*words):
    return CliRunner().invoke(app, ["audit", *map(str, words)])


def test_following_and_putting_together_are_commands(office, tmp_path):
    (tmp_path / "key.pem").write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    office.ledger.close()
    words = ("follow", "--ledger", tmp_path / "ledger", "--log", tmp_path / "log", "--key-file", tmp_path / "key.pem")
    done = run(*words, "--anchor-file", tmp_path / "anchor", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["anchored"] == json.loads(done.stdout)["entries"] > 0
    assert run(*words, "--anchor-file", tmp_path / "none" / "anchor").exit_code == 4
    assert run("verify", "--log", tmp_path / "log").exit_code == 0
    found = run("reconstruct", office.id, "--ledger", tmp_path / "ledger", "--json")
    assert found.exit_code == 0 and json.loads(found.stdout)["faults"] == []
    SqliteLedger(tmp_path / "new", Sealer("x")).close()
    assert run(*words[:2], tmp_path / "new", *words[3:]).exit_code == 2
    for wrong in (
        ("follow", "--ledger", tmp_path / "nothing", *words[3:]),
        ("reconstruct", "x", "--ledger", tmp_path / "no"),
    ):
        assert run(*wrong).exception.code == "AUDIT_LOG_UNUSABLE"


def test_no_secret_of_a_body_is_in_the_log(office, tmp_path):
    with log_of(tmp_path) as log:
        Follower(log).follow(office.ledger)
    text = (tmp_path / "log" / "entries.jsonl").read_bytes()
    for secret in (ADA, GRACE, "deploy", b64encode(b"rows").decode(), "replicas", "confidence_low"):
        assert secret.encode() not in text
