"""What users would take instead, on some of the same series in the same run: river, statsmodels and Prophet.

The first series by name, up to `WINDOWS` windows in all, of each at most `EACH` before the test part and as many of it:
these peers cost a hundred to ten thousand times as much a window. Their scores are no probabilities, so thresholds are
those of fixed bounds (`plain_threshold`); alarms and figures are those of everything else. `tidegate` is ours there,
and `static_threshold` the fixed bounds.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.detection import _figures as fig
from bench.detection._peer import PEERS, call, interpreter
from bench.detection._series import Labelled
from bench.detection._system import alarms, plain_threshold
from schemas.core import F64, NS

WINDOWS, EACH = 120_000, 20_000


def compared(
    series: Sequence[Labelled], ours: Sequence[F64], threshold: float, static: Sequence[F64], per_day: float
) -> dict[str, Any]:
    """By name of the system: alarm F1, event F1, false alarms a series-day, recall and CPU microseconds a window.

    ours, static: scores of every window of every series. threshold: ours. per_day: all alarms a series-day of the
    training part, for the scores that are no probabilities. `missing` says why where the peers are not there.
    """
    chosen = sorted(range(len(series)), key=lambda at: series[at].name)
    lengths = np.cumsum(
        [min(series[at].first, EACH) + min(len(series[at].x) - series[at].first, EACH) for at in chosen]
    )
    chosen = chosen[: max(int(np.searchsorted(lengths, WINDOWS, side="right")), 1)]
    cuts = [slice(max(series[at].first - EACH, 0), series[at].first + EACH) for at in chosen]
    some = [_cut(series[at], cut) for at, cut in zip(chosen, cuts, strict=True)]
    scores = {"static_threshold": [static[at][cut] for at, cut in zip(chosen, cuts, strict=True)]}
    python, why = interpreter("detectors")
    spent: dict[str, float] = {}
    more: dict[str, Any] = {"missing": why} if why else {}
    if python is not None:
        spent, failed, theirs = _scored(python, some)
        scores |= theirs
        more = {"failed": failed} if failed else {}
    windows = sum(len(one.t_ns) for one in some)
    own = [alarms(ours[at][cut], threshold) for at, cut in zip(chosen, cuts, strict=True)]
    rows = {"tidegate": _row([fig.counts(one, alarm) for one, alarm in zip(some, own, strict=True)])}
    for name, found in scores.items():
        bound = plain_threshold(some, found, per_day)
        row = _row([fig.counts(one, alarms(score, bound)) for one, score in zip(some, found, strict=True)])
        rows[name] = row | ({"cpu_us_per_window": spent[name] / windows * 1e6} if name in spent else {})
    return {"series": len(some), "windows": windows, "systems": rows, **more}


def table(found: Mapping[str, Any]) -> list[str]:
    """Lines to print."""
    lines = [f"{found['series']} of these series, {found['windows']:,} windows, beside what users would take instead:"]
    for name, row in found["systems"].items():
        cost = f"  {row['cpu_us_per_window']:.0f} us a window" if "cpu_us_per_window" in row else ""
        lines.append(
            f"  {name:24} alarm F1 {row['alarm_f1']:.3f}  event F1 {row['event_f1_log']:.3f}  "
            f"{row['false_alarms_per_series_day']:.2f} false a day  recall {row['recall']:.2f}{cost}"
        )
    return [*lines, *(f"  {key}: {found[key]}" for key in ("missing", "failed") if key in found)]


def _cut(one: Labelled, cut: slice) -> Labelled:
    return replace(one, t_ns=one.t_ns[cut], x=one.x[cut], y=one.y[cut], first=one.first - cut.start)


def _row(parts: Sequence[fig.Counts]) -> dict[str, float]:
    whole = fig.together(parts)
    return {
        "alarm_f1": fig.alarm_f1(whole), "event_f1_log": fig.event_f1_log(whole), "recall": fig.recall(whole),
        "false_alarms_per_series_day": fig.false_alarms_per_day(whole),
    }  # fmt: skip


def _scored(python: Path, some: Sequence[Labelled]) -> tuple[dict[str, float], dict[str, str], dict[str, list[F64]]]:
    """CPU seconds a peer, what failed, and scores of every series by peer."""
    with tempfile.TemporaryDirectory() as folder:
        for number, one in enumerate(some):
            np.savez(
                Path(folder) / f"{number:03d}.npz", x=one.x[:, 0], t_s=one.t_ns // NS, first=one.first,
                step_s=one.step_ns // NS,
            )  # fmt: skip
        told = json.loads(call([str(python), str(PEERS / "detectors" / "scores.py"), folder]).splitlines()[-1])
        scores: dict[str, list[F64]] = {name: [] for name in told["cpu_s"]}
        for number in range(len(some)):
            with np.load(Path(folder) / f"{number:03d}.scores") as held:
                for name in scores:
                    scores[name].append(held[name])
    return told["cpu_s"], told["failed"], scores
