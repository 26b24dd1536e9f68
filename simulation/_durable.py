"""The real stores for some of the seeds: SQLite on disk with full sync, opened anew for every history."""

import shutil
import tempfile
from pathlib import Path

from actions._gateway_store import SqliteGatewayStore
from actions._ledger import Ledger, Seal
from actions._ledger_sqlite import SqliteLedger


class _Ledger(SqliteLedger):
    """A ledger in a directory of its own, which goes away with it."""

    def __init__(self, seal: Seal) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="tidegate-simulation-"))
        super().__init__(self._place / "ledger", seal)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._place, ignore_errors=True)


def sqlite_ledger(seal: Seal) -> Ledger:
    return _Ledger(seal)


def sqlite_gateway_store() -> SqliteGatewayStore:
    """In memory: what it must keep through the gateway's deaths it keeps in this object."""
    return SqliteGatewayStore(":memory:")
