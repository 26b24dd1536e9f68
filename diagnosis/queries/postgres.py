"""PostgreSQL: does the suspect wait for locks, hold transactions open, or use up the connections?

One statement over `pg_stat_activity`, grouped by the name that an application gives itself, in a transaction that can
only read. No text of a query is read. Confirms lock waits and an exhausted pool; numbers of a healthy server are 0.
Source: PostgreSQL documentation, "The Cumulative Statistics System", `pg_stat_activity`.
"""

from collections.abc import Mapping

from diagnosis._contract import Answer, Context, Onset, Parameters, QueryFailed, Speaks, Suspect
from diagnosis.queries._numbers import number, shown

STATEMENT = """
SELECT application_name AS application,
       count(*) AS sessions,
       count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting,
       count(*) FILTER (
         WHERE state LIKE 'idle in transaction%' AND now() - state_change > interval '30 seconds') AS idle,
       current_setting('max_connections')::int AS most
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
GROUP BY application_name ORDER BY sessions DESC LIMIT 100
""".strip()
UNREADABLE = "POSTGRES_UNREADABLE"


class Postgres:
    """Sessions of the service as they are now; there is no before."""

    kind = "postgres_activity"
    subsystem = "postgres"
    version = "1"
    about = "that a service waits for locks, idles in transactions, or uses up the connections"
    evidence: Mapping[str, Speaks] = {
        "asked_lock_waits": Speaks("latency", "has sessions that wait for locks"),
        "asked_idle_transactions": Speaks("code", "keeps transactions open without doing anything"),
        "asked_connections": Speaks("pool", "uses most of the connections that there are"),
    }
    cost = 1.0
    timeout_s = 10.0
    parameters: type[Parameters] = Onset

    def ask(self, suspect: Suspect) -> Onset | None:
        return Onset.of(suspect)

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        """Raises QueryFailed."""
        reader = context.postgres
        if reader is None or not isinstance(parameters, Onset):
            raise QueryFailed("POSTGRES_NOT_SET_UP", "no address of a PostgreSQL server is set")
        asked = parameters
        rows = await reader.rows(STATEMENT)
        mine = next((row for row in rows if row.get("application") == asked.service), {})
        names = ("sessions", "waiting", "idle")
        sessions, waiting, idle = (number(mine.get(name, 0)) for name in names)
        most = number(next((row.get("most") for row in rows), 1))
        if sessions is None or waiting is None or idle is None or not most or min(sessions, waiting, idle, most) < 0:
            raise QueryFailed(UNREADABLE, "the answer is not of the statement that was asked")
        used = sessions / most
        found = [
            shown(kind, asked.service, strength, value, int(sessions), asked.onset_ns, asked.end_ns)
            for kind, strength, value in (
                ("asked_lock_waits", waiting / sessions if sessions else 0.0, waiting),
                ("asked_idle_transactions", idle / sessions if sessions else 0.0, idle),
                ("asked_connections", used if used >= 0.5 else 0.0, sessions),
            )
        ]
        return Answer(findings=found, cost=1.0)


PLUGIN = Postgres
