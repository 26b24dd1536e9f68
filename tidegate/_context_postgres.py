"""The context store in PostgreSQL, for many who share one.

The words of an entry are cut in Python, as for SQLite, so that `cart-api` or `redis.conf` are found by the same words
in both; the server only counts them. Ranking differs: `ts_rank_cd` here, BM25 there. Source: PostgreSQL manual, 12.3.
"""

from collections.abc import Iterable, Sequence

import psycopg

from schemas import why
from tidegate._context import CONFIRMED, FORMAT, Entry, Store, words_of
from tidegate._errors import RunError

_TABLES = (
    "CREATE TABLE IF NOT EXISTS tidegate_context_meta (name text PRIMARY KEY, value text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tidegate_context_service (tenant text, name text, PRIMARY KEY (tenant, name))",
    """CREATE TABLE IF NOT EXISTS tidegate_context_entry (
      id text PRIMARY KEY, kind text NOT NULL, tenant text NOT NULL, service text NOT NULL, title text NOT NULL,
      body text NOT NULL, at_ns bigint NOT NULL, seen_ns bigint NOT NULL, words tsvector NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS tidegate_context_words ON tidegate_context_entry USING gin (words)",
)
_LOCK = 7238114801  # any number: the tables are made by one at a time
_PUT = """
INSERT INTO tidegate_context_entry VALUES (%s, %s, %s, %s, %s, %s, %s, %s,
  setweight(to_tsvector('simple', %s), 'A') || setweight(to_tsvector('simple', %s), 'B')
  || setweight(to_tsvector('simple', %s), 'C'))
ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, tenant = excluded.tenant, service = excluded.service,
  title = excluded.title, body = excluded.body, at_ns = excluded.at_ns, seen_ns = excluded.seen_ns,
  words = excluded.words
"""
_FIND = """
SELECT id, kind, tenant, service, title, body, at_ns FROM tidegate_context_entry, to_tsquery('simple', %s) AS wanted
WHERE words @@ wanted AND kind = ANY(%s) AND (%s = '' OR tenant IN ('', %s)) AND (%s = '' OR service IN ('', %s))
ORDER BY ts_rank_cd('{0.1, 0.25, 0.5, 1.0}', words, wanted) DESC, at_ns DESC, id LIMIT %s
"""
_MOST_WORDS = 20_000  # of one text: a tsvector holds a megabyte


class PostgresStore(Store):
    """Raises RunError if the server cannot be reached or the tables cannot be made."""

    def __init__(self, place: str) -> None:
        self._where = place.rsplit("@", maxsplit=1)[-1]
        try:
            self._db = psycopg.connect(place, autocommit=True, connect_timeout=10)
            with self._db.transaction():
                self._db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                for statement in _TABLES:
                    self._db.execute(statement)
                self._db.execute(
                    "INSERT INTO tidegate_context_meta VALUES ('format', %s) ON CONFLICT DO NOTHING", (str(FORMAT),)
                )
            found = self._db.execute("SELECT value FROM tidegate_context_meta WHERE name = 'format'").fetchone()
        except psycopg.Error as error:
            raise self._unusable(error) from error
        if found is None or found[0] != str(FORMAT):
            self._db.close()
            raise self._unusable(ValueError(f"it has another format than {FORMAT}, which this code reads"))

    def close(self) -> None:
        self._db.close()

    def feed(self, entries: Iterable[Entry], services: Iterable[tuple[str, str]], now_ns: int) -> int:
        put = [
            (*(_clean(text) for text in one[:6]), one.at_ns, now_ns, *(_words(text) for text in one[3:6]))
            for one in entries
        ]
        try:
            with self._db.transaction(), self._db.cursor() as cursor:
                cursor.executemany(_PUT, put)
                cursor.executemany(
                    "INSERT INTO tidegate_context_service VALUES (%s, %s) ON CONFLICT DO NOTHING",
                    sorted({(_clean(tenant), _clean(name)) for tenant, name in services}),
                )
        except psycopg.Error as error:
            raise self._unusable(error) from error
        return len(put)

    def found(self, words: Sequence[str], tenant: str, kinds: Sequence[str], service: str, most: int) -> list[Entry]:
        wanted = " | ".join(f"'{word}'" for word in words)
        asked = (wanted, list(kinds), tenant, tenant, service, service, most)
        return [Entry(*row) for row in self._db.execute(_FIND, asked).fetchall()]

    def of_kinds(self, kinds: Sequence[str]) -> list[Entry]:
        query = (
            "SELECT id, kind, tenant, service, title, body, at_ns FROM tidegate_context_entry "
            'WHERE kind = ANY(%s) ORDER BY id COLLATE "C"'
        )
        return [Entry(*row) for row in self._db.execute(query, (list(kinds),)).fetchall()]

    def ages(self) -> list[tuple[str, int, int, int, int]]:
        query = (
            "SELECT kind, count(*), min(at_ns), max(at_ns), max(seen_ns) FROM tidegate_context_entry "
            "GROUP BY kind ORDER BY 1"
        )
        return [(kind, n, *times) for kind, n, *times in self._db.execute(query).fetchall()]

    def times(self, kinds: Sequence[str]) -> list[tuple[str, str, int, bool]]:
        query = "SELECT id, kind, at_ns, position(%s in body) > 0 FROM tidegate_context_entry WHERE kind = ANY(%s)"
        return [(name, kind, at, said) for name, kind, at, said in self._db.execute(query, (CONFIRMED, list(kinds)))]

    def named(self, prefix: str) -> list[tuple[str, str]]:
        query = "SELECT id, kind FROM tidegate_context_entry WHERE starts_with(id, %s)"
        return [(name, kind) for name, kind in self._db.execute(query, (prefix,)).fetchall()]

    def drop(self, ids: Sequence[str]) -> None:
        try:
            with self._db.transaction():
                self._db.execute("DELETE FROM tidegate_context_entry WHERE id = ANY(%s)", (list(ids),))
        except psycopg.Error as error:
            raise self._unusable(error) from error

    def known(self) -> tuple[list[tuple[str, str]], dict[str, set[tuple[str, str]]]]:
        about: dict[str, set[tuple[str, str]]] = {}
        found = self._db.execute("SELECT DISTINCT kind, tenant, service FROM tidegate_context_entry").fetchall()
        for kind, tenant, name in found:
            about.setdefault(kind, set()).add((tenant, name))
        services = self._db.execute("SELECT tenant, name FROM tidegate_context_service").fetchall()
        return sorted((tenant, name) for tenant, name in services), about

    def _unusable(self, reason: Exception) -> RunError:
        return RunError(
            f"the context store cannot be used: {why(reason)[:300]}", where=self._where, code="CONTEXT_UNREADABLE",
            todo="Check the address, and that the user may create and write tables named tidegate_context_*",
        )  # fmt: skip


def _clean(text: str) -> str:
    return text.replace("\0", "")


def _words(text: str) -> str:
    return " ".join(words_of(text)[:_MOST_WORDS])
