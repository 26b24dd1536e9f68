"""An S3 server in a process of its own, from a wheel in an environment of its own (moto, through `uv tool run`).

It speaks the protocol over HTTP, keeps everything in memory and checks no credentials. Whoever cannot have it fails
with the words of `uv`: there is no way around it in the tests that ask for it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from support.kafka import HOST
from support.servers import free_port

VERSION = "5.2.5"
COMMAND = (
    "tool", "run", "--quiet", "--from", f"moto[s3]=={VERSION}", "--with", "flask==3.*", "--with", "flask-cors==6.*",
)  # fmt: skip
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tidegate", "AWS_SECRET_ACCESS_KEY": "tidegate", "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip
"""For the environment of whoever uses it."""
_PATIENCE_S = 120


class ObjectStore:
    """`with ObjectStore("snapshots") as store:` has one bucket of that name; `store.address("x")` is in it."""

    def __init__(self, bucket: str) -> None:
        self.bucket, self.port = bucket, free_port()
        self._place = Path(tempfile.mkdtemp(prefix="tidegate-s3-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()
        shutil.rmtree(self._place, ignore_errors=True)

    def address(self, path: str) -> str:
        """As it stands in `shards.snapshots`."""
        return f"s3://{self.bucket}/{path}?endpoint_override={HOST}:{self.port}&scheme=http&region=us-east-1"

    def start(self) -> None:
        """Start it, wait until it answers, make the bucket."""
        uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
        assert uv, "no uv beside this Python or in the PATH: run `make setup`"
        log = self._place / "server.log"
        with log.open("wb") as sink:
            command = [uv, *COMMAND, "moto_server", "-H", HOST, "-p", str(self.port)]
            self._process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
        until = time.monotonic() + _PATIENCE_S
        while not self._has_bucket():
            assert self._process.poll() is None and time.monotonic() < until, f"no S3 server: {log.read_text()[-2000:]}"
            time.sleep(0.1)

    def stop(self) -> None:
        """End it; what it kept is gone."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def _has_bucket(self) -> bool:
        try:
            asked = urllib.request.Request(f"http://{HOST}:{self.port}/{self.bucket}", method="PUT")
            with urllib.request.urlopen(asked, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False
