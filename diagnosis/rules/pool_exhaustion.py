"""Pool exhaustion: all connections or threads are taken and callers wait; the cause owns the pool, not its database."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import certainty, lines, metrics, of_kind

_POOL = (
    "pool", "connections_active", "connections_used", "connections_pending", "threads_busy", "queue_size",
    "connection_wait", "connection_pending", "connection_timeouts",
)  # fmt: skip
"""The last three are of OpenTelemetry's conventions, `db.client.connection.wait_time` and the like; its `usage` is not
there, because connections are also busy where what they ask is slow."""
_TEXT = ("connection pool", "pool exhausted", "timeout waiting for connection", "too many connections", "hikari")


class PoolExhaustion:
    kind = "pool_exhaustion"
    family = "saturation"
    about = "all connections or threads of a pool are taken and requests wait"

    def judge(self, scene: Scene) -> list[Said]:
        out = []
        for service in scene.services:
            full, said = metrics(scene, service, _POOL), lines(scene, service, _TEXT)
            waits = of_kind(scene, service, "latency", "error_ratio")
            if (full or said) and waits:
                found = said or full
                strength = 0.5 + 0.3 * certainty(found) + (0.2 if full and said else 0.0)
                out.append(Said(service, strength, f"the pool of {service} is full and its requests wait", found[0]))
        return out


PLUGIN = PoolExhaustion
