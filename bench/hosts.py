"""Two ways to judge all gauges of a machine together, side by side: `python -m bench.hosts --data D [--only smd,asd]`.

`host_residual` (mean departure) and `host_pca` (what incremental principal components leave over), on the machines of
the sets `smd` and `asd`, with the threshold that the training parts give for the same budget of alarms, and the best
threshold of the test part, which nobody has in production, to tell the detector from the threshold.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.detection import _figures as fig
from bench.detection import _measured, asd, smd
from bench.detection._run import hosts
from bench.detection._series import archives
from bench.detection._system import LEAST_SIZE, MACHINE_PER_DAY, alarms
from detectors.host_pca import HostPca
from detectors.host_residual import HostResidual

SETS = {"smd": (smd.STEP_S, smd.FIGURES), "asd": (asd.STEP_S, smd.FIGURES)}
TRIED = 25


def measure(data: Path, name: str) -> dict[str, Any]:
    """Figures by detector."""
    step_s, figures = SETS[name]
    machines = archives(data / name, step_s)
    rows: dict[str, Any] = {}
    for detector in (HostResidual(), HostPca()):
        begin = time.process_time()
        scores = [np.log10(np.maximum(one.size, LEAST_SIZE) / LEAST_SIZE) for one in hosts(machines, detector)]
        spent = time.process_time() - begin
        found = _measured.found(machines, figures, scores, MACHINE_PER_DAY)
        every = np.concatenate([score[one.first :] for score, one in zip(scores, machines, strict=True)])
        best = 0.0
        for at in np.quantile(every, 1.0 - np.logspace(-1.3, -4, TRIED)):
            counts = [fig.counts(one, alarms(score, float(at))) for one, score in zip(machines, scores, strict=True)]
            best = max(best, fig.alarm_f1(fig.together(counts)) or 0.0)
        rows[detector.kind] = {
            **{figure: found[figure] for figure in figures}, "ci95": found["ci95"]["alarm_f1"],
            "best_alarm_f1": best, "cpu_s": round(spent, 1),
        }  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.hosts", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    chosen = parser.parse_args()
    document = {name: measure(chosen.data, name) for name in chosen.only.split(",") if (chosen.data / name).is_dir()}
    for name, rows in document.items() if not chosen.json else ():
        for kind, row in rows.items():
            low, high = row["ci95"]
            said = f"alarm F1 {row['alarm_f1']:.2f} ({low:.2f} to {high:.2f})"
            best, false = row["best_alarm_f1"], row["false_alarms_per_day"]
            print(
                f"{name:4} {kind:14} {said}, at the best threshold {best:.2f}; {false:.2f} false alarms a machine-day"
            )
    print(json.dumps(document))


if __name__ == "__main__":
    main()
