"""AIOps challenge 2018: service indicators of internet companies, one pooled threshold for all of them."""

from pathlib import Path
from typing import Any

from bench.detection import _figures as fig
from bench.detection import _measured
from bench.detection._series import archives
from bench.detection._system import INDICATOR_PER_DAY, surprises

FIGURES = {
    "f1_delay7": fig.f1_delay7, "event_f1_log": fig.event_f1_log, "alarm_f1": fig.alarm_f1,
    "false_alarms_per_series_day": fig.false_alarms_per_day,
}  # fmt: skip


def measure(data: Path, with_peers: bool = False) -> dict[str, Any]:
    """Keys of the set."""
    series = archives(data)
    scores = surprises(series)
    return _measured.found(series, FIGURES, scores, INDICATOR_PER_DAY, with_peers=with_peers)


def table(found: dict[str, Any]) -> list[str]:
    """Lines to print."""
    return _measured.table("kpi2018", found)
