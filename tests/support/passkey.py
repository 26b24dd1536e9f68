"""An authenticator in software: a P-256 key that asserts what a hardware key would, for tests of approvals."""

import hashlib
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from actions import EnrolledKey, Passkey, assertion_bytes, passkey_challenge, seal_assertion
from schemas import Approval

RP, ORIGIN = "shop.example", "https://console.shop.example"


@dataclass
class Authenticator:
    """Fields are what an attacker or a mistake may change."""

    key: ec.EllipticCurvePrivateKey
    rp_id: str = RP
    origin: str = ORIGIN
    flags: int = 0x05  # a person was present and was verified
    kind: str = "webauthn.get"
    uses: int = 7

    @property
    def public(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})

    def enrolled(self, kid: str, person: str, at_s: int) -> EnrolledKey:
        return EnrolledKey(kid, person, self.public, "B", at_s, passkey=Passkey(RP, (ORIGIN,)))

    def assert_over(self, approval: Approval, challenge: bytes = b"") -> bytes:
        """The envelope with the assertion."""
        wanted = urlsafe_b64encode(challenge or passkey_challenge(approval)).decode().rstrip("=")
        client = json.dumps({"type": self.kind, "challenge": wanted, "origin": self.origin}).encode()
        data = hashlib.sha256(self.rp_id.encode()).digest() + bytes([self.flags]) + self.uses.to_bytes(4, "big")
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return seal_assertion(approval, assertion_bytes(data, client, b"credential-1", signature))


def authenticator(number: int = 7) -> Authenticator:
    return Authenticator(ec.derive_private_key(number, ec.SECP256R1()))
