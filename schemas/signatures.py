"""Signed orders: Ed25519 (RFC 8032) over the DSSE pre-authentication encoding of a record's RFC 8785 form.

The signature is part of the record and covers everything else in it. Who may sign is a list of public keys by issuer;
an order of nobody on the list, or changed by a byte, is refused by every reader.
Source: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md (PAE).
"""

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas._actions import Control
from schemas._errors import RecordInvalid
from schemas._ids import canonical

PAYLOAD = "application/vnd.tidegate.control+json"


def signed(order: Control, key: Ed25519PrivateKey) -> Control:
    """The order with the issuer's signature in place of what stood there."""
    signature = key.sign(_covered(order))
    return order.model_copy(update={"signature": base64.b64encode(signature).decode()})


def verify(order: Control, keys: Mapping[str, Ed25519PublicKey]) -> None:
    """Raises RecordInvalid if the issuer is unknown or the signature is not his over exactly this order."""
    key = keys.get(order.issuer)
    if key is None:
        raise RecordInvalid(
            f"no key is known of issuer '{order.issuer}'", where=f"control {order.id}",
            todo="Add the public key to control.keys, or sign as an issuer that is there",
        )  # fmt: skip
    try:
        key.verify(base64.b64decode(order.signature, validate=True), _covered(order))
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise RecordInvalid(
            f"the signature of '{order.issuer}' does not fit", where=f"control {order.id}",
            todo="Sign it again; it was changed, or signed with another key",
        ) from error  # fmt: skip


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """A private key in PEM (PKCS 8). Raises ValueError."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 key")
    return key


def public_key(text: str) -> Ed25519PublicKey:
    """A public key as 32 bytes in base64. Raises ValueError."""
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))


def public_text(key: Ed25519PrivateKey | Ed25519PublicKey) -> str:
    """The public key as it stands in settings."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return base64.b64encode(public.public_bytes_raw()).decode()


def pae(kind: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed says its own type, so it cannot be used as another.

    >>> pae("a/b", b"{}")
    b'DSSEv1 3 a/b 2 {}'
    """
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(body), body)


def _covered(order: Control) -> bytes:
    return pae(PAYLOAD, canonical(order.model_dump(mode="json", exclude={"signature"})))
