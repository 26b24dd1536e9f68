"""Who may do what on a secured Kafka: a CA of its own, users, tokens, and the settings of both ends.

One listener for clients by name (SASL_SSL: SCRAM-SHA-512, PLAIN, OAUTHBEARER), one by certificate (mTLS), which the
nodes use among themselves too. The standard authorizer denies whatever no ACL allows; `admin` may do anything.
Tokens are real signed JWTs: Kafka checks signature, issuer, audience and time against a key file, a small token
endpoint over HTTP hands them out to whoever knows the password of the user.
"""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

Via = Literal["scram", "plain", "oauth", "mtls"]
USERS = ("admin", "alice", "bob")
ISSUER, AUDIENCE, KEY_ID = "https://issuer.test", "kafka", "key-1"
LOGIN = "org.apache.kafka.common.security"


class Security:
    """Makes keys and files in `place`; `users` get a password and a certificate each, `admin` is the super user."""

    def __init__(self, place: Path, users: tuple[str, ...] = USERS) -> None:
        self.place, self.users = place, users
        place.mkdir(parents=True, exist_ok=True)
        self.ca = trustme.CA()
        self.ca_file = place / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        for name in ("node", *users):
            self._certify(name)
        self._signing_key = rsa.generate_private_key(65537, 2048)
        (place / "jwks.json").write_text(json.dumps({"keys": [self._public_key()]}))
        self.endpoint = TokenEndpoint(self)

    @property
    def jvm(self) -> tuple[str, ...]:
        return (f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._jwks_url}",)

    def password(self, user: str) -> str:
        return f"{user}-secret"

    def passwords(self) -> dict[str, str]:
        return {user: self.password(user) for user in self.users}

    def client(self, user: str, via: Via) -> dict[str, Any]:
        """Settings of librdkafka for this user; SASL for the listener of names, mTLS for that of certificates."""
        tls = {"ssl.ca.location": str(self.ca_file)}
        if via == "mtls":
            return {
                **tls,
                "security.protocol": "SSL",
                "ssl.certificate.location": str(self.place / f"{user}.crt"),
                "ssl.key.location": str(self.place / f"{user}.key"),
            }
        tls["security.protocol"] = "SASL_SSL"
        if via == "oauth":
            return {
                **tls,
                "sasl.mechanism": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": self.endpoint.url,
                "sasl.oauthbearer.client.id": user,
                "sasl.oauthbearer.client.secret": self.password(user),
            }
        mechanism = "SCRAM-SHA-512" if via == "scram" else "PLAIN"
        return {
            **tls,
            "sasl.mechanism": mechanism,
            "sasl.username": user,
            "sasl.password": self.password(user),
        }

    def broker(self) -> dict[str, str]:
        """Settings of a node whose listeners are CLIENT, INNER and CONTROLLER."""
        plain = " ".join(f'user_{user}="{self.password(user)}"' for user in self.users)
        client = "listener.name.client"
        return {
            "listener.security.protocol.map": "CLIENT:SASL_SSL,INNER:SSL,CONTROLLER:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.place / "node.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
            "ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]*).*$/$1/,DEFAULT",
            f"{client}.ssl.client.auth": "none",
            f"{client}.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
            f"{client}.scram-sha-512.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
            f"{client}.plain.sasl.jaas.config": f"{LOGIN}.plain.PlainLoginModule required {plain};",
            f"{client}.oauthbearer.sasl.jaas.config": f"{LOGIN}.oauthbearer.OAuthBearerLoginModule required;",
            f"{client}.oauthbearer.sasl.server.callback.handler.class": (
                f"{LOGIN}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            "sasl.oauthbearer.jwks.endpoint.url": self._jwks_url,
            "sasl.oauthbearer.expected.issuer": ISSUER,
            "sasl.oauthbearer.expected.audience": AUDIENCE,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:node;User:admin",
            "allow.everyone.if.no.acl.found": "false",
        }

    def token(self, user: str, *, lives_s: float = 300.0) -> str:
        """A JWT that says this is `user`; negative `lives_s` makes one that has expired."""
        now = time.time()
        claims = {"sub": user, "iss": ISSUER, "aud": AUDIENCE, "iat": int(now), "exp": int(now + lives_s)}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": KEY_ID}, claims))
        signature = self._signing_key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"

    def close(self) -> None:
        self.endpoint.close()

    @property
    def _jwks_url(self) -> str:
        return (self.place / "jwks.json").as_uri()

    def _certify(self, name: str) -> None:
        issued = self.ca.issue_cert("localhost", "127.0.0.1", common_name=name)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        # Kafka reads no other form of key than PKCS #8.
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        (self.place / f"{name}.key").write_bytes(key_pem)
        (self.place / f"{name}.crt").write_bytes(chain)
        (self.place / f"{name}.pem").write_bytes(key_pem + chain)

    def _public_key(self) -> dict[str, str]:
        numbers = self._signing_key.public_key().public_numbers()
        modulus = _base64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big"))
        exponent = _base64(numbers.e.to_bytes(3, "big"))
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": modulus, "e": exponent}


class TokenEndpoint:
    """OAuth 2.0 client credentials (RFC 6749, 4.4) over HTTP on loopback; `issued` counts the tokens."""

    def __init__(self, security: Security) -> None:
        self.issued = 0
        self.lives_s = 300.0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                given = base64.b64decode(self.headers.get("Authorization", "Basic ").removeprefix("Basic ")).decode()
                user, _, password = given.partition(":")
                known = security.passwords().get(user) == password
                said: dict[str, Any] = {"error": "invalid_client"}
                if known:
                    endpoint.issued += 1
                    token = security.token(user, lives_s=endpoint.lives_s)
                    said = {"access_token": token, "token_type": "Bearer", "expires_in": int(endpoint.lives_s)}
                body = json.dumps(said).encode()
                self.send_response(200 if known else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


__all__ = ["USERS", "Security", "TokenEndpoint", "Via"]
