"""Microsoft cloud monitoring: latencies, request rates, crash and purchase rates at a minute or an hour, many short."""

from pathlib import Path
from typing import Any

from bench.detection import _figures as fig
from bench.detection import _measured
from bench.detection._series import tables
from bench.detection._system import INDICATOR_PER_DAY, surprises

TRAIN_SHARE = 0.4
FIGURES = {
    "alarm_f1": fig.alarm_f1, "event_f1_log": fig.event_f1_log,
    "false_alarms_per_series_day": fig.false_alarms_per_day,
}  # fmt: skip


def measure(data: Path, with_peers: bool = False) -> dict[str, Any]:
    """Keys of the set."""
    series = tables(data, TRAIN_SHARE)
    scores = surprises(series)
    return _measured.found(series, FIGURES, scores, INDICATOR_PER_DAY, with_peers=with_peers)


def table(found: dict[str, Any]) -> list[str]:
    """Lines to print."""
    return _measured.table("ms_cloud", found)
