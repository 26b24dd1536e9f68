"""`tidegate approve`, `reject`, `waiting` and `people`: typed as a person would, over real HTTP."""

import asyncio
import json
import threading
import time
from base64 import b64encode
from pathlib import Path

import pytest
import uvicorn
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.passkey import ORIGIN, RP, authenticator
from typer.testing import CliRunner

from actions import ApprovalsError, Notice
from actions._acknowledge import opened
from actions._ledger import Transaction
from bench._approval_office import ADA, GRACE, Office
from bench._forgery import KEYS, NOW_S
from schemas.core import NS
from tidegate._approve_settings import Approvals, read_key
from tidegate._errors import ApproveError, SettingsError
from tidegate._people_file import PeopleFile
from tidegate._settings import Settings
from tidegate.cli import app


def run(*words, typed=""):
    return CliRunner().invoke(app, [*map(str, words)], input=typed)


def document(done):
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def office():
    """An action that waits, and its interface on a port of this machine."""
    made = Office()
    config = uvicorn.Config(made.app, "127.0.0.1", 0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    made.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield made
    server.should_exit = True
    thread.join()


def settings_of(tmp_path, office, person, **rest):
    key = tmp_path / f"{person[-3:]}.pem"
    key.write_bytes(KEYS[person].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    me = {"person": person, "kid": person, "role": "senior", "key_file": str(key)}
    file = tmp_path / f"{person[-3:]}.yaml"
    file.write_text(yaml.safe_dump({"approvals": {"deployment": "shop-prod", "url": office.url, "me": me, **rest}}))
    return file


def test_two_people_approve_on_their_terminals(tmp_path, office):
    first = run("approve", office.id, "--settings", settings_of(tmp_path, office, ADA), typed="y\n")
    assert first.exit_code == 0 and '"replicas"' in first.stderr and "kubernetes.scale" in first.stderr
    done = run("approve", office.id, "--settings", settings_of(tmp_path, office, GRACE), "--yes", "--json")
    assert document(done)["standing"]["state"] == "approved" and office.state() == "approved"


def test_who_does_not_confirm_signs_nothing(tmp_path, office):
    done = run("approve", office.id, "--settings", settings_of(tmp_path, office, ADA), typed="n\n")
    assert done.exit_code == 4 and office.people() == []
    unasked = run("approve", office.id, "--settings", settings_of(tmp_path, office, ADA), "--json")
    assert "nobody is asked" in str(unasked.exception) and office.people() == []


def test_a_rejection_is_typed_the_same_way(tmp_path, office):
    assert run("reject", office.id, "--settings", settings_of(tmp_path, office, ADA), "--yes").exit_code == 0
    assert office.state() == "rejected"


def test_an_approval_that_is_not_taken_is_exit_code_four(tmp_path, office):
    office.ring = office.ring.with_roles(ADA, frozenset({"viewer"}))
    done = run("approve", office.id, "--settings", settings_of(tmp_path, office, ADA), "--yes", "--json")
    assert done.exit_code == 4 and document(done)["reason"] == "ROLE_MISSING"


def test_other_parameters_are_proposed_with_ones_own_key_for_others_to_approve(tmp_path, office):
    told = ["--settings", settings_of(tmp_path, office, ADA), "--yes", "--json"]
    done = run("approve", office.id, "--set", "replicas=9", *told)
    new = document(done)["id"]
    assert done.exit_code == 0 and new != office.id and office.state() == "rejected"
    assert json.loads(office.desk.docket(new).shown["diff"]) and '{"replicas": 9}' in done.stderr
    again = run("approve", new, *told)
    assert again.exit_code == 4 and document(again)["reason"] == "SELF_APPROVAL"
    unsaid = run("approve", new, "--set", "replicas", *told)
    assert isinstance(unsaid.exception, SettingsError)


def test_what_waits_is_listed(tmp_path, office):
    rows = document(run("waiting", "--to", office.url, "--json"))["approvals"]
    assert [row["id"] for row in rows] == [office.id] and rows[0]["standing"]["missing"] == ["anyone", "anyone"]
    assert office.id in run("waiting", "--to", office.url).stdout


def test_a_page_is_listed_until_somebody_takes_it(office):
    page = Notice("n1", "page", "g", "checkout fails since 12:20", "", NOW_S * NS)
    keeps, timers = opened([page], NOW_S * NS, 900 * NS)
    asyncio.run(office.desk._commit(Transaction(NOW_S * NS, keeps=keeps, timers=timers)))
    assert document(run("waiting", "--to", office.url, "--json"))["pages"][0]["id"] == "n1"
    assert "checkout fails since 12:20" in run("waiting", "--to", office.url).stdout
    taken = run("acknowledge", "n1", "--to", office.url, "--person", "ada")
    assert taken.stdout == "n1 is taken by ada\n"
    assert document(run("waiting", "--to", office.url, "--json"))["pages"] == []
    assert run("acknowledge", "n1", "--to", office.url).exception.code == "NO_PAGE"


LIES = {
    "a diff": lambda d: d.shown.update(diff=d.shown["diff"].replace("5", "6")),
    "a change": lambda d: d.shown["changes"][0]["parameters"].update(replicas=1),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_service_that_shows_something_else_gets_no_signature(tmp_path, office, lie):
    docket = office.desk.docket(office.id)
    LIES[lie](docket)
    office.desk.docket = lambda id: docket
    done = run("approve", office.id, "--settings", settings_of(tmp_path, office, ADA), "--yes")
    assert done.exception.code == "SHOWN_DIFFERS" and office.people() == []


@pytest.mark.parametrize("field", ["plan_digest", "decision", "expires_s", "approver", "role", "target_version"])
def test_a_challenge_for_something_else_gets_no_signature(tmp_path, office, field):
    right = office.desk.challenge

    async def wrong(*words):
        approval = await right(*words)
        now = getattr(approval, field)
        other = {"plan_digest": "sha256:" + "0" * 64, "decision": "reject", "expires_s": 2**40}.get(field, f"{now}x")
        return approval.model_copy(update={field: other})

    office.desk.challenge = wrong
    done = run("approve", office.id, "--settings", settings_of(tmp_path, office, ADA), "--yes")
    assert done.exception.code == "SHOWN_DIFFERS" and office.people() == []


def test_an_approval_for_another_deployment_is_not_signed(tmp_path, office):
    done = run("approve", office.id, "--settings", settings_of(tmp_path, office, ADA, deployment="test"), "--yes")
    assert done.exception.code == "WRONG_AUDIENCE"


def test_refusals_of_the_service_and_its_silence_have_codes(tmp_path, office):
    file = settings_of(tmp_path, office, ADA)
    assert run("approve", "nobody", "--settings", file, "--yes").exception.code == "NOT_ASKED"
    assert run("approve", "x", "--settings", file, "--to", "http://127.0.0.1:1").exception.code == "NO_ANSWER"
    assert run("waiting", "--to", "ftp://x").exception.code == "NOT_APPROVED"
    assert run("approve", "x").exception.code == "SETTINGS_INVALID"


def listed(tmp_path):
    """A root key and settings with a list that does not exist yet."""
    lock = tmp_path / "passphrase"
    lock.write_text("correct horse\n")
    root = document(run("people", "keygen", tmp_path / "root.pem", "--passphrase-file", lock, "--json"))["public"]
    file = tmp_path / "tidegate.yaml"
    people = {"deployment": "shop", "people": str(tmp_path / "people.jsonl"), "roots": {"root": root}}
    file.write_text(yaml.safe_dump({"approvals": people}))
    return file, ("--settings", file, "--root", "root", "--root-key", tmp_path / "root.pem", "--passphrase-file", lock)


def public(key):
    return b64encode(key.public_key().public_bytes_raw()).decode()


def test_people_are_enrolled_given_roles_and_revoked(tmp_path):
    file, root = listed(tmp_path)
    enroll = ("people", "enroll", *root)
    done = run(*enroll, "--person", ADA, "--kid", "ada-1", "--public", public(KEYS[ADA]), "--role", "senior", "--json")
    assert document(done)["version"] == 2
    passkey = b64encode(authenticator().public).decode()
    words = ("--grade", "B", "--public", passkey, "--rp-id", RP, "--origin", ORIGIN)
    assert run(*enroll, "--person", GRACE, "--kid", "grace-pass", *words).exit_code == 0
    assert run("people", "roles", GRACE, "--role", "service-owner", *root).exit_code == 0
    assert run("people", "revoke", "ada-1", *root).exit_code == 0
    found = document(run("people", "list", "--settings", file, "--json"))
    assert found["version"] == 5
    assert [(row["kid"], row["grade"], row["revoked_s"] is None) for row in found["keys"]] == [
        ("ada-1", "A", False), ("grace-pass", "B", True)]  # fmt: skip
    assert "grace-pass" in run("people", "list", "--settings", file).stdout


WRONG = {
    "a key that is no root": (("--root", "other"), "OTHER_ROOT"),
    "no base64": (("--public", "!!"), "NOT_APPROVED"),
    "no grade": (("--grade", "Z"), "NOT_APPROVED"),
    "a short key": (("--public", "AAAA"), "APPROVALS_INVALID"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_enrolment_changes_nothing(tmp_path, what):
    _, root = listed(tmp_path)
    words, code = WRONG[what]
    done = run("people", "enroll", *root, "--person", ADA, "--kid", "k", "--public", public(KEYS[ADA]), *words)
    assert done.exception.code == code and not (tmp_path / "people.jsonl").exists()


def test_a_locked_key_needs_its_passphrase(tmp_path):
    file, root = listed(tmp_path)
    words = ("people", "enroll", *root[:-2], "--person", ADA, "--kid", "k", "--public", public(KEYS[ADA]))
    assert run(*words, typed="correct horse\n").exit_code == 0
    assert run(*words, typed="wrong\n").exception.code == "KEY_LOCKED"
    (tmp_path / "short").write_text("short")
    assert run("people", "keygen", tmp_path / "k.pem", "--passphrase-file", tmp_path / "short").exception
    assert run("people", "keygen", tmp_path / "root.pem", "--no-passphrase").exception.code == "SETTINGS_INVALID"
    assert (tmp_path / "root.pem").stat().st_mode & 0o77 == 0 and file.exists()


def test_a_list_that_is_cut_back_or_gone_is_nobody_until_it_is_right_again(tmp_path):
    file, root = listed(tmp_path)
    run("people", "enroll", *root, "--person", ADA, "--kid", "ada-1", "--public", public(KEYS[ADA]))
    read = Settings.read(file).approvals
    people = PeopleFile(read.people, read.root_keys(), read.deployment)
    assert people.ring().keys.keys() == {"ada-1"}
    run("people", "revoke", "ada-1", *root)
    whole = read.people.read_bytes()
    assert people.ring().keys["ada-1"].revoked_s and people.head.number == 2
    read.people.write_bytes(whole.splitlines(keepends=True)[0])
    with pytest.raises(ApprovalsError, match="cut off"):
        people.ring()
    with pytest.raises(ApprovalsError, match="cut off"):
        PeopleFile(read.people, read.root_keys(), read.deployment, lambda: people.head).ring()
    read.people.unlink()
    with pytest.raises(ApproveError, match="cannot be read"):
        people.ring()
    read.people.write_bytes(whole)
    assert people.ring().version == 2


def test_settings_make_the_doors(tmp_path):
    key = KEYS[ADA].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "bridge.pem").write_bytes(key)
    door = {"kid": "bridge", "key_file": str(tmp_path / "bridge.pem"), "secret": "sixteen-characters"}
    login = {"issuer": "https://id", "audience": "us", "keys_url": "https://id/keys"}
    made = Approvals.model_validate({"slack": door, "console": door, "systems": {"itsm": door}, "login": login})
    who = made.identity(lambda: NOW_S)
    assert made.bridges().keys() == {"slack", "console", "itsm"}
    assert who.oidc and who.chat and who.systems.keys() == {"itsm"} and who.now_s() == NOW_S
    assert Approvals().identity().oidc is None and Approvals().bridges() == {}
    with pytest.raises(SettingsError, match="no public key"):
        Approvals(roots={"root": "short"}).root_keys()
    with pytest.raises(SettingsError, match="fewer than 16"):
        Approvals.model_validate({"slack": {**door, "secret": None}}).identity()


def test_a_key_may_lie_below_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ada.pem").write_bytes(KEYS[ADA].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert public(read_key(Path("~/ada.pem"), b"", "your key")) == public(KEYS[ADA])
    (tmp_path / "noise.pem").write_bytes(b"noise")
    for name in ("noise.pem", "none.pem"):
        with pytest.raises(SettingsError, match="cannot be read"):
            read_key(tmp_path / name, b"", "your key")
