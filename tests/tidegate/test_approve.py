"""People approve over HTTP: one change, signed by people who may; every road ends at the same check."""

import hashlib
import hmac
import json
import random
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.passkey import authenticator
from support.tokens import ISSUER, token, verifier

from actions import (
    ApprovalsError,
    PersonRecord,
    Sealer,
    approval_ids,
    asked_again,
    at_execution,
    faults_of,
    hear,
    hearing,
    invite,
    inviting,
    load_docket,
    overridden,
    parse_entry,
    seal,
    sign_override,
)
from actions._docket import MOST_CHALLENGES
from actions._ledger import NonceIssue, Priority
from actions._saga import Plan, Step
from bench._approval_office import ADA, EDSGER, GRACE, PROPOSER, Office, change, dry_run_of
from bench._forgery import KEYS, NOW_S, WAYS
from bench._forgery_http import accepted, control
from schemas import Approval
from tidegate._approve_openapi import openapi
from tidegate._chat_signatures import SignedCalls
from tidegate._people_file import PeopleFile, known_head

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def office(tmp_path):
    return Office(tmp_path / "ledger")


def path(office, rest=""):
    return f"/v1/approvals/{office.id}{rest}"


def test_two_people_who_sign_what_they_are_shown_move_the_action_on(office):
    assert office.vote(office.sign(ADA)) == "ACCEPTED" and office.state() == "awaiting_approval"
    assert office.vote(office.sign(GRACE)) == "ACCEPTED"
    assert office.told == [(office.id, "approved")] and office.state() == "approved"


def test_one_rejection_ends_it(office):
    office.vote(office.sign(ADA))
    assert office.vote(office.sign(GRACE, "reject")) == "VETOED"
    assert office.state() == "rejected" and office.vote(b"{}") == "NOT_WAITING"


def test_what_is_shown_is_what_the_digests_are_made_of(office):
    _, shown = office.call("GET", path(office))
    assert faults_of(shown["ask"], shown["shown"]) == []


SWAPPED = {
    "another diff": lambda s: s["shown"].update(diff=s["shown"]["diff"].replace("5", "500")),
    "another change": lambda s: s["shown"]["changes"][0]["parameters"].update(replicas=500),
    "another target in the diff": lambda s: s["shown"].update(diff=s["shown"]["diff"].replace("checkout", "cart")),
    "another plan": lambda s: s["shown"]["plan"][1].reverse(),
    "no diff": lambda s: s["shown"].pop("diff"),
    "another action digest": lambda s: s["ask"].update(action_digest="sha256:" + "0" * 64),
    "steps of another plan": lambda s: s["shown"]["plan"][0][0].reverse(),
}


@pytest.mark.parametrize("what", SWAPPED)
def test_a_server_that_shows_one_thing_and_asks_for_another_is_found_out(office, what):
    _, shown = office.call("GET", path(office))
    SWAPPED[what](shown)
    assert faults_of(shown["ask"], shown["shown"])


def test_a_restart_forgets_nothing(office):
    envelope = office.sign(ADA)
    office.vote(envelope)
    office.open_again()
    assert office.vote(envelope) == "NONCE_USED" and office.people() == [ADA]
    office.vote(office.sign(GRACE))
    assert office.state() == "approved"


def test_a_decision_whose_news_was_lost_is_passed_on_after_a_restart(office):
    import asyncio

    async def lost(key, decided):
        raise ConnectionError("killed here")

    office.desk._tell = lost
    office.vote(office.sign(ADA))
    with pytest.raises(ConnectionError):
        office.vote(office.sign(GRACE))
    office.open_again()
    asyncio.run(office.desk.resume())
    assert office.state() == "approved"


def test_the_same_envelope_at_once_counts_once(office):
    import asyncio

    envelope = office.sign(ADA)

    async def together():
        return await asyncio.gather(*(office.desk.vote(office.id, envelope) for _ in range(5)))

    reasons = [heard.verdict.reason for heard in asyncio.run(together())]
    assert sorted(reasons) == ["ACCEPTED", *["NONCE_USED"] * 4]


def test_a_nonce_that_was_not_given_out_durably_is_unknown_to_the_ledger(office):
    first = office.sign(ADA)
    nonces = {nonce for nonce, _, _ in office.ledger.contents().nonces}
    office.vote(first)
    assert {(n, used) for n, _, used in office.ledger.contents().nonces} == {(n, True) for n in nonces}


def test_every_approval_that_came_is_in_the_audit_log_with_person_key_and_envelope(office):
    for envelope in (office.sign(ADA), office.sign(PROPOSER), b"noise"):
        office.vote(envelope)
    said = [json.loads(body) for body in office.desk.docket(office.id).said]
    assert [one["reason"] for one in said] == [f"APPROVAL:{r}" for r in ("ACCEPTED", "SELF_APPROVAL", "MALFORMED")]
    entries = [parse_entry(row.leaf, row.number) for row in office.ledger.leaves(0, 99)]
    digests = ["sha256:" + hashlib.sha256(body).hexdigest() for body in office.desk.docket(office.id).said]
    assert [one.body_digest.decode() for one in entries[-3:]] == digests
    assert said[0]["approval"]["person"] == ADA and said[0]["approval"]["ring"] == office.ring.version


def test_noise_does_not_fill_the_audit_log(office):
    for _ in range(MOST_CHALLENGES + 20):
        office.vote(b"noise")
    assert office.ledger.head()[0] < MOST_CHALLENGES + 10
    assert office.vote(office.sign(ADA)) == "ACCEPTED"


def test_challenges_are_bounded(office):
    for _ in range(MOST_CHALLENGES):
        office.sign(ADA)
    body = {"person": ADA, "role": "senior", "kid": ADA, "decision": "approve"}
    assert office.call("POST", path(office, "/challenges"), body)[1]["error"]["code"] == "NOT_INVITED"


def test_at_execution_everything_is_looked_at_again(office):
    office.vote(office.sign(ADA))
    office.vote(office.sign(GRACE))
    docket = office.desk.docket(office.id)
    now = {"now_s": office.now_s, "audited_s": NOW_S}
    found = at_execution(docket, docket.ask, office.ring, **now)
    assert found.state == "approved" and len(set(approval_ids(docket, found))) == 2
    changed = office.ask(office.plan, office.id, target_version="18")
    assert at_execution(docket, changed, office.ring, **now).state == "waiting"
    office.ring = office.ring.revoke(GRACE, NOW_S)
    assert at_execution(docket, docket.ask, office.ring, **now).missing == ("anyone",)


def test_other_parameters_are_another_action_and_who_chose_them_does_not_approve_them(office):
    body, envelope = {"parameters": {"replicas": 9}}, office.sign(GRACE)
    office.open_again(oidc=verifier())
    office.ring = office.ring.with_roles(f"{ISSUER}#ada", frozenset({"senior"}))
    status, answer = office.call("POST", path(office, "/parameters"), body, authorization=f"Bearer {token()}")
    assert status == 201 and answer["id"] != office.id
    old, new = office.desk.docket(office.id), office.desk.docket(answer["id"])
    assert new.ask.plan_digest != old.ask.plan_digest and f"{ISSUER}#ada" in new.ask.barred
    assert office.state() == "rejected"
    office.open_again()
    office.id = answer["id"]
    assert office.vote(envelope) == "OTHER_ACTION" and office.people() == []


def other_parameters(office, envelope, wanted, signed=None, by=ADA):
    signature = sign_override(envelope, signed or wanted, KEYS[by])
    body = {
        "parameters": wanted, "rejection": b64encode(envelope).decode(), "signature": b64encode(signature).decode(),
    }  # fmt: skip
    return office.call("POST", path(office, "/parameters"), body)


def test_a_persons_own_key_puts_other_parameters_in_the_place_of_what_waits(office):
    status, answer = other_parameters(office, office.sign(ADA, "reject"), {"replicas": 9})
    assert (status, answer["reason"], office.state()) == (201, "VETOED", "rejected")
    office.id = answer["id"]
    assert office.vote(office.sign(ADA)) == "SELF_APPROVAL" and office.vote(office.sign(GRACE)) == "ACCEPTED"


@pytest.mark.parametrize("how", ["changed on the way", "signed by another", "an approval", "without the role"])
def test_parameters_that_nobody_signed_change_nothing(office, how):
    office.ring = office.ring.with_roles(ADA, frozenset({"viewer"} if how == "without the role" else {"senior"}))
    envelope = office.sign(ADA, "approve" if how == "an approval" else "reject")
    signed, by = {"replicas": 5 if how == "changed on the way" else 9}, GRACE if how == "signed by another" else ADA
    status, answer = other_parameters(office, envelope, {"replicas": 9}, signed, by)
    assert status >= 400 and office.state() == "awaiting_approval", answer


def test_who_is_logged_in_without_a_role_changes_no_parameters(office):
    office.open_again(oidc=verifier())
    told = {"authorization": f"Bearer {token()}"}
    status, answer = office.call("POST", path(office, "/parameters"), {"parameters": {"replicas": 9}}, **told)
    assert (status, answer["error"]["code"], office.state()) == (403, "NOBODY", "awaiting_approval")


def test_a_passkey_signs_over_http(office):
    office.ring = office.ring.enrol(authenticator().enrolled("ada-pass", ADA, NOW_S))
    body = {"person": ADA, "role": "senior", "kid": "ada-pass", "decision": "approve"}
    _, asked = office.call("POST", path(office, "/challenges"), body)
    assert asked["passkey"]["rp_id"] == "shop.example" and asked["passkey"]["user_verification"] == "required"
    envelope = authenticator().assert_over(Approval.model_validate(asked["approval"]))
    assert office.vote(envelope) == "ACCEPTED"


REFUSED = {
    "an unknown action": ("GET", "/v1/approvals/nobody", None, 404, "NOT_ASKED"),
    "an unknown key": ("POST", "/challenges", {"person": ADA, "role": "senior", "kid": "x", "decision": "approve"}, 422,
                       "KEY_UNKNOWN"),
    "somebody else's key": ("POST", "/challenges", {"person": ADA, "role": "r", "kid": GRACE, "decision": "approve"},
                            422, "KEY_UNKNOWN"),
    "no decision": ("POST", "/challenges", {"person": ADA, "role": "senior", "kid": ADA, "decision": "maybe"}, 422,
                    "NOT_INVITED"),
    "another field": ("POST", "/challenges", {"person": ADA, "kid": ADA, "decision": "approve", "x": "y"}, 400,
                      "BODY_INVALID"),
    "a number": ("POST", "/challenges", {"person": 1, "role": "", "kid": ADA, "decision": "approve"}, 400,
                 "BODY_INVALID"),
    "no JSON": ("POST", "/challenges", b"{", 400, "BODY_INVALID"),
    "deep JSON": ("POST", "/challenges", b"[" * 60_000, 400, "BODY_INVALID"),
    "too much": ("POST", "/votes", b"x" * 70_000, 413, "BODY_INVALID"),
    "a click without a token": ("POST", "/clicks", {"decision": "approve"}, 401, "TOKEN_INVALID"),
    "chat that is not set up": ("POST", "/v1/chat/slack", b"payload={}", 404, "NO_BRIDGE"),
    "a system that is not set up": ("POST", "/v1/systems/itsm", {}, 404, "NO_BRIDGE"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_taken_is_refused_with_a_code(office, what):
    method, rest, body, status, code = REFUSED[what]
    found, answer = office.call(method, rest if rest.startswith("/v1") else path(office, rest), body)
    assert (found, answer["error"]["code"]) == (status, code)


def test_a_page_that_gives_us_its_own_name_reaches_nothing(office):
    assert office.call("GET", "/v1/approvals", host="evil.example")[0] == 421
    assert office.call("GET", "/v1/approvals", host="localhost:8080")[0] == 200


def test_a_click_counts_only_where_the_lowest_grade_is_enough(tmp_path):
    for grade, reason in (("A", "GRADE_TOO_LOW"), ("C", "ACCEPTED")):
        office = Office(tmp_path / grade, grade=grade)
        calls = SignedCalls("secret-of-itsm-01")
        office.open_again(systems={"itsm": calls})
        body = json.dumps({"action_id": office.id, "person": ADA, "decision": "approve"}).encode()
        headers = {"x_tidegate_timestamp": str(NOW_S), "x_tidegate_signature": calls.sign(str(NOW_S), body)}
        _, answer = office.call("POST", "/v1/systems/itsm", body, **headers)
        assert answer["reason"] == reason


def slack(office, user="U1", decision="approve", at_s=NOW_S, secret="slack-secret-0001", **edits):
    value = f"{decision} {office.id} senior"
    body = urlencode({"payload": json.dumps({"user": {"id": user}, "actions": [{"value": value}]})}).encode()
    base = b"v0:" + str(at_s).encode() + b":" + body
    signature = "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    headers = {"x_slack_request_timestamp": str(at_s), "x_slack_signature": signature} | edits
    status, answer = office.call("POST", "/v1/chat/slack", body, **headers)
    return answer["reason"] if status in (200, 403) and "reason" in answer else answer["error"]["code"]


@pytest.fixture
def chatting(tmp_path):
    office = Office(tmp_path / "ledger", grade="C")
    office.open_again(chat=SignedCalls("slack-secret-0001"))
    return office


def test_buttons_of_two_people_in_chat_are_a_quorum_of_the_lowest_grade(chatting):
    assert [slack(chatting), slack(chatting, "U2")] == ["ACCEPTED", "ACCEPTED"]
    assert chatting.state() == "approved"


def test_a_call_that_is_forged_old_replayed_or_of_a_stranger_counts_for_nothing(chatting):
    assert slack(chatting, secret="another-secret-01") == "CALL_INVALID"
    assert slack(chatting, at_s=NOW_S - 301) == slack(chatting, at_s=NOW_S + 301) == "CALL_OLD"
    assert slack(chatting, x_slack_request_timestamp="now") == "CALL_INVALID"
    assert slack(chatting, "U9") == slack(chatting, "U3") == "NOBODY"
    assert chatting.people() == []
    assert [slack(chatting), slack(chatting)] == ["ACCEPTED", "CALL_REPLAYED"]
    assert slack(chatting, at_s=NOW_S + 1) == "DUPLICATE_PERSON" and chatting.people() == [ADA]


def test_who_is_logged_in_may_click_and_counts_as_the_person_of_the_token(tmp_path):
    office = Office(tmp_path / "ledger", grade="C")
    office.ring = office.ring.revoke("bridge", NOW_S)
    person = f"{ISSUER}#ada"
    key = KEYS[EDSGER]
    from actions import EnrolledKey, KeyRing

    public = key.public_key().public_bytes_raw()
    bridge = EnrolledKey("bridge", "bridge", public, "C", 0, speaks_for=frozenset({person}))
    office.ring = KeyRing().enrol(bridge).with_roles(person, frozenset({"senior"}))
    office.open_again(oidc=verifier())
    office.desk._bridges["console"] = office.desk._bridges["console"]._replace(key=key)
    click = lambda token: office.call("POST", path(office, "/clicks"), {"decision": "approve"}, authorization=token)
    assert click(f"Bearer {token()}")[1]["reason"] == "ACCEPTED" and office.people() == [person]
    assert click(f"Bearer {token(sub='stranger')}")[1]["error"]["code"] == "NOBODY"
    assert click("Basic abc")[0] == click("Bearer ")[0] == click("Bearer x.y.z")[0] == 401
    assert office.call("GET", "/v1/approvals")[0] == office.call("GET", "/v1/pages")[0] == 401
    assert office.call("POST", "/v1/pages/n1/acknowledgements", {"person": "ada"})[0] == 401
    assert office.call("GET", "/v1/approvals", authorization=f"Bearer {token()}")[0] == 200


def test_the_description_of_the_interface_is_the_committed_one():
    assert json.loads((ROOT / "docs/approvals.openapi.json").read_text()) == openapi()


def test_every_reference_of_the_description_leads_somewhere():
    document = openapi()
    text = json.dumps(document)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= document["components"]["schemas"].keys()
    assert "$defs" not in text


def test_a_docket_survives_being_written_down(office):
    from actions import dump_docket

    office.vote(office.sign(ADA))
    docket = office.desk.docket(office.id)
    assert load_docket(dump_docket(docket)) == docket
    assert dry_run_of(office.plan.steps[0].change).digest == docket.ask.dryrun_digest and Sealer


@pytest.mark.parametrize("way", WAYS)
def test_no_attempt_of_any_class_counts_over_http(way):
    rng = random.Random(way)
    assert sum(accepted(way, rng) for _ in range(12)) == 0


def test_right_approvals_count_over_http():
    assert all(control(random.Random(n)) for n in range(5))


def test_asked_again_after_the_target_changed_keeps_who_is_barred_and_what_was_used(office):
    office.vote(office.sign(ADA))
    docket = office.desk.docket(office.id)
    ask = office.ask(office.plan, office.id, target_version="18", barred=frozenset({GRACE}))
    again = asked_again(docket, ask, {"summary": "new"})
    assert again.ask.barred == {GRACE, PROPOSER, "agent#1"} and again.panel == docket.panel
    assert again.shown == {"summary": "new"} and again.ask.target_version == "18"
    with pytest.raises(ApprovalsError):
        asked_again(docket, office.ask(office.plan, "another"), {})
    assert overridden(ask, ADA).barred == {GRACE, ADA}


def test_an_invitation_is_to_approve_unless_it_says_otherwise(office):
    docket = office.desk.docket(office.id)
    after, approval = invite(docket, ADA, "senior", ADA, "ab" * 16, NOW_S)
    assert approval.decision == "approve" and after.panel.issued == {"ab" * 16}
    assert invite(docket, ADA, "senior", ADA, "ab" * 16, NOW_S, "reject")[1].decision == "reject"
    with pytest.raises(ApprovalsError):
        invite(after, ADA, "senior", ADA, "ab" * 16, NOW_S)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"ask":{}}', b"noise"])
def test_bytes_that_are_no_docket_are_an_error(data):
    with pytest.raises(ApprovalsError):
        load_docket(data)


def test_a_plan_of_two_steps_is_approved_as_one(tmp_path):
    office = Office(tmp_path / "ledger")
    plan = Plan((Step(change(7), "conditional"), Step(change(8), "conditional")))
    id = office.wait(plan)
    office.id = id
    _, shown = office.call("GET", path(office))
    assert faults_of(shown["ask"], shown["shown"]) == [] and len(shown["shown"]["changes"]) == 2
    shown["shown"]["changes"].reverse()
    assert faults_of(shown["ask"], shown["shown"])


def test_the_transactions_of_the_desk_go_with_approvals_and_last_as_long_as_the_nonce(office):
    docket = office.desk.docket(office.id)
    after, approval = invite(docket, ADA, "senior", ADA, "ab" * 16, NOW_S)
    tx = inviting(after, approval, 5)
    assert (tx.at_ns, tx.priority, tx.leaves) == (5, Priority.APPROVAL, ())
    assert tx.issued_nonces == (NonceIssue("ab" * 16, (NOW_S + 900) * 10**9),)
    heard, verdict, _ = hear(after, seal(approval, KEYS[ADA]), office.ring, now_s=NOW_S, audited_s=NOW_S)
    tx = hearing(after, heard, verdict, 4, 6)
    told = json.loads(tx.leaves[0])
    assert (tx.at_ns, tx.priority, tx.used_nonces, len(tx.leaves)) == (6, Priority.APPROVAL, ("ab" * 16,), 1)
    assert (told["from"], told["to"], told["version"], told["plan"]) == (
        "awaiting_approval", "awaiting_approval", 4, docket.ask.plan_digest)  # fmt: skip
    assert told["approval"] | {} == {
        "person": ADA, "kid": ADA, "ring": office.ring.version, "nonce": "ab" * 16, "policy": docket.ask.policy_digest,
        "envelope": heard.panel.spent["ab" * 16],
    }  # fmt: skip


def test_a_list_of_people_that_was_cut_back_is_found_after_a_restart_too(office, tmp_path):
    root = Ed25519PrivateKey.from_private_bytes(bytes([200]) * 32)
    roots = {"root": root.public_key().public_bytes_raw()}
    file = tmp_path / "people.jsonl"
    opened = lambda: PeopleFile(file, roots, "shop-prod", lambda: known_head(office.ledger))
    people = opened()
    for person in (ADA, GRACE):
        key = KEYS[person].public_key().public_bytes_raw()
        people.append(PersonRecord("enrol", NOW_S - 9, person, person, key, "A"), "root", root)
        people.append(PersonRecord("roles", NOW_S - 9, person, roles=("senior",)), "root", root)
    office.current = people.ring
    office.open_again()
    office.desk._head = lambda: people.head
    assert office.vote(office.sign(ADA)) == "ACCEPTED" and known_head(office.ledger) == people.head
    people.append(PersonRecord("revoke", NOW_S, kid=ADA), "root", root)
    assert office.vote(office.sign(GRACE)) == "ACCEPTED" and office.people() == [GRACE]
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(ApprovalsError, match="cut off"):
        opened().ring()
