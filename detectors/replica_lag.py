"""Replica lag: a copy that is more than half an hour behind. See `_bound.py`. Opt-in."""

from detectors._bound import Bound
from detectors._own_tail import gauges
from schemas import SeriesDef


class ReplicaLag(Bound):
    """Gauges in seconds whose name says lag of a replica or of replication."""

    kind = "replica_lag"
    bound = 1800.0

    def accepts(self, series: SeriesDef) -> bool:
        name = series.name.lower()
        return gauges(series) and series.unit == "s" and "lag" in name and "replica" in name


PLUGIN = ReplicaLag
