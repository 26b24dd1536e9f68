"""Tokens of an identity provider that lives in the test: its keys, its key set, and what it would sign."""

from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bench._forgery import NOW_S
from tidegate._oidc import Oidc

ISSUER, AUDIENCE = "https://id.shop.example", "tidegate"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.derive_private_key(99, ec.SECP256R1())


def key_set() -> dict[str, Any]:
    rows = []
    for kid, algorithm, key in (
        ("rsa-1", jwt.algorithms.RSAAlgorithm, RSA_KEY),
        ("ec-1", jwt.algorithms.ECAlgorithm, EC_KEY),
    ):
        row = algorithm.to_jwk(key.public_key(), as_dict=True)
        rows.append(row | {"kid": kid, "use": "sig", "alg": "RS256" if kid == "rsa-1" else "ES256"})
    return {"keys": rows}


def verifier(**edits: Any) -> Oidc:
    return Oidc(ISSUER, AUDIENCE, key_set, **edits)


def token(key: Any = RSA_KEY, alg: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A right token, but for the edits; a claim that is None is left out."""
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": NOW_S, "exp": NOW_S + 600} | claims
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key, algorithm=alg, headers={"kid": "rsa-1"} | (header or {}))
