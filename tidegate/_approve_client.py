"""What `tidegate approve` does: see what is asked, compute its digests itself, sign with the person's key, hand it in.

The server is not trusted with what is shown: the digests of the ask are computed from the change, the plan and the diff
that are printed, and the challenge must repeat exactly that ask. Otherwise nothing is signed.
"""

import http.client
import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions import Ask, challenge, faults_of, seal, sign_override
from schemas import Approval, why
from tidegate._approve_settings import Me
from tidegate._errors import ApproveError
from tidegate._reading import address_of, bearer

_TIMEOUT_S = 20
_MOST_BYTES = 4 << 20


class Office:
    """The HTTP interface at `url`; token: of the identity provider, where the interface wants one."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = address_of(url)
        if parts is None:
            raise ApproveError(f"'{url[:200]}' is not a URL", todo="http://host:8791")
        self._url, self._parts = url, parts
        self._headers = bearer(token)

    def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
        """Raises ApproveError where there is no answer, or one that is a refusal with a code."""
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(str(self._parts.hostname), self._parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body or None, self._headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read(_MOST_BYTES)
            found = json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            todo = "Does `tidegate act` run there?"
            raise ApproveError(f"no answer: {why(error)}", where=self._url, code="NO_ANSWER", todo=todo) from error
        finally:
            connection.close()
        if "error" in found:
            raise ApproveError(str(found["error"].get("what", "")), where=self._url, code=str(found["error"]["code"]))
        return status, found

    def shown(self, id: str) -> dict[str, Any]:
        """Everything about one action, whose digests fit what is shown. Raises ApproveError, code SHOWN_DIFFERS."""
        _, document = self.call("GET", f"/v1/approvals/{quote(id, safe=':')}")
        faults = faults_of(document["ask"], document["shown"])
        if document["ask"]["action_id"] != id:
            faults.append("it is another action")
        if faults:
            raise ApproveError(
                f"what is shown is not what would be signed: {'; '.join(faults)}", where=self._url,
                code="SHOWN_DIFFERS", todo="Sign nothing; tell whoever runs this service",
            )  # fmt: skip
        return document

    def decide(
        self, document: dict[str, Any], me: Me, key: Ed25519PrivateKey, decision: str, aud: str
    ) -> dict[str, Any]:
        """Sign exactly what `shown` gave, and hand it in; what became of it."""
        return self.call("POST", f"{_path(document)}/votes", self._signed(document, me, key, decision, aud))[1]

    def override(
        self, document: dict[str, Any], me: Me, key: Ed25519PrivateKey, parameters: dict[str, Any], aud: str
    ) -> dict[str, Any]:
        """Reject what `shown` gave and sign what is wanted instead; what became of it, with the `id` of the other."""
        envelope = self._signed(document, me, key, "reject", aud)
        signature = sign_override(envelope, parameters, key)
        told = {"rejection": b64encode(envelope).decode(), "signature": b64encode(signature).decode()}
        body = json.dumps({"parameters": parameters, **told}).encode()
        return self.call("POST", f"{_path(document)}/parameters", body)[1]

    def _signed(self, document: dict[str, Any], me: Me, key: Ed25519PrivateKey, decision: str, aud: str) -> bytes:
        ask = _ask(document["ask"])
        if ask.aud != aud:
            raise ApproveError(f"it is of the deployment '{ask.aud}'", code="WRONG_AUDIENCE", todo=f"We are '{aud}'")
        body = {"person": me.person, "role": me.role, "kid": me.kid, "decision": decision}
        _, answer = self.call("POST", f"{_path(document)}/challenges", json.dumps(body).encode())
        asked = Approval.model_validate(answer["approval"])
        mine = challenge(ask, me.person, me.role, me.kid, asked.nonce, asked.issued_s, decision)
        if asked != mine:
            raise ApproveError(
                "the challenge is not for what was shown", where=self._url, code="SHOWN_DIFFERS", todo="Sign nothing"
            )
        if answer["passkey"] is not None:
            raise ApproveError(f"'{me.kid}' is a passkey", code="PASSKEY", todo="Use the console in a browser")
        return seal(mine, key)


def _path(document: dict[str, Any]) -> str:
    return f"/v1/approvals/{quote(document['ask']['action_id'], safe=':')}"


def _ask(found: dict[str, Any]) -> Ask:
    return Ask(**{**found, "barred": frozenset(found["barred"]), "roles": frozenset(found["roles"])})
