"""`postgres.pool_resize`: set how many connections one role may have, from one absolute number to another.

Never above 80 % of what the server has, which is the DBA's and not ours to give away, and never below what is in use.
It is meant for a while: let the plan revert it once things are normal (`revert_after_ns`).
Source: seed 002, pool exhaustion: +20 %, under the hard limit, reverted after 30 minutes.
"""

from collections.abc import Mapping

from pydantic import Field, model_validator

from actions._contract import Declared, EffectClass, Parameters, Risk, Undo
from schemas import Json

HARD_LIMIT = 0.8  # share of max_connections; from the source, not tuned


class Resize(Parameters):
    role: str = Field(pattern="^[a-z_][a-z0-9_]{0,62}$")
    from_limit: int = Field(ge=1)
    to_limit: int = Field(ge=1)

    @model_validator(mode="after")
    def _moves(self) -> "Resize":
        if self.from_limit == self.to_limit:
            raise ValueError(f"from_limit and to_limit are both {self.to_limit}")
        return self


class PostgresPoolResize(Declared):
    name = "postgres.pool_resize"
    parameters: type[Parameters] = Resize
    risk: Risk = "medium"
    is_reversible = True
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = ("postgres: CREATEROLE, and ADMIN OPTION on the roles that may be resized",)
    owner = "database"
    settle_s = 120
    selectors = ("role",)

    def undo(self, parameters: Parameters) -> Undo | None:
        assert isinstance(parameters, Resize)
        back = {"from_limit": parameters.to_limit, "to_limit": parameters.from_limit}
        return Undo(self.name, parameters.model_dump(mode="json") | back)

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Resize)
        return {"connection_limit": parameters.from_limit}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, Resize)
        return {"connection_limit": parameters.to_limit}

    def limit(self, parameters: Parameters, state: Mapping[str, Json]) -> str | None:
        assert isinstance(parameters, Resize)
        most, used = state.get("max_connections"), state.get("used")
        if not isinstance(most, int) or not isinstance(used, int):
            return "nobody knows how many connections there are"
        if parameters.to_limit > HARD_LIMIT * most:
            return f"{parameters.to_limit} of {most} connections are more than {HARD_LIMIT:.0%}"
        if parameters.to_limit < used:
            return f"{used} connections are in use"
        return None


PLUGIN = PostgresPoolResize
