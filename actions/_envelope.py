"""The envelope of a signed approval: DSSE with Ed25519 over RFC 8785 bytes, read so strictly that it has one form.

Whatever two programs could read differently is refused: a key said twice, an unknown field, a number that is no
integer, text that is not in Unicode's composed form (NFC), base64 or JSON in any other form than the canonical one.
The signature covers the type as well, so it cannot be shown as a signature of something else.
Sources: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, RFC 8785, RFC 8032.
"""

import base64
import binascii
import json
import unicodedata
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from rfc8785 import CanonicalizationError

from schemas import Approval, EnvelopeSignature, RecordInvalid, SignedApproval, canonical
from schemas.signatures import pae

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
    payload = canonical(approval.model_dump(mode="json"))
    signature = base64.b64encode(key.sign(pae(APPROVAL_PAYLOAD, payload))).decode()
    envelope = SignedApproval(
        payload=base64.b64encode(payload).decode(), signatures=[EnvelopeSignature(keyid=approval.kid, sig=signature)]
    )
    return canonical(envelope.model_dump(mode="json"))


def open_envelope(envelope: bytes) -> Opened | Unreadable:
    """Never raises, whatever the bytes are."""
    if len(envelope) > MAX_BYTES:
        return Unreadable("MALFORMED", f"{len(envelope)} bytes are more than an approval can have")
    try:
        outer = _strict(envelope)
        if isinstance(outer, dict) and outer.get("payloadType") != APPROVAL_PAYLOAD:
            return Unreadable("WRONG_TYPE", "the payload is not said to be an approval")
        sealed = SignedApproval.from_bytes(envelope, strict=True)
        payload = _base64(sealed.payload)
        inner = _strict(payload)
        if isinstance(inner, dict) and inner.get("typ") != "tidegate.approval/v1":
            return Unreadable("WRONG_TYPE", "the payload is not an approval of this version")
        approval = Approval.from_bytes(payload, strict=True)
        (signature,) = sealed.signatures
        if canonical(approval.model_dump(mode="json")) != payload or signature.keyid != approval.kid:
            return Unreadable("MALFORMED", "the payload says something else than it seems to")
        return Opened(approval, payload, _base64(signature.sig))
    except (ValueError, RecursionError, RecordInvalid) as error:
        return Unreadable("MALFORMED", str(error)[:200])


def is_signed_by(opened: Opened, public: bytes) -> bool:
    """public: 32 bytes, the Ed25519 key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(opened.signature, pae(APPROVAL_PAYLOAD, opened.payload))
    except (InvalidSignature, ValueError):
        return False
    return True


def _strict(data: bytes) -> Any:
    """The JSON value, if the bytes are its canonical form. Raises ValueError."""
    value = json.loads(data.decode(), object_pairs_hook=_once, parse_float=_no_float, parse_constant=_no_float)
    _composed(value)
    try:
        if canonical(value) != data:
            raise ValueError("this JSON is not in its canonical form")
    except CanonicalizationError as error:
        raise ValueError(f"this JSON has no canonical form: {error}") from error
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is said twice")
    return found


def _no_float(text: str) -> Any:
    raise ValueError(f"{text} is not an integer")


def _composed(value: object) -> None:
    if isinstance(value, str) and not unicodedata.is_normalized("NFC", value):
        raise ValueError("text is not in composed form (NFC)")
    for item in value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else ():
        _composed(item)


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("this is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise ValueError("this base64 is not in its one form")
    return data
