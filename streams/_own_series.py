"""Series that nobody sent: derived of spans and lines, and what is told of the telemetry itself."""

from schemas import SeriesDef

LATE, SAMPLES = "telemetry.late", "telemetry.samples"


def is_own(series: SeriesDef) -> bool:
    """Whether its samples belong to the ledger of what we derived; looks only at what belongs to a trait."""
    return series.signal in ("logs", "traces") or series.is_event
