"""`postgres.terminate_backend`: end one connection, named by process id and start time, so never a later one.

Its transaction is rolled back by the server and cannot be had again, so there is no undo. Only what a client opened is
ended: no replication, no maintenance, no superuser.
"""

from collections.abc import Mapping

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk
from schemas import Json


class Backend(Parameters):
    pid: int = Field(ge=2)
    backend_start: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")
    """As pg_stat_activity has it, in UTC."""


class PostgresTerminateBackend(Declared):
    name = "postgres.terminate_backend"
    parameters: type[Parameters] = Backend
    risk: Risk = "high"
    is_reversible = False
    effect_class: EffectClass = "naturally_idempotent"
    permissions: tuple[str, ...] = ("postgres: pg_signal_backend", "postgres: pg_read_all_stats")
    owner = "database"
    evidence_limit_s = 60
    settle_s = 60
    selectors = ("pid", "backend_start")

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_connected": True}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"is_connected": False}

    def limit(self, parameters: Parameters, state: Mapping[str, Json]) -> str | None:
        if state.get("backend_type") != "client backend" or state.get("is_superuser") is not False:
            return f"it is a {state.get('backend_type')} and not one of an ordinary client"
        return None


PLUGIN = PostgresTerminateBackend
