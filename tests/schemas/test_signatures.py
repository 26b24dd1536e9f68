"""A signed order is refused when anything in it, or anybody behind it, is not what was signed."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

import schemas as sc
from schemas.signatures import pae, private_key, public_key, public_text, signed, verify

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
KEYS = {"ops": KEY.public_key()}


def order(**change: Any) -> sc.Control:
    told: dict[str, Any] = {
        "id": "o1", "kind": "kill", "scope": "tidegate", "issued_ns": 7, "issuer": "ops", "signature": "-",
    }  # fmt: skip
    return sc.Control(**{**told, **change})


GOOD = signed(order(), KEY)


def is_refused(order: sc.Control, why: str) -> bool:
    with pytest.raises(sc.RecordInvalid, match=why):
        verify(order, KEYS)
    return True


def test_what_was_signed_is_taken_also_after_a_way_through_a_topic():
    verify(GOOD, KEYS)
    verify(sc.Control.from_bytes(GOOD.to_bytes()), KEYS)


def test_an_order_without_a_signature_is_refused():
    assert is_refused(order(), "does not fit")


def test_an_order_of_an_issuer_whom_nobody_knows_is_refused():
    assert is_refused(signed(order(issuer="mallory"), OTHER), "no key is known of issuer 'mallory'")


def test_an_order_signed_with_another_key_in_the_name_of_the_issuer_is_refused():
    assert is_refused(signed(order(), OTHER), "does not fit")


@given(at=st.integers(0, 63), bit=st.integers(0, 7))
def test_a_flipped_bit_of_the_signature_is_refused(at, bit):
    raw = bytearray(base64.b64decode(GOOD.signature))
    raw[at] ^= 1 << bit
    assert is_refused(GOOD.model_copy(update={"signature": base64.b64encode(raw).decode()}), "does not fit")


@pytest.mark.parametrize(
    "change",
    [{"scope": "elsewhere"}, {"kind": "resume"}, {"level": "act"}, {"generation": "g2"}, {"from_ns": 1},
     {"issued_ns": 8}, {"id": "o2"}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_an_order_of_which_anything_was_changed_is_refused(change):
    """The scope too: what was signed for one place says nothing at another."""
    assert is_refused(GOOD.model_copy(update=change), "does not fit")


def test_every_field_of_an_order_is_covered_but_the_signature_itself():
    """So that a field that is added later cannot be left out of the signature."""
    assert {*sc.Control.model_fields} == {
        "id", "kind", "scope", "level", "generation", "from_ns", "issued_ns", "issuer", "signature"
    }  # fmt: skip


@pytest.mark.parametrize("signature", ["", "not base64!", "AAAA", GOOD.signature + "AA", GOOD.signature[:-4]])
def test_what_is_no_signature_at_all_is_refused(signature):
    assert is_refused(GOOD.model_copy(update={"signature": signature}), "does not fit")


def test_what_was_signed_as_something_else_is_no_order():
    """The type of what is signed is part of it (DSSE)."""
    body = sc.canonical(order().model_dump(mode="json", exclude={"signature"}))
    for covered in (body, pae("application/vnd.tidegate.approval+json", body)):
        forged = order(signature=base64.b64encode(KEY.sign(covered)).decode())
        assert is_refused(forged, "does not fit")


def test_a_public_key_written_in_settings_is_the_key():
    assert public_key(public_text(KEY)).public_bytes_raw() == KEY.public_key().public_bytes_raw()
    verify(GOOD, {"ops": public_key(public_text(KEY.public_key()))})


def test_a_key_of_another_kind_is_refused():
    pem = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="not an Ed25519 key"):
        private_key(pem)
