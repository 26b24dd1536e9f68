"""The peers: each in an environment of its own, made from its lock file, run as a process, its answer compared.

A program says BEGIN at its first message and END when all is written; CPU is read from outside at both, then it is
ended. Its anomalies are read from its topic and must be the answer, window by window; otherwise the row says `wrong`.
Environments lie in `.bench/` of the checkout, named by the hash of what they were made from.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from bench.throughput._data import START, WINDOW_NS, Workload
from bench.throughput._proc import cpu_s, peak_rss_mb
from tools.kafka.jars import java

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".bench"
PEERS = ROOT / "bench" / "peers"
_FETCH_S = 900.0
_PROGRAM = {"points": "plain", "frames": "frames"}
_NIO = "--add-opens=java.base/java.nio=ALL-UNNAMED"  # what Arrow for Java asks for
_FLINK = ("--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED")


class PeerUnavailable(Exception):
    """A peer cannot be installed or run here; the text says why and becomes the row."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where it reads one message a point: share of the points that it is given, and of how many series at most.

    What is slow gets fewer; cost is told per point. Fed with frames, every peer gets all.
    """

    name: str
    title: str
    share: float
    most_series: int


PEER_LIST = (
    Peer("loop", "plain loop (confluent-kafka)", 0.1, 10_000),
    Peer("faust", "Faust", 0.1, 10_000),
    Peer("quix", "Quix Streams", 0.1, 10_000),
    Peer("bytewax", "Bytewax", 0.1, 10_000),
    Peer("flink", "Flink SQL", 1.0, 100_000),
)


def command(peer: Peer, layout: str) -> list[str]:
    """How the program of this peer is started; installs what it needs. Raises PeerUnavailable."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    if peer.name == "flink":
        place = _flink()
        return [java(), "-Xmx2g", _NIO, *_FLINK, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp",
                f"{place}/classes:{place}/jars/*", "bench.Peer", layout]  # fmt: skip
    script = str(PEERS / peer.name / f"{_PROGRAM[layout]}.py")
    more = ["worker", "-l", "error"] if peer.name == "faust" else []
    return [str(_venv(peer.name) / "bin" / "python"), script, *more]


def described(peer: Peer) -> str:
    """Name and version, as locked."""
    folder = PEERS / peer.name
    if peer.name == "flink":
        version = (folder / "pom.xml").read_text().split("<flink.version>")[1].split("<")[0]
    else:
        locked = re.findall(r'"[a-z\[\]-]+==([0-9.]+)"', (folder / "pyproject.toml").read_text())
        version = locked[0]
    return f"{peer.title} {version}"


def digest(peer: Peer) -> str:
    """Of all that a row of this peer is made from, but for our frames."""
    files = [*(PEERS / peer.name).rglob("*"), *(PEERS / "shared").glob("*.py")]
    files += [ROOT / "bench" / "throughput" / f"_{name}.py" for name in ("data", "load", "peers")]
    return _digest(sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts))


def _venv(name: str) -> Path:
    folder = PEERS / name
    lock = folder / "uv.lock"
    place = CACHE / f"{name}-{_digest([lock])}"
    if not (place / "made").exists():
        uv = shutil.which("uv") or str(ROOT / ".venv" / "bin" / "uv")
        _call([uv, "sync", "--frozen", "--quiet", "--project", str(folder)], {"UV_PROJECT_ENVIRONMENT": str(place)})
        (place / "made").touch()
    return place


def _flink() -> Path:
    folder = PEERS / "flink"
    sources = sorted((folder / "src").rglob("*.java"))
    place = CACHE / f"flink-{_digest([folder / 'pom.xml', *sources])}"
    if not (place / "made").exists():
        maven, compiler = shutil.which("mvn"), Path(java()).with_name("javac")
        if not maven or (not compiler.exists() and not shutil.which("javac")):
            raise PeerUnavailable("needs Maven and a Java compiler (apt-get install maven openjdk-17-jdk-headless)")
        jars = place / "jars"
        _call([maven, "-B", "-q", "-ntp", "-C", "-f", str(folder / "pom.xml"), "dependency:copy-dependencies",
               f"-DoutputDirectory={jars}"])  # fmt: skip
        javac = str(compiler) if compiler.exists() else "javac"
        _call([javac, "-d", str(place / "classes"), "-cp", f"{jars}/*", *map(str, sources)])
        (place / "made").touch()
    return place


def _call(line: Sequence[str], more: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            line, env={**os.environ, **(more or {})}, capture_output=True, text=True, timeout=_FETCH_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerUnavailable(f"cannot be installed: {error}") from error
    if done.returncode:
        raise PeerUnavailable(f"cannot be installed: {(done.stdout + done.stderr).strip()[-300:]}")


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def measure(
    peer: Peer, layout: str, brokers: str, work: Workload, *, source: str, out: str, messages: int, writers: int,
    ids: Sequence[str], limit_s: float,
) -> dict[str, Any]:  # fmt: skip
    """One run. source, out: topics. messages: that it has to read. ids: of the series as frames name them.

    Raises PeerUnavailable if it does not come to its end.
    """
    line = command(peer, layout)
    environment = {
        **os.environ, "BENCH_BROKERS": brokers, "BENCH_IN": source, "BENCH_OUT": out, "BENCH_MESSAGES": str(messages),
        "BENCH_WRITERS": str(writers), "PYTHONPATH": str(PEERS / "shared"),
    }  # fmt: skip
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(dir=CACHE) as place,  # what a peer keeps on disk must not meet its next run
        (Path(place) / "said").open("w+") as trouble,
        subprocess.Popen(
            line, env=environment, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=trouble, text=True
        ) as process,
    ):
        marks = _marks(process, began + limit_s)
        if "END" not in marks or "BEGIN" not in marks:
            trouble.seek(0)
            said = trouble.read().strip()[-400:]
            raise PeerUnavailable(f"did not end within {limit_s:.0f} s or failed: {said or 'it said nothing'}")
    (cpu_0, wall_0, _), (cpu_1, wall_1, peak) = marks["BEGIN"], marks["END"]
    names = {name: number for number, name in enumerate(ids if layout == "frames" else work.keys)}
    found = _answer(brokers, out, names)
    known = found & {(number, START + w * WINDOW_NS) for number, _ in found for w in range(work.windows)}
    return {
        "cpu_s": cpu_1 - cpu_0, "startup_cpu_s": cpu_0, "wall_s": wall_1 - wall_0, "peak_rss_mb": peak,
        "anomalies": len(known), "right": known == work.answer, "points": work.points,
    }  # fmt: skip


def _marks(process: "subprocess.Popen[str]", until: float) -> dict[str, tuple[float, float, int]]:
    """CPU, wall and memory at each word that it says, up to END; then it is ended."""
    found: dict[str, tuple[float, float, int]] = {}
    timer = threading.Timer(max(until - time.monotonic(), 1), process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() in ("BEGIN", "END"):
                found[line.strip()] = (cpu_s(process.pid), time.monotonic(), peak_rss_mb(process.pid))
            if line.strip() == "END":
                break
    finally:
        timer.cancel()
        process.kill()
    return found


def _answer(brokers: str, topic: str, names: Mapping[str, int]) -> set[tuple[int, int]]:
    """(series, start ns) of every anomaly in a topic of one partition; a name that nobody knows is series -1."""
    reader = Consumer({"bootstrap.servers": brokers, "group.id": "bench-answer", "enable.partition.eof": True})
    reader.assign([TopicPartition(topic, 0, 0)])
    found: set[tuple[int, int]] = set()
    while True:
        message = reader.poll(10)
        if message is None:
            raise PeerUnavailable(f"topic {topic} cannot be read")
        error = message.error()
        if error is not None:
            reader.close()
            if error.code() == KafkaError._PARTITION_EOF:
                return found
            raise PeerUnavailable(f"topic {topic} cannot be read: {error.str()}")
        record = json.loads(message.value() or b"")
        key = str(record["k"])
        if key not in names and key.lstrip("-").isdigit():  # Flink has no unsigned numbers
            key = f"{int(key) & (1 << 64) - 1:016x}"
        found.add((names.get(key, -1), int(record["start"]) * 1_000_000))
