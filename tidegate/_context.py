"""The context store: what an organisation knows around its incidents, with full-text search.

One SQLite file, or tables in PostgreSQL where several people share one (`_context_postgres.py`). Fed from the topics
(changes, calendar, alerts of others, past incidents with their causes and labels, outcomes of actions), from the
runbooks in force, and from documents that people keep (postmortems, runbooks, objectives, owners). Feeding it again
changes nothing but how fresh it is; what is old, or what people no longer keep, is forgotten (`Keep`). It says itself
how old its newest entry of each kind is and of which services it knows no owner, no runbook and no objective. Source:
SQLite FTS5, "The Bm25 Function".
"""

import re
import sqlite3
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from schemas import why
from schemas.core import NS
from tidegate._errors import RunError

FORMAT = 1
FOLDERS = {"postmortems": "postmortem", "runbooks": "runbook", "slos": "slo", "owners": "owner"}
"""Folder of documents -> kind of what lies in it."""
KINDS = ("change", "calendar", "alert", "incident", "action", *FOLDERS.values())
WANTED = ("owner", "runbook", "slo")
MOST_WORDS = 30
PASSING = ("change", "calendar", "alert", "incident", "action")
"""Kinds that happened once; what is said of them grows old."""
CONFIRMED = "(said by "
"""In the text of an incident whose cause somebody said."""
SCHEMES = ("postgresql://", "postgres://")
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entry (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, tenant TEXT NOT NULL, service TEXT NOT NULL,
  title TEXT NOT NULL, body TEXT NOT NULL, at_ns INTEGER NOT NULL, seen_ns INTEGER NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(service, title, body, content='entry', content_rowid='number');
CREATE TRIGGER IF NOT EXISTS entry_in AFTER INSERT ON entry BEGIN
  INSERT INTO words(rowid, service, title, body) VALUES (new.number, new.service, new.title, new.body); END;
CREATE TRIGGER IF NOT EXISTS entry_out AFTER DELETE ON entry BEGIN
  INSERT INTO words(words, rowid, service, title, body)
  VALUES ('delete', old.number, old.service, old.title, old.body); END;
CREATE TABLE IF NOT EXISTS service (tenant TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (tenant, name));
"""


class Entry(NamedTuple):
    """service: plain name, empty for all. tenant: empty for all. at_ns: when it happened, 0 for what has no time."""

    id: str
    kind: str
    tenant: str
    service: str
    title: str
    body: str
    at_ns: int


class Keep(NamedTuple):
    """How much stays. days: of what happened once; incidents whose cause somebody said stay, for they are precedents.

    most: entries in all of what happened once, the newest; documents and runbooks are as many as people keep.
    """

    days: float = 400.0
    most: int = 200_000


class Store(ABC):
    """Use as a context manager; only one thread at a time."""

    @abstractmethod
    def feed(self, entries: Iterable[Entry], services: Iterable[tuple[str, str]], now_ns: int) -> int:
        """Put them in, in place of what has the same id; all or none. services: (tenant, name) that are known of.

        Returns how many. Raises RunError if the store cannot be written.
        """

    @abstractmethod
    def found(
        self, words: Sequence[str], tenant: str, kinds: Sequence[str], service: str, most: int
    ) -> list[Entry]:  # fmt: skip
        """What `search` asks for; words are lower case, of letters and digits only."""

    @abstractmethod
    def times(self, kinds: Sequence[str]) -> list[tuple[str, str, int, bool]]:
        """Of every entry of these kinds: id, kind, when it happened, and whether somebody said its cause."""

    @abstractmethod
    def named(self, prefix: str) -> list[tuple[str, str]]:
        """Id and kind of every entry whose id begins so."""

    @abstractmethod
    def drop(self, ids: Sequence[str]) -> None:
        """Take them out; all or none."""

    @abstractmethod
    def of_kinds(self, kinds: Sequence[str]) -> list[Entry]:
        """Every entry of these kinds, by id."""

    @abstractmethod
    def ages(self) -> list[tuple[str, int, int, int, int]]:
        """By kind, sorted: how many, when the oldest and the newest happened (0: never), when the last was fed, ns."""

    @abstractmethod
    def known(self) -> tuple[list[tuple[str, str]], dict[str, set[tuple[str, str]]]]:
        """Services that are known of as (tenant, name), sorted; and those that an entry of a kind is about."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def search(
        self, text: str, *, tenant: str = "", kinds: Iterable[str] = (), service: str = "", most: int = 20
    ) -> list[Entry]:
        """Best first, names of services counting most; any of the words is enough, no operator is obeyed.

        tenant: only its entries and those of nobody in particular; service: likewise. The order of what fits equally
        well is the newest first, then by id.
        """
        words = words_of(text)[:MOST_WORDS]
        return self.found(words, tenant, list(kinds) or list(KINDS), service, most) if words else []

    def forget(self, keep: Keep, now_ns: int, current: Mapping[str, Iterable[str]] | None = None) -> dict[str, int]:
        """Take out what is too old or too much, and what people no longer keep; returns how many by kind.

        current: by the beginning of ids, those that are still there, as `{"document/": ids}`. Nothing else is lost:
        records lie in their topics, and what was decided and done in the audit log.
        """
        since = now_ns - round(keep.days * 86_400 * NS)
        rows = sorted(self.times(PASSING), key=lambda row: (-row[2], row[0]))
        gone = {row[0]: row[1] for row in rows if not row[3] and row[2] < since}
        stay = [row for row in rows if row[0] not in gone]
        gone |= {row[0]: row[1] for row in stay[keep.most :]}
        for prefix, ids in (current or {}).items():
            kept = set(ids)
            gone |= {name: kind for name, kind in self.named(prefix) if name not in kept}
        self.drop(sorted(gone))
        return dict(sorted(Counter(gone.values()).items()))

    def status(self, now_ns: int) -> dict[str, Any]:
        """Entries and their age by kind, in seconds; and the services of which something is not known."""
        kinds = {
            kind: {"entries": n, "newest_age_s": (now_ns - newest) / NS if newest else None,
                   "oldest_age_s": (now_ns - oldest) / NS if oldest else None, "fed_age_s": (now_ns - seen) / NS}
            for kind, n, oldest, newest, seen in self.ages()
        }  # fmt: skip
        services, about = self.known()
        coverage = {}
        for kind in WANTED:
            have = about.get(kind, set())
            missing = [name for tenant, name in services if not {(tenant, name), ("", name)} & have]
            coverage[kind] = {"share": 1 - len(missing) / len(services) if services else None, "missing": missing}
        return {"kinds": kinds, "services": len(services), "coverage": coverage}


def words_of(text: str) -> list[str]:
    """Letters and digits in lower case, cut at everything else, as both stores do.

    >>> words_of('Cart-API: redis_7 AND "x"')
    ['cart', 'api', 'redis', '7', 'and', 'x']
    """
    return [word.lower() for word in re.findall(r"[^\W_]+", text)]


class SqliteStore(Store):
    """One file; many may read while one writes. Raises RunError if it is no context store."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._db.executescript(_TABLES)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (str(FORMAT),))
            found = self._db.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error
        if found[0] != str(FORMAT):
            raise self._unusable(ValueError(f"it has format {found[0]}, this code reads {FORMAT}"))

    def close(self) -> None:
        self._db.close()

    def feed(self, entries: Iterable[Entry], services: Iterable[tuple[str, str]], now_ns: int) -> int:
        rows = list(entries)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("DELETE FROM entry WHERE id = ?", [(one.id,) for one in rows])
                self._db.executemany(
                    "INSERT INTO entry (id, kind, tenant, service, title, body, at_ns, seen_ns) "
                    "VALUES (?,?,?,?,?,?,?,?)", [(*one, now_ns) for one in rows],
                )  # fmt: skip
                self._db.executemany("INSERT OR IGNORE INTO service VALUES (?, ?)", sorted(set(services)))
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return len(rows)

    def found(self, words: Sequence[str], tenant: str, kinds: Sequence[str], service: str, most: int) -> list[Entry]:
        rows = self._db.execute(
            "SELECT e.id, e.kind, e.tenant, e.service, e.title, e.body, e.at_ns FROM words "
            "JOIN entry e ON e.number = words.rowid WHERE words MATCH ? "
            f"AND e.kind IN ({','.join('?' * len(kinds))}) "
            "AND (? = '' OR e.tenant IN ('', ?)) AND (? = '' OR e.service IN ('', ?)) "
            "ORDER BY bm25(words, 4.0, 2.0, 1.0), e.at_ns DESC, e.id LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words), *kinds, tenant, tenant, service, service, most),
        ).fetchall()
        return [Entry(*row) for row in rows]

    def of_kinds(self, kinds: Sequence[str]) -> list[Entry]:
        query = (
            "SELECT id, kind, tenant, service, title, body, at_ns FROM entry "
            f"WHERE kind IN ({','.join('?' * len(kinds))}) ORDER BY id"
        )
        return [Entry(*row) for row in self._db.execute(query, tuple(kinds))]

    def ages(self) -> list[tuple[str, int, int, int, int]]:
        query = "SELECT kind, count(*), min(at_ns), max(at_ns), max(seen_ns) FROM entry GROUP BY kind ORDER BY kind"
        return list(self._db.execute(query))

    def times(self, kinds: Sequence[str]) -> list[tuple[str, str, int, bool]]:
        query = f"SELECT id, kind, at_ns, instr(body, ?) > 0 FROM entry WHERE kind IN ({','.join('?' * len(kinds))})"
        return [(name, kind, at, bool(said)) for name, kind, at, said in self._db.execute(query, (CONFIRMED, *kinds))]

    def named(self, prefix: str) -> list[tuple[str, str]]:
        return list(self._db.execute("SELECT id, kind FROM entry WHERE substr(id, 1, ?) = ?", (len(prefix), prefix)))

    def drop(self, ids: Sequence[str]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("DELETE FROM entry WHERE id = ?", [(name,) for name in ids])
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def known(self) -> tuple[list[tuple[str, str]], dict[str, set[tuple[str, str]]]]:
        about: dict[str, set[tuple[str, str]]] = {}
        for kind, tenant, name in self._db.execute("SELECT DISTINCT kind, tenant, service FROM entry"):
            about.setdefault(kind, set()).add((tenant, name))
        return list(self._db.execute("SELECT tenant, name FROM service ORDER BY tenant, name")), about

    def _unusable(self, reason: Exception) -> RunError:
        return RunError(
            f"is no context store that can be used: {why(reason)}", where=str(self.path), code="CONTEXT_UNREADABLE",
            todo="Build it again with `tidegate context build`",
        )  # fmt: skip


def open_store(place: str, *, must_exist: bool = False) -> Store:
    """place: the path of a file, or `postgresql://USER@HOST/DB`. Raises RunError.

    must_exist: a file that is not there is an error, and not an empty store.
    """
    if not place.startswith(SCHEMES):
        if must_exist and not Path(place).is_file():
            raise RunError("there is no context store", where=place, todo="Run `tidegate context build` first")
        return SqliteStore(Path(place))
    try:
        from tidegate._context_postgres import PostgresStore
    except ImportError as error:
        where = place.rsplit("@", maxsplit=1)[-1]
        raise RunError("psycopg is not installed", where=where, todo="Install the extra `postgres`") from error
    return PostgresStore(place)
