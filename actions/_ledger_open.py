"""Which ledger a place names: a file on this node, or PostgreSQL for many."""

from pathlib import Path

from actions._ledger import Ledger, Seal
from actions._ledger_sqlite import SqliteLedger
from actions._machine_errors import LedgerFault


def open_ledger(place: str, seal: Seal) -> Ledger:
    """place: `postgresql://USER@HOST1,HOST2/DB`, or the path of a file. Raises LedgerFault."""
    if not place.startswith(("postgresql://", "postgres://")):
        return SqliteLedger(Path(place), seal)
    try:
        from actions._ledger_postgres import PostgresLedger
    except ImportError as error:
        raise LedgerFault(
            "psycopg is not installed", where=place.split("@")[-1], todo="Install the extra `postgres`"
        ) from error
    return PostgresLedger(place, seal)
