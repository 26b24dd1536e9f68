"""A token names a person only if our issuer signed it, for us, with the right kind of key, for now."""

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support.tokens import AUDIENCE, EC_KEY, ISSUER, RSA_KEY, key_set, token, verifier

from bench._forgery import NOW_S
from tidegate._errors import ApproveError
from tidegate._oidc import Oidc, fetch_keys


def test_a_right_token_names_issuer_and_subject():
    assert verifier().person(token(), NOW_S) == f"{ISSUER}#ada"
    assert verifier().person(token(EC_KEY, "ES256", {"kid": "ec-1"}), NOW_S + 599) == f"{ISSUER}#ada"
    assert verifier().person(token(aud=[AUDIENCE, "other"], azp=AUDIENCE), NOW_S)


PUBLIC_PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
WRONG = {
    "another issuer": lambda: token(iss="https://evil.example"),
    "another audience": lambda: token(aud="other"),
    "several audiences": lambda: token(aud=[AUDIENCE, "other"]),
    "several audiences, given to another": lambda: token(aud=[AUDIENCE, "other"], azp="other"),
    "no subject": lambda: token(sub=None),
    "an empty subject": lambda: token(sub=""),
    "no end": lambda: token(exp=None),
    "no beginning": lambda: token(iat=None),
    "a time to come": lambda: token(iat=NOW_S + 60),
    "not before later": lambda: token(nbf=NOW_S + 60),
    "a time that is text": lambda: token(exp="soon"),
    "a time that is true": lambda: token(exp=True),
    "another key": lambda: token(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "an unknown key id": lambda: token(header={"kid": "rsa-9"}),
    "an algorithm that is not on the list": lambda: token(alg="RS512"),
    "the key of another algorithm": lambda: token(header={"kid": "ec-1"}),
    "the public key as a secret": lambda: _hmac_with(PUBLIC_PEM),
    "no signature": lambda: jwt.encode({"sub": "ada"}, None, algorithm="none", headers={"kid": "rsa-1"}),
    "a critical header": lambda: token(header={"crit": ["b64"], "b64": False}),
    "noise": lambda: "a.b.c",
    "nothing": lambda: "",
    "too much": lambda: "x" * 20_000,
}


def _hmac_with(secret: bytes) -> str:
    import base64
    import hashlib
    import hmac
    import json

    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": NOW_S, "exp": NOW_S + 600}
    body = part({"alg": "HS256", "kid": "rsa-1"}) + b"." + part(claims)
    return (
        body + b"." + base64.urlsafe_b64encode(hmac.new(secret, body, hashlib.sha256).digest()).rstrip(b"=")
    ).decode()


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_token_names_nobody(what):
    with pytest.raises(ApproveError) as found:
        verifier().person(WRONG[what](), NOW_S)
    assert found.value.code == "TOKEN_INVALID"


def test_a_token_ends_when_it_says_and_at_the_latest_after_an_hour():
    for claims, now_s in (({}, NOW_S + 630), ({"exp": NOW_S + 10**6}, NOW_S + 3630)):
        with pytest.raises(ApproveError) as found:
            verifier().person(token(**claims), now_s)
        assert found.value.code == "TOKEN_EXPIRED"
    assert verifier().person(token(), NOW_S + 629)  # clocks differ a little


def test_only_asymmetric_algorithms_can_be_allowed():
    for algorithms in (("HS256",), ("none",), ("RS256", "HS512"), ()):
        with pytest.raises(ApproveError):
            verifier(algorithms=algorithms)


def test_keys_seen_before_serve_while_the_issuer_is_down_and_are_not_asked_for_at_every_token():
    asked = []

    def fetch():
        asked.append(1)
        if len(asked) > 1:
            raise OSError("down")
        return key_set()

    oidc = Oidc(ISSUER, AUDIENCE, fetch)
    for n in range(10):
        assert oidc.person(token(), NOW_S + n)
    assert oidc.person(token(), NOW_S + 301) and len(asked) == 2
    with pytest.raises(ApproveError):
        Oidc(ISSUER, AUDIENCE, lambda: {"keys": []}).person(token(), NOW_S)


def test_keys_come_from_a_file_too(tmp_path):
    import json

    (tmp_path / "keys.json").write_text(json.dumps(key_set()))
    assert fetch_keys((tmp_path / "keys.json").as_uri())() == key_set()
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match="no object"):
        fetch_keys((tmp_path / "list.json").as_uri())()
