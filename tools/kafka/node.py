"""One Kafka server process: its folder, its settings, its life and death.

A node is broker and controller at once (KRaft), small enough that three fit beside a test run: serial collector, first
compiler only, warnings only. What it prints lies in `server.log` of its folder.
"""

import atexit
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tools.kafka.jars import KafkaUnavailable, jars, java

START_S = 60.0
JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
# What makes a node quick and small; every test may set its own over these.
SMALL: Mapping[str, str] = {
    "auto.create.topics.enable": "false",
    "background.threads": "2",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",  # a node that was killed is not let in again before
    "controlled.shutdown.enable": "true",
    "group.coordinator.threads": "1",
    "group.initial.rebalance.delay.ms": "0",
    # The new group protocol (KIP-848) is on by default in Kafka 4; its clients take their time-outs from here.
    "group.consumer.heartbeat.interval.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.index.size.max.bytes": "1048576",
    "num.io.threads": "4",
    "num.network.threads": "2",
    "offsets.topic.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "4",
}


class Node:
    """A server that may be stopped, killed and started again on the same folder and ports."""

    def __init__(
        self, place: Path, settings: Mapping[str, str], *, heap: str = "384m", jvm: Iterable[str] = ()
    ) -> None:
        self.place = place
        self.settings = {**SMALL, **settings, "log.dirs": str(place / "data")}
        self._java = [java(), f"-Xmx{heap}", *JVM, *jvm, "-cp", f"{jars()}/*"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process; None when there is none."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> Path:
        return self.place / "server.log"

    def tail(self, lines: int = 30) -> str:
        """The last lines that the server printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def format(self, cluster_id: str, scram: Mapping[str, str] | None = None) -> None:
        """Lay out an empty folder; `scram` are users and passwords for SCRAM-SHA-512."""
        self.place.mkdir(parents=True, exist_ok=True)
        self._write()
        users = [f"SCRAM-SHA-512=[name={name},password={password}]" for name, password in (scram or {}).items()]
        command = [
            *self._java,
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster_id}",
            "-c",
            str(self._file),
        ]
        command += [part for user in users for part in ("--add-scram", user)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise KafkaUnavailable(f"Kafka could not lay out {self.place}:\n{tail}")

    def start(self) -> None:
        """Start the process; it is not ready yet. Does nothing when it runs."""
        if self.pid is None:
            self._write()
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*self._java, "kafka.Kafka", str(self._file)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            _guard(self._process.pid)

    def stop(self, timeout_s: float = 30.0) -> None:
        """SIGTERM: hands its partitions over, closes its logs. SIGKILL when that takes longer than `timeout_s`."""
        if self._process and self.pid is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
                _guard(-self._process.pid)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process and self.pid is not None:
            self._process.kill()
            self._process.wait()
            _guard(-self._process.pid)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def wait(self) -> int:
        """Until the process ends by itself; its exit code."""
        return self._process.wait() if self._process else 0

    def failed(self, waited_s: float) -> KafkaUnavailable | None:
        """What to raise when the node died or did not get ready in time; None while there is hope."""
        if self._process and (code := self._process.poll()) is not None:
            return KafkaUnavailable(f"Kafka ended with code {code} while starting; {self.log} ends so:\n{self.tail()}")
        if waited_s > START_S:
            return KafkaUnavailable(f"Kafka was not ready in {START_S:.0f} s; {self.log} ends so:\n{self.tail()}")
        return None

    @property
    def _file(self) -> Path:
        return self.place / "server.properties"

    def _write(self) -> None:
        self._file.write_text("".join(f"{key}={value}\n" for key, value in sorted(self.settings.items())))

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self.pid is not None:
            self._process.send_signal(number)


_GUARD = """
import os, signal, sys
alive = set()
for line in sys.stdin:
    pid = int(line)
    alive.add(pid) if pid > 0 else alive.discard(-pid)
for pid in alive:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        print("gone already:", pid, file=sys.stderr)
"""
_guards: list["subprocess.Popen[str]"] = []


def _guard(pid: int) -> None:
    """Have `pid` killed when this process ends in whatever way, SIGKILL included; `-pid` takes it off the list.

    A child of ours reads the list from a pipe that only we can write to: the pipe ends when we do.
    """
    if not _guards:
        _guards.append(
            subprocess.Popen(
                [sys.executable, "-S", "-c", _GUARD],
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        )
        atexit.register(_guards[0].communicate)
    pipe = _guards[0].stdin
    assert pipe is not None
    pipe.write(f"{pid}\n")
    pipe.flush()


def wait_for(ready: Callable[[], bool], nodes: Iterable[Node]) -> None:
    """Poll until `ready()`; raise KafkaUnavailable with the tail of the log of the node that died."""
    began = time.monotonic()
    while not ready():
        for node in nodes:
            if trouble := node.failed(time.monotonic() - began):
                raise trouble
        time.sleep(0.1)
