"""A real schema registry: Apicurio Registry, whose whole distribution is on Maven Central, with its in-memory store.

Confluent's interface is below `/apis/ccompat/v7`. Versions differ in what was published: 3.0.9 has `-all.tar.gz`.
"""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.debian import SERVERS
from support.servers import free_port, serving

from tools.kafka.jars import QUIET, java

VERSION = "3.0.9"
START_S = 120


def jar() -> Path:
    """Fetched once by Maven. Raises CalledProcessError, FileNotFoundError without Maven."""
    place = SERVERS / f"apicurio-{VERSION}"
    found = place / f"apicurio-registry-app-{VERSION}-runner.jar"
    SERVERS.mkdir(parents=True, exist_ok=True)
    with (SERVERS / "apicurio.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            making = SERVERS / "apicurio.making"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            goal = (
                "org.apache.maven.plugins:maven-dependency-plugin:2.8:get"  # newer ones want a parent that is not there
            )
            name = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
            own = making / "repository"
            command = ["mvn", *QUIET, goal, f"-Dartifact={name}", "-Dtransitive=false", f"-Dmaven.repo.local={own}"]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
            (archive,) = own.rglob("*-all.tar.gz")
            subprocess.run(["tar", "xzf", str(archive)], cwd=making, check=True, timeout=120)
            shutil.rmtree(own)
            making.rename(place)
    return found


@contextmanager
def running(place: Path) -> Iterator[str]:
    """The URL of Confluent's interface of an empty registry."""
    port = free_port()
    command = [
        java(), "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1",
        f"-Dquarkus.http.port={port}", "-jar", str(jar()),
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    with serving(command, place, f"{url}/subjects", patience_s=START_S):
        yield url
