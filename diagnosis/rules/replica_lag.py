"""Replica lag or a failed job: data comes late or not at all, while requests are served as ever."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import certainty, lines, metrics, of_kind

_LAG = (
    "replica_lag", "replication_lag", "seconds_behind", "consumer_lag", "staleness", "data_age", "job_failed",
    "time_behind", "wal_lag",
)  # fmt: skip
"""The last two as the Collector's receivers for MySQL and PostgreSQL have them."""
_TEXT = ("replication lag", "replica is behind", "job failed", "etl failed", "task failed", "deadline exceeded for job")


class ReplicaLag:
    kind = "replica_lag"
    family = "data"
    about = "a replica, a consumer or a job is behind"

    def judge(self, scene: Scene) -> list[Said]:
        out = []
        for service in scene.services:
            late, said = metrics(scene, service, _LAG), lines(scene, service, _TEXT)
            if late or said:
                found = late or said
                serving = not of_kind(scene, service, "error_ratio")
                strength = 0.4 + 0.3 * certainty(found) + (0.2 if serving else 0.0)
                out.append(Said(service, strength, f"{service} is behind or its job failed", found[0]))
        return out


PLUGIN = ReplicaLag
