"""Server Machine Dataset: machines with 38 dimensions at one minute; a machine is one series.

Where `NAME.interp.txt` lies beside `NAME.npz` (lines `FIRST-LAST:DIMENSION,...`, all counted from 1, of the test part)
`leading` says how often the dimension that departed most when an event was found is one of those that explain it.
"""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.detection import _figures as fig
from bench.detection import _measured
from bench.detection._run import Host
from bench.detection._series import Labelled, archives
from bench.detection._system import MACHINE_PER_DAY, abnormal, alarms, surprises_of_hosts
from bench.detection._vus import vus_pr
from schemas.core import F64

STEP_S = 60
FIGURES: dict[str, _measured.Figure] = {
    "alarm_f1": fig.alarm_f1, "false_alarms_per_day": fig.false_alarms_per_day, "delay_min": fig.delay_min,
}  # fmt: skip


def measure(data: Path, step_s: int = STEP_S) -> dict[str, Any]:
    """Keys of the set; `vus_pr` is the mean over machines."""
    machines = archives(data, step_s)
    scores, said = surprises_of_hosts(machines)
    found = _measured.found(machines, FIGURES, scores, MACHINE_PER_DAY)
    now = zip(machines, abnormal(machines), strict=True)
    surfaces = [vus_pr(one.y[one.first :], score[one.first :]) for one, score in now]
    rng = np.random.default_rng(5)
    noise = [vus_pr(one.y[one.first :], rng.random(len(one.y) - one.first)) for one in machines]
    found["leading"] = _leading(data, machines, scores, said, found["threshold"])
    found["vus_pr"] = float(np.mean(surfaces))
    found["chance"]["vus_pr"] = float(np.mean(noise))
    return found


def table(found: dict[str, Any]) -> list[str]:
    """Lines to print."""
    vus = f"vus_pr {found['vus_pr']:.3f}, chance {found['chance']['vus_pr']:.3f}"
    lead = found["leading"]
    named = (
        f"leading dimension is one that explains: {lead['named']:.2f} of {lead['events']}, chance {lead['chance']:.2f}"
    )
    return [*_measured.table("machines", found), vus, *([named] if lead["events"] else [])]


def _leading(
    data: Path, machines: Sequence[Labelled], scores: Sequence[F64], said: Sequence[Host], threshold: float
) -> dict[str, float]:
    """Of found events with known dimensions: the share whose leading one is among them, and what chance would name."""
    named: list[bool] = []
    chance: list[float] = []
    for one, score, host in zip(machines, scores, said, strict=True):
        for file in sorted(data.rglob(f"{glob.escape(one.name)}.interp.txt"))[:1]:
            marks = np.flatnonzero(alarms(score, threshold))
            for line in file.read_text(encoding="utf-8").split():
                rows, _, dimensions = line.partition(":")
                begin, end = (one.first + int(row) - 1 for row in rows.split("-"))
                here = marks[(marks >= begin - 1) & (marks <= end)]
                known = {int(number) - 1 for number in dimensions.split(",")}
                if len(here):
                    named.append(int(host.leading[here[0]]) in known)
                    chance.append(len(known) / one.x.shape[1])
    return {
        "events": len(named), "named": float(np.mean(named)) if named else float("nan"),
        "chance": float(np.mean(chance)) if chance else float("nan"),
    }  # fmt: skip
