"""Connections in PostgreSQL: how many a role may have, and the end of one backend.

Our mark lies in a table of our own, written in the same transaction as the change, so both are there or none is. The
row is locked first: a fence waits for the write that is under way, and whatever comes later with an older epoch finds a
newer one and changes nothing. A limit that somebody else has set since does not carry our mark any more.
Set-up, once per database: `tidegate deploy rbac` prints it. Source: PostgreSQL's documentation of pg_stat_activity.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from actions._executor import Capabilities, Effect, ExecutorSettings, Mark, Reading, TargetAway, Written, read_mark
from schemas import Json, canonical, sha256, why

if TYPE_CHECKING:
    import psycopg

SET_UP = """\
create schema if not exists tidegate;
create table if not exists tidegate.mark (
  name text primary key, epoch bigint not null, mark text not null, value text not null
);
"""
_CAN = Capabilities(is_conditional=True, keeps_mark=True, fences=True, has_server_dry_run=False)
_LIMIT = """
select r.oid::text, r.rolconnlimit, (select count(*) from pg_stat_activity a where a.usesysid = r.oid),
    current_setting('max_connections')::int
from pg_roles r where r.rolname = %s and not r.rolsuper
"""
_BACKEND = """
select a.backend_type, coalesce(r.rolsuper, true) from pg_stat_activity a left join pg_roles r on r.oid = a.usesysid
where a.pid = %s and a.backend_start = %s::timestamptz
"""


class PostgresSettings(ExecutorSettings):
    dsn: str = ""
    """How to connect to the server of services not named below, without the password."""
    services: dict[str, str] = {}
    """How to connect, by name of the service that the target names."""
    roles: tuple[str, ...] = ()
    """The roles whose limit it may set; none by default."""
    password_file: Path | None = None
    """Read anew for each connection."""


class Postgres:
    kind = "postgres"
    settings: type[ExecutorSettings] = PostgresSettings
    verbs = ("postgres.pool_resize", "postgres.terminate_backend")
    capabilities: ClassVar[Mapping[str, Capabilities]] = dict.fromkeys(verbs, _CAN)
    permissions: ClassVar[Mapping[str, tuple[Mapping[str, Json], ...]]] = {
        "postgres.pool_resize": (
            {"attribute": "CREATEROLE"},
            {"grant": "each role that may be resized", "with": "ADMIN OPTION"},
        ),
        "postgres.terminate_backend": ({"grant": "pg_signal_backend"}, {"grant": "pg_read_all_stats"}),
    }  # fmt: skip
    set_up = SET_UP

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings

    def read(self, effect: Effect) -> Reading:
        import psycopg

        if effect.parameters.get("role", "") not in ("", *self._settings.roles):
            raise TargetAway(f"the role {effect.parameters['role']} is not one that may be resized", is_absent=True)
        try:
            with self._connected(effect) as db:
                return _reading(db, effect)
        except psycopg.Error as error:
            raise TargetAway(f"{effect.target} cannot be read: {why(error)}") from error

    def check(self, effect: Effect, reading: Reading) -> str | None:
        return None

    def write(self, effect: Effect, mark: Mark, reading: Reading) -> Written:
        """Refusals roll everything back; a connection lost in the middle is `lost`, whatever the server did."""
        import psycopg

        is_sent = False
        try:
            with self._connected(effect) as db:
                is_sent = True
                _lock(db, effect)
                epoch, _, _ = _row(db, effect)
                if mark.epoch < epoch:
                    return Written("refused", "STALE_EPOCH", f"the target is fenced at {epoch}")
                if _reading(db, effect).token != reading.token:
                    return Written("refused", "CONFLICT", "the target has moved")
                value = _do(db, effect)
                db.execute(
                    "update tidegate.mark set epoch = %s, mark = %s, value = %s where name = %s",
                    (mark.epoch, mark.text(), value, _name(effect)),
                )
            return Written("written")
        except psycopg.Error as error:
            state = error.sqlstate or ""
            if is_sent and (not state or state.startswith(("08", "57P"))):  # it went away: 08, 57P are the server's end
                return Written("lost", "CONNECTION", str(error)[:200])
            return Written("refused", state or "CONNECTION", str(error)[:200])
        except TargetAway as error:
            return Written("refused", error.code, str(error))

    def fence(self, effect: Effect, epoch: int) -> None:
        import psycopg

        try:
            with self._connected(effect) as db:
                _lock(db, effect)
                db.execute(
                    "update tidegate.mark set epoch = greatest(epoch, %s) where name = %s", (epoch, _name(effect))
                )
        except psycopg.Error as error:
            raise TargetAway(f"{effect.target} cannot be fenced: {why(error)}") from error

    @contextmanager
    def _connected(self, effect: Effect) -> "Iterator[psycopg.Connection[Any]]":
        """One transaction. Raises psycopg.Error; TargetAway if no server is set."""
        import psycopg

        dsn = self._settings.services.get(effect.target.split("/")[2], self._settings.dsn)
        if not dsn:
            raise TargetAway(f"no server is set for {effect.target}", is_absent=True)
        seconds = max(1, int(self._settings.timeout_s / 2))
        told = {"connect_timeout": seconds, "application_name": "tidegate-gateway",
                "options": f"-c statement_timeout={seconds}s -c lock_timeout={seconds}s -c timezone=UTC"}  # fmt: skip
        if self._settings.password_file is not None:
            told["password"] = self._settings.password_file.read_text().strip()
        with psycopg.connect(dsn, **told) as db:  # type: ignore[arg-type]
            yield db


def _name(effect: Effect) -> str:
    one = effect.parameters.get("role") or f"{effect.parameters.get('pid')}@{effect.parameters.get('backend_start')}"
    return f"{effect.verb.split('.')[1]} {one}"


def _lock(db: "psycopg.Connection[Any]", effect: Effect) -> None:
    db.execute("insert into tidegate.mark values (%s, 0, '', '') on conflict do nothing", (_name(effect),))
    db.execute("select 1 from tidegate.mark where name = %s for update", (_name(effect),))


def _row(db: "psycopg.Connection[Any]", effect: Effect) -> tuple[int, str, str]:
    row = db.execute("select epoch, mark, value from tidegate.mark where name = %s", (_name(effect),)).fetchone()
    return (int(row[0]), str(row[1]), str(row[2])) if row else (0, "", "")


def _reading(db: "psycopg.Connection[Any]", effect: Effect) -> Reading:
    _, text, marked = _row(db, effect)
    state: dict[str, Json]
    if effect.verb == "postgres.pool_resize":
        row = db.execute(_LIMIT, (effect.parameters["role"],)).fetchone()
        if row is None:
            raise TargetAway(f"there is no ordinary role '{effect.parameters['role']}'", is_absent=True)
        uid, value = row[0], str(row[1])
        state = {"connection_limit": row[1], "used": row[2], "max_connections": row[3]}
    else:
        told = (effect.parameters["pid"], effect.parameters["backend_start"])
        row = db.execute(_BACKEND, told).fetchone()
        uid, value = f"{told[0]}@{told[1]}", str(row is not None)
        state = {"is_connected": row is not None, "backend_type": row[0] if row else "gone",
                 "is_superuser": row[1] if row else None}  # fmt: skip
    mark = read_mark(text) if marked == value else None
    version = sha256(canonical([uid, value]))
    return Reading(uid, version, sha256(canonical([version, text])), state, mark)


def _do(db: "psycopg.Connection[Any]", effect: Effect) -> str:
    """The change itself; the value that the target has afterwards."""
    from psycopg import sql

    if effect.verb == "postgres.pool_resize":
        limit = int(str(effect.sets["connection_limit"]))
        role = sql.Identifier(str(effect.parameters["role"]))
        db.execute(sql.SQL("alter role {} connection limit {}").format(role, sql.Literal(limit)))
        return str(limit)
    db.execute(
        "select pg_terminate_backend(pid, 3000) from pg_stat_activity"
        " where pid = %s and backend_start = %s::timestamptz"
        " and backend_type = 'client backend' and pid <> pg_backend_pid()",
        (effect.parameters["pid"], effect.parameters["backend_start"]),
    )
    return "False"


PLUGIN = Postgres
