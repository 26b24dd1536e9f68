"""Apache Kafka from Maven Central, as jars in `.kafka/` of the checkout.

Maven reads tools/kafka/pom.xml once; afterwards neither Maven nor a network is needed. The folder is named by the hash
of the pom, so another version never meets the jars of the last one, and it appears only when it is complete.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".kafka"
POM = ROOT / "tools" / "kafka" / "pom.xml"
JAVA_AT_LEAST = 17  # what the server of Kafka 4 is compiled for
FETCH_S = 900
# --update-snapshots also asks again for what was missing at the last try, which Maven otherwise remembers for a day.
QUIET = ("--batch-mode", "--quiet", "--no-transfer-progress", "--update-snapshots", "-Dstyle.color=never")


class KafkaUnavailable(Exception):
    """Kafka cannot be started here; the text says what is missing and what to do."""


def java() -> str:
    """Path of a `java` that can run Kafka: that of JAVA_HOME, else of the PATH."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if not found or not os.access(found, os.X_OK):
        where = f"JAVA_HOME={home}" if home else "the PATH"
        raise KafkaUnavailable(
            f"no java in {where}; Kafka needs Java {JAVA_AT_LEAST} or newer. "
            f"On Debian or Ubuntu: apt-get install openjdk-{JAVA_AT_LEAST}-jre-headless."
        )
    said = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if not version or int(version[1]) < JAVA_AT_LEAST:
        raise KafkaUnavailable(f"Kafka needs Java {JAVA_AT_LEAST} or newer; {found} says: {said.strip()}")
    return found


def jars() -> Path:
    """The folder with all jars; fetches them when this pom was never fetched. Safe when several ask at once."""
    place = CACHE / f"jars-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            _fetch(place)
    return place


def _fetch(place: Path) -> None:
    maven = shutil.which("mvn")
    if not maven:
        raise KafkaUnavailable(
            "Kafka's jars are not here yet and there is no mvn in the PATH to fetch them. "
            "On Debian or Ubuntu: apt-get install maven."
        )
    part = place.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    goal = ("dependency:copy-dependencies", f"-DoutputDirectory={part}")
    command = [maven, *QUIET, "--strict-checksums", "-f", str(POM), *goal]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=FETCH_S, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise KafkaUnavailable(f"Maven did not fetch Kafka within {FETCH_S} s: {' '.join(command)}") from late
    if done.returncode or not any(part.glob("kafka_*.jar")):
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise KafkaUnavailable(f"Maven could not fetch Kafka; `{' '.join(command)}` ended so:\n{tail}")
    part.rename(place)
    print(f"Kafka fetched in {time.monotonic() - began:.1f} s", file=sys.stderr)
