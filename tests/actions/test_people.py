"""The list of people: signed by a root, each record over the one before; passkeys count as grade B, and only they."""

import json
import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from support.passkey import ORIGIN, RP, authenticator

from actions import (
    ApprovalsError,
    EnrolledKey,
    KeyRing,
    Passkey,
    PeopleHead,
    PersonRecord,
    append_record,
    challenge,
    issue_nonce,
    read_people,
    seal,
)
from actions._webauthn import is_asserted_by
from bench._forgery import KEYS, NOW_S, PEOPLE, Scene
from schemas import canonical

ADA, GRACE, *_ = PEOPLE
ROOT = Ed25519PrivateKey.from_private_bytes(bytes([200]) * 32)
ROOTS = {"root": ROOT.public_key().public_bytes_raw()}
RECORDS = [
    PersonRecord("enrol", 10, ADA, "ada-1", KEYS[ADA].public_key().public_bytes_raw(), "A"),
    PersonRecord("roles", 11, ADA, roles=("senior", "service-owner")),
    PersonRecord("enrol", 12, GRACE, "grace-1", authenticator().public, "B", rp_id=RP, origins=(ORIGIN,)),
    PersonRecord("enrol", 13, "chat", "chat-1", KEYS[GRACE].public_key().public_bytes_raw(), "C", speaks_for=(ADA,)),
    PersonRecord("revoke", 14, kid="ada-1"),
]


def written(records=RECORDS, aud="shop", root="root", key=ROOT):
    ring, head, lines = KeyRing(), PeopleHead(), []
    for record in records:
        ring, head, line = append_record(ring, head, record, aud, root, key)
        lines.append(line)
    return ring, head, lines


def test_what_was_written_is_read_with_every_key_role_and_revocation():
    ring, head, lines = written()
    assert read_people(lines, ROOTS, "shop") == (ring, head) and head.number == ring.version == 5
    assert ring.roles[ADA] == {"senior", "service-owner"} and ring.keys["ada-1"].revoked_s == 14
    assert ring.keys["grace-1"].passkey == Passkey(RP, (ORIGIN,)) and ring.keys["chat-1"].people() == {ADA}


def test_an_empty_list_is_nobody():
    assert read_people([], ROOTS, "shop") == (KeyRing(), PeopleHead())


FALSIFIED = {
    "the first is gone": lambda lines: lines[1:],
    "one in the middle is gone": lambda lines: lines[:1] + lines[2:],
    "two changed places": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "one is there twice": lambda lines: [*lines, lines[-1]],
    "of another deployment": lambda lines: written(aud="other")[2],
    "signed by a stranger": lambda lines: written(key=KEYS[ADA])[2],
    "signed as an unknown root": lambda lines: written(root="other")[2],
    "a line of noise": lambda lines: [*lines, b"noise"],
    "an empty line": lambda lines: [*lines, b""],
}


@pytest.mark.parametrize("way", FALSIFIED)
def test_a_list_that_was_changed_is_nobody(way):
    with pytest.raises(ApprovalsError):
        read_people(FALSIFIED[way](written()[2]), ROOTS, "shop")


@given(st.integers(0, 4), st.integers(0), st.integers(0, 7))
def test_any_flipped_bit_is_found(number, place, bit):
    lines = [bytearray(line) for line in written()[2]]
    lines[number][place % len(lines[number])] ^= 1 << bit
    with pytest.raises(ApprovalsError):
        read_people(map(bytes, lines), ROOTS, "shop")


def test_a_list_whose_end_was_cut_off_is_refused_by_who_has_seen_the_end():
    _, head, lines = written()
    read_people(lines[:-1], ROOTS, "shop")
    with pytest.raises(ApprovalsError, match="cut off"):
        read_people(lines[:-1], ROOTS, "shop", head)
    longer = append_record(*read_people(lines, ROOTS, "shop"), PersonRecord("roles", 15, GRACE), "shop", "root", ROOT)
    assert read_people([*lines, longer[2]], ROOTS, "shop", head)[1].number == 6


NONSENSE = {
    "nobody": PersonRecord("roles", 1),
    "no key id": PersonRecord("enrol", 1, ADA, "", b"x" * 32, "A"),
    "no grade": PersonRecord("enrol", 1, ADA, "k", b"x" * 32),
    "revoking what is not there": PersonRecord("revoke", 1, kid="k"),
    "a short key": PersonRecord("enrol", 1, ADA, "k", b"x" * 31, "A"),
    "a person's key that speaks for others": PersonRecord("enrol", 1, ADA, "k", b"x" * 32, "A", speaks_for=(GRACE,)),
    "a passkey without a party": PersonRecord("enrol", 1, ADA, "k", b"x" * 77, "B"),
    "a passkey without origins": PersonRecord("enrol", 1, ADA, "k", b"x" * 77, "B", rp_id=RP),
    "a passkey that is too short": PersonRecord("enrol", 1, ADA, "k", b"x" * 32, "B", rp_id=RP, origins=(ORIGIN,)),
    "an own key with a party": PersonRecord("enrol", 1, ADA, "k", b"x" * 32, "A", rp_id=RP, origins=(ORIGIN,)),
}


def test_a_passkey_has_forty_to_two_thousand_bytes():
    key = lambda size: EnrolledKey("k", ADA, b"x" * size, "B", 0, passkey=Passkey(RP, (ORIGIN,)))
    assert all("k" in KeyRing().enrol(key(size)).keys for size in (40, 2000))
    for size in (39, 2001):
        with pytest.raises(ApprovalsError):
            KeyRing().enrol(key(size))


@pytest.mark.parametrize("what", NONSENSE)
def test_a_record_that_means_nothing_is_not_written(what):
    with pytest.raises(ApprovalsError):
        append_record(KeyRing(), PeopleHead(), NONSENSE[what], "shop", "root", ROOT)


EDITS = {
    "typ": "tidegate.people/v2", "number": 1, "before": "sha256:" + "1" * 64, "at_s": -1, "what": "grant", "person": 7,
    "grade": "Z", "roles": "senior", "speaks_for": [1], "public": "!!", "extra": "field",
}  # fmt: skip


@pytest.mark.parametrize("field", EDITS)
def test_a_record_of_another_form_is_refused_though_signed(field):
    from actions._dsse import open_payload, seal_payload
    from actions._people import PEOPLE_PAYLOAD

    value = open_payload(PEOPLE_PAYLOAD, written()[2][0], 9999).value | {field: EDITS[field]}
    with pytest.raises(ApprovalsError):
        read_people([seal_payload(PEOPLE_PAYLOAD, value, "root", ROOT)], ROOTS, "shop")


def with_passkey(device=None):
    """An action that wants a passkey, an approval of Ada to be asserted, and her authenticator."""
    s, device = Scene(random.Random(1)), device or authenticator()
    s.ring = s.ring.enrol(authenticator().enrolled("ada-pass", ADA, NOW_S - 9))
    s.ask = replace(s.ask, grade="B")
    s.panel = issue_nonce(s.panel, "ab" * 16)
    return s, challenge(s.ask, ADA, "senior", "ada-pass", "ab" * 16, NOW_S), device


def test_a_passkey_that_verified_its_person_counts_where_it_is_demanded():
    s, approval, device = with_passkey()
    assert s.cast(device.assert_over(approval)) == "ACCEPTED" and s.count() == 1


def test_an_own_key_does_not_count_where_a_passkey_is_demanded():
    s, *_ = with_passkey()
    assert s.cast(s.sign(GRACE)) == "GRADE_TOO_LOW"


DEVICES = {
    "another key": lambda: authenticator(8),
    "another party": lambda: replace(authenticator(), rp_id="evil.example"),
    "another page": lambda: replace(authenticator(), origin="https://evil.example"),
    "nobody present": lambda: replace(authenticator(), flags=0x04),
    "nobody verified": lambda: replace(authenticator(), flags=0x01),
    "a registration": lambda: replace(authenticator(), kind="webauthn.create"),
}


@pytest.mark.parametrize("what", DEVICES)
def test_an_assertion_that_proves_less_is_none(what):
    s, approval, device = with_passkey(DEVICES[what]())
    assert s.cast(device.assert_over(approval)) == "BAD_SIGNATURE"


def test_an_assertion_over_another_challenge_or_of_another_kind_is_none():
    s, approval, device = with_passkey()
    assert s.cast(device.assert_over(approval, b"x" * 32)) == "BAD_SIGNATURE"
    s, approval, _ = with_passkey()
    assert s.cast(seal(approval, KEYS[ADA])) == "BAD_SIGNATURE"


def test_an_assertion_cannot_stand_for_a_key_of_the_other_kind():
    s, approval, device = with_passkey()
    s.ask = replace(s.ask, grade="A")
    approval = approval.model_copy(update={"kid": ADA})
    assert s.cast(device.assert_over(approval)) == "BAD_SIGNATURE"


def test_a_passkey_is_one_person_too():
    s, approval, device = with_passkey()
    s.ask = replace(s.ask, grade="A")
    assert [s.cast(s.sign(ADA)), s.cast(device.assert_over(approval))] == ["ACCEPTED", "DUPLICATE_PERSON"]


def test_grade_b_is_passkeys_only():
    with pytest.raises(ApprovalsError):
        KeyRing().enrol(EnrolledKey("k", ADA, b"x" * 32, "B", 0))


@pytest.mark.parametrize("uses", [0, 1])
def test_a_passkey_counts_at_its_first_use_and_where_it_does_not_count_its_uses(uses):
    s, approval, device = with_passkey(replace(authenticator(), uses=uses))
    assert s.cast(device.assert_over(approval)) == "ACCEPTED"


def test_a_key_id_is_used_once_even_for_another_key():
    ring = KeyRing().enrol(EnrolledKey("k", ADA, b"x" * 32, "A", 0))
    with pytest.raises(ApprovalsError, match="used before"):
        ring.enrol(EnrolledKey("k", ADA, b"y" * 32, "A", 0))
    with pytest.raises(ApprovalsError, match="no key"):
        ring.revoke("other", 1)


def doubled(envelope, **edits):
    return canonical(json.loads(envelope) | edits)


def test_an_envelope_with_two_signatures_or_none_is_none():
    line = written()[2][0]
    outer = json.loads(line)
    for signatures in ([], outer["signatures"] * 2, [outer["signatures"][0] | {"x": 1}], "text", [7]):
        with pytest.raises(ApprovalsError):
            read_people([doubled(line, signatures=signatures)], ROOTS, "shop")
    for edits in ({"payloadType": "other"}, {"payload": "!!"}, {"payload": outer["payload"].rstrip("=") + "A"}):
        with pytest.raises(ApprovalsError):
            read_people([doubled(line, **edits)], ROOTS, "shop")
    with pytest.raises(ApprovalsError, match="more than it can have"):
        read_people([b" " * 32_769], ROOTS, "shop")


@pytest.mark.parametrize("assertion", [b"no JSON", b"{}", b"[]", b'{"signature":"AA=="}'])
def test_what_is_no_assertion_is_false_and_nothing_else(assertion):
    assert is_asserted_by("k", b"p", assertion, b"x" * 77, Passkey(RP, (ORIGIN,))) is False
