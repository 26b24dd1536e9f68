"""The envelope of a signed approval: strict DSSE (`_dsse.py`) around an `Approval`; an unknown field is refused."""

import base64
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions._dsse import is_sealed_by, seal_payload, strict_base64, strict_json
from actions._keyring import EnrolledKey
from actions._webauthn import challenge_of, is_asserted_by
from schemas import Approval, RecordInvalid, SignedApproval, canonical

APPROVAL_PAYLOAD = "application/vnd.tidegate.approval+json"
MAX_BYTES = 16_384


class Opened(NamedTuple):
    """An envelope that could be read; nothing in it is proved yet."""

    approval: Approval
    payload: bytes
    signature: bytes


class Unreadable(NamedTuple):
    """Why an envelope could not be read. code: MALFORMED or WRONG_TYPE."""

    code: str
    text: str


def seal(approval: Approval, key: Ed25519PrivateKey) -> bytes:
    """The envelope, signed: what a person hands in."""
    return seal_payload(APPROVAL_PAYLOAD, approval.model_dump(mode="json"), approval.kid, key)


def seal_assertion(approval: Approval, assertion: bytes) -> bytes:
    """The envelope around what a passkey asserted (`assertion_bytes`) over `passkey_challenge(approval)`."""
    payload = canonical(approval.model_dump(mode="json"))
    return canonical({
        "payload": base64.b64encode(payload).decode(), "payloadType": APPROVAL_PAYLOAD,
        "signatures": [{"keyid": approval.kid, "sig": base64.b64encode(assertion).decode()}],
    })  # fmt: skip


def passkey_challenge(approval: Approval) -> bytes:
    """32 bytes that the authenticator signs."""
    return challenge_of(APPROVAL_PAYLOAD, canonical(approval.model_dump(mode="json")))


@lru_cache(maxsize=256)
def open_envelope(envelope: bytes) -> Opened | Unreadable:
    """What is in the bytes, which nothing has proved yet. Never raises, whatever the bytes are."""
    if len(envelope) > MAX_BYTES:
        return Unreadable("MALFORMED", f"{len(envelope)} bytes are more than an approval can have")
    try:
        outer = strict_json(envelope)
        if isinstance(outer, dict) and outer.get("payloadType") != APPROVAL_PAYLOAD:
            return Unreadable("WRONG_TYPE", "the payload is not said to be an approval")
        sealed = SignedApproval.from_bytes(envelope, strict=True)
        payload = strict_base64(sealed.payload)
        inner = strict_json(payload)
        if isinstance(inner, dict) and inner.get("typ") != "tidegate.approval/v1":
            return Unreadable("WRONG_TYPE", "the payload is not an approval of this version")
        approval = Approval.from_bytes(payload, strict=True)
        (signature,) = sealed.signatures
        if canonical(approval.model_dump(mode="json")) != payload or signature.keyid != approval.kid:
            return Unreadable("MALFORMED", "the payload says something else than it seems to")
        return Opened(approval, payload, strict_base64(signature.sig))
    except (ValueError, RecursionError, RecordInvalid) as error:
        return Unreadable("MALFORMED", str(error)[:200])


def is_signed_by(opened: Opened, key: EnrolledKey) -> bool:
    """By an Ed25519 key over the envelope's encoding, or by a passkey over the digest of it."""
    if key.passkey is not None:
        return is_asserted_by(APPROVAL_PAYLOAD, opened.payload, opened.signature, key.public, key.passkey)
    return is_sealed_by(APPROVAL_PAYLOAD, opened.payload, opened.signature, key.public)
