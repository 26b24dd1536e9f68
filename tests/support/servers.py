"""A program that serves while a block runs: a free port, started, waited for, stopped; its log where it does not."""

import os
import random
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PORTS = range(15000, 32000)  # below those that systems give to whoever asks for any, as every connection does
PROCESSES = 32


def free_ports() -> Iterator[int]:
    """Ports of 127.0.0.1 on which nothing listens, each only once, none that another test process is given.

    A port that was let go of stays free for a restart: nobody who asks for any port is given one of these.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
    mine = PORTS[process::PROCESSES]
    for port in random.SystemRandom().sample(mine, len(mine)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


_ports = free_ports()  # one for all, so that no two servers of a process are given the same


def free_port() -> int:
    """The next of `free_ports`."""
    return next(_ports)


def answers(url: str) -> bool:
    """Whether a GET is answered by 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until_it_answers(process: "subprocess.Popen[bytes]", url: str, log: Path, patience_s: float = 120) -> None:
    """Raises RuntimeError with the end of the log if it has ended or takes longer."""
    end = time.monotonic() + patience_s
    while not answers(url):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args} does not run: {log.read_text(errors='replace')[-1500:]}")
        time.sleep(0.05)


@contextmanager
def serving(
    command: Sequence[str], place: Path, ready: str, *, patience_s: float = 120
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs in the folder `place`, whose file `log` gets what it prints. ready: a URL that answers 200 then."""
    log = place / "log"
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=place, stdout=out, stderr=out)
    try:
        wait_until_it_answers(process, ready, log, patience_s)
        yield process
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
