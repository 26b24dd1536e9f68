"""A passkey's assertion over an approval: the challenge that the authenticator signs is the digest of what DSSE covers.

So the key lies in hardware, a person touched it and was recognised by it (user verification is demanded), and the page
that asked was ours: relying party and origins come from the enrolment, never from the approval. The counter of uses is
not kept: an approval serves once by its nonce, and keys that are synchronised between devices do not count.
Source: https://www.w3.org/TR/webauthn-3/ section 7.2; the library `webauthn` does the checks.
"""

import hashlib
from base64 import b64encode, urlsafe_b64encode
from typing import Any

from actions._dsse import strict_base64, strict_json
from actions._errors import ApprovalsError
from actions._keyring import Passkey
from schemas import canonical
from schemas.signatures import pae

_PARTS = ("authenticatorData", "clientDataJSON", "credentialId", "signature")


def challenge_of(kind: str, payload: bytes) -> bytes:
    """32 bytes: what a page hands to `navigator.credentials.get` as `challenge`."""
    return hashlib.sha256(pae(kind, payload)).digest()


def assertion_bytes(authenticator_data: bytes, client_data: bytes, credential_id: bytes, signature: bytes) -> bytes:
    """The assertion as it stands in place of an Ed25519 signature: canonical JSON, each part in base64."""
    values = (authenticator_data, client_data, credential_id, signature)
    return canonical({name: b64encode(value).decode() for name, value in zip(_PARTS, values, strict=True)})


def is_asserted_by(kind: str, payload: bytes, assertion: bytes, public: bytes, passkey: Passkey) -> bool:
    """public: the credential's COSE key. False whatever is wrong with the assertion; see `need_library`."""
    from webauthn import verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        value = strict_json(assertion)
        if not isinstance(value, dict) or value.keys() != set(_PARTS):
            return False
        parts = {name: _url(strict_base64(value[name])) for name in _PARTS}
        done = verify_authentication_response(
            credential=_credential(parts),
            expected_challenge=challenge_of(kind, payload),
            expected_rp_id=passkey.rp_id,
            expected_origin=list(passkey.origins),
            credential_public_key=public,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError, RecursionError):
        return False
    return done.user_verified


def need_library() -> None:
    """Raises ApprovalsError if passkeys are enrolled where they cannot be checked."""
    try:
        import webauthn  # noqa: F401
    except ImportError as error:
        raise ApprovalsError("passkeys cannot be checked here", todo="Install the extra `identity`") from error


def _credential(parts: dict[str, str]) -> dict[str, Any]:
    id = parts.pop("credentialId")
    return {"id": id, "rawId": id, "type": "public-key", "response": parts}


def _url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
