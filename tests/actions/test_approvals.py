"""Approvals: exactly one change, signed by different people who may, counted once, and checked again at execution."""

import base64
import json
import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from actions import ApprovalsError, Ask, EnrolledKey, Panel, issue_nonce, open_envelope, standing
from actions._dsse import strict_json
from bench._forgery import KEYS, NOW_S, PEOPLE, RING, WAYS, Scene, accepted, control
from schemas import canonical
from schemas.signatures import pae

ADA, GRACE, EDSGER, _, PROPOSER = PEOPLE


def scene(seed: int = 1) -> Scene:
    made = Scene(random.Random(seed))
    made.person = ADA
    return made


def now(s: Scene):
    return standing(s.panel, s.ask, s.ring, now_s=s.now_s, audited_s=NOW_S)


@pytest.mark.parametrize("way", WAYS)
def test_no_attempt_of_any_class_counts(way):
    rng = random.Random(way)
    assert sum(accepted(way, rng) for _ in range(200)) == 0


def test_right_approvals_of_two_people_do_count():
    rng = random.Random(5)
    assert all(control(rng) for _ in range(50))


FAULTS = {
    "another deployment": ({"aud": "shop-test"}, "WRONG_AUDIENCE"),
    "another action": ({"action_id": "action-x"}, "OTHER_ACTION"),
    "another digest": ({"plan_digest": "sha256:00"}, "OTHER_DIGEST"),
    "another target": ({"target_uid": "uid-2"}, "OTHER_TARGET"),
    "a target that changed since": ({"target_version": "7000"}, "OTHER_TARGET"),
    "an unknown key": ({"kid": "nobody"}, "KEY_UNKNOWN"),
    "a key of somebody else": ({"kid": GRACE}, "OTHER_PERSON"),
    "a time to come": ({"not_before_s": NOW_S + 1}, "NOT_YET_VALID"),
    "a time before its key": ({"issued_s": NOW_S - 90_000}, "NOT_YET_VALID"),
    "a time that is over": ({"expires_s": NOW_S}, "EXPIRED"),
    "a life too long": ({"expires_s": NOW_S + 901}, "LIVES_TOO_LONG"),
    "a nonce of its own": ({"nonce": "0" * 32}, "NONCE_UNKNOWN"),
    "a role that does not decide": ({"role": "viewer"}, "ROLE_MISSING"),
    "a role it has not": ({"role": "service-owner"}, "ROLE_MISSING"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_refusal_names_the_first_check_that_failed(fault):
    edits, reason = FAULTS[fault]
    s = scene()
    s.person = EDSGER
    assert s.cast(s.sign(**edits)) == reason and s.panel.votes == ()


def test_a_role_that_a_person_has_but_that_may_not_decide_does_not():
    s = scene()
    s.ring = s.ring.with_roles(ADA, frozenset({"viewer"}))
    assert s.cast(s.sign(role="viewer")) == "ROLE_MISSING"


def test_a_key_id_beside_the_payload_that_is_another_is_refused():
    s = scene()
    outer = json.loads(s.sign(ADA))
    outer["signatures"][0]["keyid"] = GRACE
    assert s.cast(canonical(outer)) == "MALFORMED"


def test_base64_with_spare_bits_set_is_refused():
    s = scene()
    outer = json.loads(s.sign(ADA))
    assert outer["signatures"][0]["sig"].endswith("==")
    sig = outer["signatures"][0]["sig"]
    outer["signatures"][0]["sig"] = sig[:-3] + chr(ord(sig[-3]) + 1) + "=="
    assert s.cast(canonical(outer)) in ("MALFORMED", "BAD_SIGNATURE")


def test_one_valid_rejection_is_a_veto_whatever_comes_after():
    s = scene()
    assert [s.cast(s.sign(GRACE)), s.cast(s.sign(ADA, decision="reject"))] == ["ACCEPTED", "VETOED"]
    s.cast(s.sign(EDSGER))
    assert now(s).state == "rejected"


def test_the_proposer_cannot_veto_either():
    s = scene()
    assert s.cast(s.sign(PROPOSER, decision="reject")) == "SELF_APPROVAL" and now(s).state == "waiting"


def test_a_quorum_that_needs_the_owner_waits_for_the_owner():
    s = scene()
    s.ask = replace(s.ask, required={"service-owner": 1})
    s.cast(s.sign(GRACE))
    s.cast(s.sign(EDSGER))
    assert now(s).missing == ("service-owner",)
    s.cast(s.sign(ADA, role="service-owner"))
    assert now(s).state == "approved"


def test_what_was_approved_is_not_when_a_key_is_revoked_before_it_is_done():
    s = scene()
    s.cast(s.sign(ADA))
    s.cast(s.sign(GRACE))
    assert now(s).state == "approved"
    s.ring = s.ring.revoke(GRACE, NOW_S + 5)
    assert (now(s).state, now(s).lost) == ("waiting", ((GRACE, "KEY_REVOKED"),))


def test_who_lost_an_approval_may_approve_again():
    s = scene()
    s.cast(s.sign(ADA))
    s.now_s += 900
    assert now(s).lost == ((ADA, "EXPIRED"),)
    assert s.cast(s.sign(ADA)) == "ACCEPTED" and now(s).people == (ADA,)


def test_a_nonce_is_spent_even_if_the_approval_does_not_count():
    s = scene()
    envelope = s.sign(PROPOSER)
    assert [s.cast(envelope), s.cast(envelope)] == ["SELF_APPROVAL", "NONCE_USED"]


def test_a_clock_turned_back_does_not_revive_what_has_expired():
    s = scene()
    s.cast(s.sign(ADA))
    assert standing(s.panel, s.ask, s.ring, now_s=NOW_S, audited_s=NOW_S + 900).lost == ((ADA, "EXPIRED"),)


def test_a_vote_smuggled_into_the_panel_does_not_count():
    s, forged = scene(), scene(2)
    forged.ask = s.ask
    forged.cast(forged.sign(ADA))
    s.panel = replace(s.panel, votes=forged.panel.votes * 2)
    assert now(s).people == () and {reason for _, reason in now(s).lost} == {"NONCE_USED"}


def test_two_votes_of_one_person_are_one_person_also_where_they_were_smuggled_in():
    s = scene()
    s.cast(s.sign(ADA))
    first, s.panel = s.panel.votes, replace(s.panel, votes=())
    assert s.cast(s.sign(ADA)) == "ACCEPTED"
    s.panel = replace(s.panel, votes=first + s.panel.votes)
    assert now(s).people == (ADA,) and now(s).lost == ((ADA, "DUPLICATE_PERSON"),)


def test_a_bridge_speaks_only_for_its_people_and_not_where_more_is_wanted():
    s, key = scene(), Ed25519PrivateKey.from_private_bytes(bytes([77]) * 32)
    bridge = EnrolledKey("chat", "chat", key.public_key().public_bytes_raw(), "C", 0, speaks_for=frozenset({ADA}))
    s.ring = s.ring.enrol(bridge)
    assert s.cast(s.sign(ADA, key=key, kid="chat")) == "GRADE_TOO_LOW"
    s.ask = replace(s.ask, grade="C")
    assert s.cast(s.sign(GRACE, key=key, kid="chat")) == "OTHER_PERSON"
    assert s.cast(s.sign(ADA, key=key, kid="chat")) == "ACCEPTED"
    assert s.cast(s.sign(ADA)) == "DUPLICATE_PERSON"


def test_a_signature_of_another_type_is_none():
    s = scene()
    outer = json.loads(s.sign(ADA))
    payload = base64.b64decode(outer["payload"])
    for covered in (payload, pae("application/vnd.tidegate.control+json", payload)):
        outer["signatures"][0]["sig"] = base64.b64encode(KEYS[ADA].sign(covered)).decode()
        assert s.cast(canonical(outer)) == "BAD_SIGNATURE"


def payload_as(edit) -> bytes:
    """An envelope whose payload text was edited and signed by the person, as a careless tool might."""
    s = scene()
    payload = edit(base64.b64decode(json.loads(s.sign(ADA))["payload"]))
    sig = KEYS[ADA].sign(pae("application/vnd.tidegate.approval+json", payload))
    return canonical({
        "payload": base64.b64encode(payload).decode(), "payloadType": "application/vnd.tidegate.approval+json",
        "signatures": [{"keyid": ADA, "sig": base64.b64encode(sig).decode()}],
    })  # fmt: skip


SPELLINGS = {
    "a key twice": lambda p: p.replace(b'{"', b'{"role":"viewer","', 1),
    "an unknown field": lambda p: p.replace(b'{"', b'{"a":1,"', 1),
    "a float": lambda p: p.replace(str(NOW_S).encode(), str(NOW_S).encode() + b".0"),
    "a number as text": lambda p: p.replace(f":{NOW_S},".encode(), f':"{NOW_S}",'.encode()),
    "a space": lambda p: p.replace(b":", b": ", 1),
    "text that is not composed": lambda p: p.replace(b"shop-prod", "shop-proe\u0301".encode()),
    "no type": lambda p: p.replace(b',"typ":"tidegate.approval/v1"', b""),
    "bytes that are no text": lambda p: p.replace(b"shop", b"\xff\xfe"),
    "NaN": lambda p: p.replace(str(NOW_S).encode(), b"NaN"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_two_programs_could_read_differently_is_refused_though_signed(spelling):
    s = scene()
    assert s.cast(payload_as(lambda p: p)) == "NONCE_UNKNOWN"  # as it is, it is read
    assert s.cast(payload_as(SPELLINGS[spelling])) in ("MALFORMED", "WRONG_TYPE")


def test_decomposed_text_is_refused_wherever_it_stands_and_composed_text_is_not():
    for value in ("e\u0301", ["a", "e\u0301"], {"e\u0301": 1}, {"a": {"b": ["e\u0301"]}}):
        with pytest.raises(ValueError, match="composed"):
            strict_json(canonical(value))
        with pytest.raises(ValueError, match="canonical"):
            strict_json(json.dumps(value, separators=(",", ":")).encode())
    assert strict_json(canonical({"\u00e9": ["\u00e9"]})) == {"\u00e9": ["\u00e9"]}


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda t: t.encode()))
def test_whatever_comes_is_refused_and_never_raises(data):
    s = scene()
    assert s.cast(data) in ("MALFORMED", "WRONG_TYPE") and s.panel == Panel()


def test_very_deep_or_long_input_is_refused():
    for data in (b"[" * 15_000, b"{" * 16_385, b'{"payload":' * 1000):
        assert open_envelope(data).code == "MALFORMED"


def test_an_ask_that_says_too_little_is_no_ask():
    good = scene().ask
    for edit in ({"barred": frozenset()}, {"roles": frozenset()}, {"quorum": 0}, {"lifetime_s": 901}, {"aud": ""}):
        with pytest.raises(ApprovalsError):
            Ask(**{name: getattr(good, name) for name in Ask.__slots__} | edit)


def test_a_key_belongs_to_one_person_once():
    old = RING.keys[ADA]
    for key in (old, replace(old, kid="new", person=GRACE), replace(old, kid="n", public=b"short")):
        with pytest.raises(ApprovalsError):
            RING.enrol(key)
    assert RING.revoke(ADA, NOW_S).version == RING.version + 1


def test_a_nonce_is_given_out_once():
    with pytest.raises(ApprovalsError):
        issue_nonce(issue_nonce(Panel(), "ab" * 16), "ab" * 16)
    with pytest.raises(ApprovalsError):
        issue_nonce(Panel(), "short")


def test_an_ask_may_go_to_its_bounds_and_not_beyond():
    good = {name: getattr(scene().ask, name) for name in Ask.__slots__}
    for edit in ({"quorum": 1}, {"quorum": 20}, {"lifetime_s": 1}, {"lifetime_s": 900}):
        Ask(**good | edit)
    for edit in ({"quorum": 21}, {"lifetime_s": 0}, {"action_id": ""}, {"target_uid": ""}, {"policy_digest": ""}):
        with pytest.raises(ApprovalsError):
            Ask(**good | edit)


def test_an_envelope_says_what_is_wrong_with_it():
    right = json.loads(scene().sign(ADA))
    inner = json.loads(base64.b64decode(right["payload"]))
    wrap = lambda payload: canonical(right | {"payload": base64.b64encode(canonical(payload)).decode()})
    assert open_envelope(canonical(right | {"payloadType": "application/json"})).code == "WRONG_TYPE"
    assert open_envelope(wrap(inner | {"typ": "tidegate.approval/v2"})).code == "WRONG_TYPE"
    for data in (
        wrap(inner | {"extra": 1}),
        wrap(inner | {"kid": "another"}),
        wrap([]),
        b"[]",
        canonical(right | {"x": 1}),
    ):
        assert open_envelope(data).code == "MALFORMED"
    assert open_envelope(canonical(right)).approval.approver == ADA


def at(s: Scene, now_s: int, **edits: object) -> str:
    s.now_s = NOW_S
    envelope = s.sign(ADA, **edits)
    s.now_s = now_s
    return s.cast(envelope)


def test_every_second_of_an_approval_counts_exactly():
    assert at(scene(), NOW_S) == at(scene(), NOW_S + 899) == "ACCEPTED"
    assert at(scene(), NOW_S + 900) == "EXPIRED" and at(scene(), NOW_S, not_before_s=NOW_S + 5) == "NOT_YET_VALID"
    assert at(scene(), NOW_S + 5, not_before_s=NOW_S + 5) == "ACCEPTED"
    assert at(scene(), NOW_S + 9, issued_s=NOW_S + 9, expires_s=NOW_S + 900) == "ACCEPTED"
    assert at(scene(), NOW_S, expires_s=NOW_S + 901) == at(scene(), NOW_S, not_before_s=NOW_S - 1) == "LIVES_TOO_LONG"
    assert at(scene(), NOW_S, issued_s=NOW_S - 1) == "LIVES_TOO_LONG"
    enrolled = RING.keys[ADA].enrolled_s
    assert at(scene(), enrolled, issued_s=enrolled, not_before_s=enrolled, expires_s=enrolled + 9) == "EXPIRED"


def test_a_vote_counts_from_its_own_bytes_whatever_the_panel_says():
    s = scene()
    s.cast(s.sign(ADA))
    (vote,) = s.panel.votes
    lie = lambda **edits: standing(
        replace(s.panel, votes=(vote._replace(**edits),)), s.ask, s.ring, now_s=NOW_S, audited_s=0
    )
    assert lie(person=GRACE).people == (ADA,) and lie(envelope=b"noise").lost == ((ADA, "MALFORMED"),)
    twice = replace(s.panel, votes=(vote, vote))
    assert standing(twice, s.ask, s.ring, now_s=NOW_S, audited_s=0).people == (ADA,)
    rejection = s.sign(GRACE, decision="reject")
    panel = replace(s.panel, votes=(vote._replace(envelope=rejection),))
    assert standing(panel, s.ask, s.ring, now_s=NOW_S, audited_s=0).people == ()


def test_what_is_missing_is_said_by_role_and_number():
    s = scene()
    s.ask = replace(s.ask, quorum=3, required={"service-owner": 1, "senior": 1})
    assert now(s).missing == ("senior", "service-owner", "anyone")
    s.cast(s.sign(GRACE))
    assert now(s).missing == ("service-owner", "anyone") and now(s).state == "waiting"
