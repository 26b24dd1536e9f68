"""A real kube-apiserver with etcd on localhost, with RBAC, for tests; and who may ask it."""

import http.client
import json
import os
import signal
import ssl
import subprocess
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support.servers import free_port

ADMIN = "admin-of-the-tests"


class Cluster:
    """`identities`: token to user name, beside the administrator; they may do what RBAC grants them."""

    def __init__(self, server: Path, etcd: Path, place: Path, identities: dict[str, str] | None = None) -> None:
        self.server, self.etcd, self.place = server, etcd, place
        self.port, self.store, self.peers = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.token_file, self.ca_file = place / "token", place / "certs/apiserver.crt"
        self.token_file.write_text(ADMIN)
        rows = [f'{ADMIN},admin,1,"system:masters"', *(f"{t},{u},{u}" for t, u in (identities or {}).items())]
        (place / "tokens.csv").write_text("\n".join(rows) + "\n")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
        (place / "account.key").write_bytes(key.private_bytes(*pem))
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> "Cluster":
        store, peers = f"http://127.0.0.1:{self.store}", f"http://127.0.0.1:{self.peers}"
        self._run([
            str(self.etcd), "--data-dir=etcd", f"--listen-client-urls={store}", f"--advertise-client-urls={store}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ])  # fmt: skip
        self._run([
            str(self.server), f"--etcd-servers={store}", "--cert-dir=certs", f"--secure-port={self.port}",
            "--bind-address=127.0.0.1", "--service-account-issuer=https://tests",
            "--service-account-key-file=account.key", "--service-account-signing-key-file=account.key",
            "--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC", "--token-auth-file=tokens.csv",
            "--disable-admission-plugins=ServiceAccount",
        ])  # fmt: skip
        for _ in range(300):
            try:
                if self.raw("GET", "/readyz")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.1)
            time.sleep(0.1)
        raise AssertionError((self.place / "log").read_text()[-2000:])

    def stop(self) -> None:
        for process in reversed(self.running):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _run(self, told: list[str]) -> None:
        log = (self.place / "log").open("ab")
        self.running.append(subprocess.Popen(told, cwd=self.place, stdout=log, stderr=log, start_new_session=True))

    def raw(self, method: str, path: str, body: object = None, token: str = ADMIN) -> tuple[int, dict]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind, "Accept": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text.startswith(b"{") else {}

    def ask(self, method: str, path: str, body: object = None) -> dict:
        status, told = self.raw(method, path, body)
        assert status < 300 or status == 409, f"{method} {path}: {status} {told.get('message')}"
        return told
