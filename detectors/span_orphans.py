"""Requests whose caller's span never came, per endpoint, against their own history: spans are lost.

Callers that record nothing are in the history; what is told is more than that. No symptom and no evidence of a cause:
diagnosis believes what it sees the less, by the share that is missing. The law is that of `error_ratio`.
"""

from detectors.error_ratio import ErrorRatio
from schemas import AnomalyKind, SeriesDef


class SpanOrphans(ErrorRatio):
    """One-sided up, 60 s windows that slide by 10 s; the count `span.orphans` of the requests of its endpoint."""

    kind = "span_orphans"
    anomaly: AnomalyKind = "gap"

    def accepts(self, series: SeriesDef) -> bool:
        return series.name == "span.orphans" and series.kind == "count" and series.denominator is not None


PLUGIN = SpanOrphans
