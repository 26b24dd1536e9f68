"""Permits: one signature opens exactly one request, for half a minute at most."""

import json
from base64 import b64decode, b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gateway import KEY, NOW, OTHER, PARAMETERS, TARGET, TRUST, VERBS, permitted, request, watch

from actions._dsse import seal_payload
from actions._gateway import Known, check
from actions._permit import LONGEST_MS, PERMIT_PAYLOAD, OpenedPermit, mint, open_permit
from schemas.core import NS


def reason(told, now_ns=NOW, trust=TRUST):
    return check(trust, VERBS, Known(), watch(now_ns=now_ns), told, now_ns)[0].reason


def test_a_permit_is_for_its_request_and_is_read_without_asking_anybody():
    opened = open_permit(permitted().permit)
    assert isinstance(opened, OpenedPermit) and opened.is_signed_by(KEY.public_key().public_bytes_raw())
    assert opened.permit.verb == "gitops.revert" and opened.permit.target == TARGET
    assert reason(permitted()) == "MAY_WRITE"


@pytest.mark.parametrize(
    "other",
    [{"key": "sha256:b"}, {"step": 1}, {"direction": "undo"}, {"epoch": 4}, {"plan_digest": "sha256:q"},
     {"effect_class": "keyed"}, {"evidence_ns": NOW}, {"expected_version": "2"}, {"dry_run_digest": "sha256:d"},
     {"target": "default/service/cart"},
     {"change": VERBS.change("gitops.revert", TARGET, PARAMETERS | {"to_version": "v40"}, "r")}],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_with_anything_else_changed_it_is_another_request(other):
    assert reason(permitted()._replace(**other)) == "OTHER_REQUEST"


def test_a_forged_foreign_or_misdirected_permit_opens_nothing():
    assert reason(permitted(key=OTHER)) == "BAD_SIGNATURE"
    assert reason(permitted(kid="decide-2")) == "KEY_UNKNOWN"
    assert reason(permitted(audience="other-shop")) == "WRONG_AUDIENCE"
    assert reason(request()) == "MALFORMED"


def test_it_never_lives_longer_than_half_a_minute_whatever_the_request_says():
    opened = open_permit(permitted(request(until_ns=NOW + 3600 * NS)).permit)
    assert isinstance(opened, OpenedPermit) and opened.permit.expires_ms - opened.permit.issued_ms == LONGEST_MS


def test_it_runs_out_to_the_millisecond_and_is_not_taken_before_its_time():
    told = permitted()
    assert reason(told, NOW + 20 * NS - 1) == "MAY_WRITE"
    assert reason(told, NOW + 20 * NS) == "EXPIRED"
    assert reason(told, NOW - 2 * NS) == "MAY_WRITE"
    assert reason(told, NOW - 3 * NS) == "NOT_YET_VALID"


def test_one_that_was_signed_for_longer_is_refused_though_the_signature_fits():
    opened = open_permit(permitted().permit)
    assert isinstance(opened, OpenedPermit)
    longer = opened.permit.model_dump(mode="json") | {"expires_ms": opened.permit.issued_ms + LONGEST_MS + 1}
    told = request()._replace(permit=seal_payload(PERMIT_PAYLOAD, longer, "decide-1", KEY))
    assert reason(told) == "LIVES_TOO_LONG"


def test_a_request_that_has_run_out_gets_none():
    with pytest.raises(ValueError, match="ran out"):
        mint(request(until_ns=NOW), audience="shop", now_ns=NOW, nonce="0" * 32, kid="k", key=KEY)


def test_only_an_undo_can_be_allowed_under_a_kill():
    for direction, is_allowed in (("do", False), ("undo", True)):
        opened = open_permit(permitted(request(direction=direction), is_under_kill=True).permit)
        assert isinstance(opened, OpenedPermit) and opened.permit.is_under_kill is is_allowed


@given(st.integers(0, 2000), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_closes_it(place, flip):
    envelope = bytearray(permitted().permit)
    envelope[place % len(envelope)] ^= flip
    assert reason(request()._replace(permit=bytes(envelope))) in ("MALFORMED", "KEY_UNKNOWN", "BAD_SIGNATURE")


@given(st.binary(max_size=300))
def test_reading_never_raises(envelope):
    assert isinstance(open_permit(envelope), str)


def test_a_field_more_or_in_another_form_is_refused_even_if_signed():
    outer = json.loads(permitted().permit)
    inner = json.loads(b64decode(outer["payload"]))
    for told in (inner | {"more": 1}, inner | {"step": True}, {k: v for k, v in inner.items() if k != "nonce"}):
        payload = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
        text = json.dumps(outer | {"payload": b64encode(payload).decode()}, sort_keys=True, separators=(",", ":"))
        assert isinstance(open_permit(text.encode()), str)
