"""Schemathesis, in an environment of its own, against a running gateway: `run(url, token, examples)`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VERSION = "4.32.5"
PLACE = ROOT / ".servers" / f"schemathesis-{VERSION}"
HOOKS = """
import schemathesis

def raw(context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")

for media in ("application/x-protobuf", "text/calendar"):
    schemathesis.serializer(media)(raw)
"""
# What our document says of a body is its media type; the form is that of each sender's own documentation.
LEFT_OUT = "positive_data_acceptance"


def program() -> Path:
    """Raises CalledProcessError where it cannot be installed."""
    if not (PLACE / "ready").exists():
        uv = Path(sys.executable).with_name("uv")
        quiet: dict[str, Any] = {"check": True, "capture_output": True, "timeout": 300}
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, PLACE], **quiet)
        command = [uv, "pip", "install", "--quiet", "--python", PLACE / "bin/python", f"schemathesis=={VERSION}"]
        subprocess.run(command, **quiet)
        (PLACE / "ready").touch()
    return PLACE / "bin/schemathesis"


def run(url: str, token: str, examples: int) -> dict[str, Any]:
    """Every operation of `/openapi.json`, so many made-up requests each: code, and its own summary as text."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "hooks.py").write_text(HOOKS)
        command = [
            str(program()), "run", f"{url}/openapi.json", f"--max-examples={examples}", "--seed=1",
            f"--exclude-checks={LEFT_OUT}", "-H", f"Authorization: Bearer {token}", "--request-timeout=30",
        ]  # fmt: skip
        env = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": place, "NO_COLOR": "1"}
        done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=1200, check=False)
    return {"code": done.returncode, "said": done.stdout}


def summary(said: str) -> dict[str, Any]:
    """Numbers out of its last lines."""
    lines = [line.strip() for line in said.splitlines()]
    found = {"version": VERSION, "left_out": [LEFT_OUT]}
    for line in lines:
        if line.startswith("Tested:"):
            found["operations"] = int(line.split()[1])
        if " generated, " in line:
            found["cases"] = line
    return json.loads(json.dumps(found))
