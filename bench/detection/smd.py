"""Server Machine Dataset: machines with 38 dimensions at one minute; a machine is one series."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.detection import _figures as fig
from bench.detection import _measured
from bench.detection._series import archives
from bench.detection._system import abnormal, coincidence_at, joined, surprises_of_dimensions
from bench.detection._vus import vus_pr

STEP_S = 60
FIGURES: dict[str, _measured.Figure] = {
    "alarm_f1": fig.alarm_f1, "false_alarms_per_day": fig.false_alarms_per_day, "delay_min": fig.delay_min,
}  # fmt: skip


def measure(data: Path, step_s: int = STEP_S) -> dict[str, Any]:
    """Keys of the set; `vus_pr` is the mean over machines."""
    machines = archives(data, step_s)
    dimensions = surprises_of_dimensions(machines)
    scores = [joined(surprise) for surprise in dimensions]
    found = _measured.found(machines, FIGURES, scores, partial(coincidence_at, machines, dimensions))
    now = zip(machines, abnormal(machines), strict=True)
    surfaces = [vus_pr(one.y[one.first :], score[one.first :]) for one, score in now]
    rng = np.random.default_rng(5)
    noise = [vus_pr(one.y[one.first :], rng.random(len(one.y) - one.first)) for one in machines]
    found["vus_pr"] = float(np.mean(surfaces))
    found["chance"]["vus_pr"] = float(np.mean(noise))
    return found


def table(found: dict[str, Any]) -> list[str]:
    """Lines to print."""
    vus = f"vus_pr {found['vus_pr']:.3f}, chance {found['chance']['vus_pr']:.3f}"
    return [*_measured.table("machines", found), vus]
