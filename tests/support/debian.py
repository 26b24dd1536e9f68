"""Programs of Debian packages, unpacked and not installed, kept in `.servers/`; by one process at a time."""

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import Any

SERVERS = Path(__file__).resolve().parents[2] / ".servers"


def unpacked(package: str, place: str, program: str) -> Path:
    """The program in the folder `place` of `.servers`. Raises CalledProcessError where the package cannot be had."""
    folder = SERVERS / place
    binary = folder / program
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who runs a program that another still writes is told that it is busy
        if not binary.exists():
            quiet: dict[str, Any] = {"check": True, "capture_output": True, "cwd": folder, "timeout": 300}
            if subprocess.run(["apt-cache", "show", package], capture_output=True, check=False).returncode:
                subprocess.run(["apt-get", "update"], **quiet)
            subprocess.run(["apt-get", "download", package], **quiet)
            (file,) = folder.glob(f"{package}_*.deb")
            making = folder / "making"
            shutil.rmtree(making, ignore_errors=True)
            subprocess.run(["dpkg-deb", "-x", str(file), str(making)], **quiet)
            (making / "usr").rename(folder / "usr")  # whole or not at all
    return binary
