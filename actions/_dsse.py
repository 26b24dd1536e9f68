"""Strict DSSE: one signed payload in one envelope that has exactly one form, whatever the payload is.

Whatever two programs could read differently is refused: a key said twice, a number that is no integer, text that is
not in Unicode's composed form (NFC), base64 or JSON in any other form than the canonical one. The signature covers the
payload's type as well, so it cannot be shown as a signature of something else.
Sources: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, RFC 8785, RFC 8032.
"""

import base64
import binascii
import json
import unicodedata
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from rfc8785 import CanonicalizationError

from schemas import canonical
from schemas.signatures import pae


class Sealed(NamedTuple):
    """What an envelope holds; nothing in it is proved yet. value: the payload as JSON; payload: its bytes."""

    value: dict[str, Any]
    payload: bytes
    kid: str
    signature: bytes


def seal_payload(kind: str, value: dict[str, Any], kid: str, key: Ed25519PrivateKey) -> bytes:
    """The envelope around the RFC 8785 bytes of the value, signed."""
    payload = canonical(value)
    signature = base64.b64encode(key.sign(pae(kind, payload))).decode()
    return canonical({
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"keyid": kid, "sig": signature}],
    })  # fmt: skip


def open_payload(kind: str, envelope: bytes, most_bytes: int) -> Sealed:
    """Raises ValueError saying what is wrong with the form; RecursionError is one of them."""
    if len(envelope) > most_bytes:
        raise ValueError(f"{len(envelope)} bytes are more than it can have")
    try:
        outer = strict_json(envelope)
        if not isinstance(outer, dict) or outer.keys() != {"payload", "payloadType", "signatures"}:
            raise ValueError("this is not an envelope")
        if outer["payloadType"] != kind:
            raise ValueError("the payload is said to be something else")
        signatures = outer["signatures"]
        if not isinstance(signatures, list) or len(signatures) != 1 or signatures[0].keys() != {"keyid", "sig"}:
            raise ValueError("there is not exactly one signature")
        payload = strict_base64(outer["payload"])
        value = strict_json(payload)
        if not isinstance(value, dict):
            raise ValueError("the payload is no object")
        return Sealed(value, payload, str(signatures[0]["keyid"]), strict_base64(signatures[0]["sig"]))
    except (RecursionError, AttributeError, TypeError) as error:
        raise ValueError(f"this is not an envelope: {error}") from error


@lru_cache(maxsize=1024)  # an approval is looked at at least three times
def is_sealed_by(kind: str, payload: bytes, signature: bytes, public: bytes) -> bool:
    """public: 32 bytes, the Ed25519 key."""
    try:
        _key(public).verify(signature, pae(kind, payload))
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=256)
def _key(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


def strict_json(data: bytes) -> Any:
    """The JSON value, if the bytes are its canonical form. Raises ValueError."""
    value = json.loads(data.decode(), object_pairs_hook=_once, parse_float=_no_float, parse_constant=_no_float)
    if not data.isascii():  # and text that is written without its characters is not canonical
        _composed(value)
    try:
        if canonical(value) != data:
            raise ValueError("this JSON is not in its canonical form")
    except CanonicalizationError as error:
        raise ValueError(f"this JSON has no canonical form: {error}") from error
    return value


def strict_base64(text: str) -> bytes:
    """The bytes, if the text is their one base64 form. Raises ValueError."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("this is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise ValueError("this base64 is not in its one form")
    return data


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
