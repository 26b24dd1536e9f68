"""Numenta Anomaly Benchmark: the official score, with the official sweep and with a threshold from an alarm budget.

`official` lets the sweep choose the threshold that is best on the labels, as the benchmark does for everyone. `frozen`
sees no label and no file: it is the p at which the pipeline speaks unless told otherwise (one in a thousand). Beside
it the published detectors whose scores lie with the data, on the same files, swept on those files too, and a random
score. `scorer_check` compares our rules with the per-file scores that were published.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from bench.detection._nab import PROFILES, Profile, at_threshold, per_file, probation, rows_of, sweep
from bench.detection._series import Labelled, events, nanoseconds, step_of
from bench.detection._system import novel, novel_alarms
from detectors._detect import EMIT_P
from schemas.core import F64
from streams.importers._archive import unpacked

DRAWS = 400
LEAST_MARK = 0.5
"""Surprise below which nothing is marked for the sweep: a p of a third is no alarm at any threshold."""


def measure(data: Path) -> dict[str, Any]:
    """Keys of the set. Raises SystemExit with a sentence if there are no windows or none of their files."""
    files, published = load(data)
    scores = novel(files)
    frozen_at = -float(np.log10(EMIT_P))
    marks = [novel_alarms(score, LEAST_MARK) for score in scores]
    rows = rows_of(files, marks)
    swept = {name: sweep(rows, profile) for name, profile in PROFILES.items()}
    frozen = rows_of(files, [(mark >= frozen_at).astype(float) for mark in marks])
    peers = {
        detector: {name: sweep(rows_of(files, found), profile)[0] for name, profile in PROFILES.items()}
        for detector, (found, _) in sorted(published.items())
    }
    rng = np.random.default_rng(3)
    chance = [sweep(rows_of(files, [rng.random(len(f.y)) for f in files]), PROFILES["standard"])[0] for _ in range(5)]
    standard = PROFILES["standard"]
    return {
        "official": {name: score for name, (score, _) in swept.items()},
        "frozen": at_threshold(frozen, standard, 0.5),
        "frozen_all": {name: at_threshold(frozen, profile, 0.5) for name, profile in PROFILES.items()},
        "frozen_threshold_p": 10.0**-frozen_at,
        "peers_same_files": {name: scores["standard"] for name, scores in peers.items()}, "peers_all": peers,
        "chance": float(np.mean(chance)),
        "ci95": _interval(per_file(rows, standard, swept["standard"][1]), rows.windows, standard),
        "windows": int(rows.windows.sum()),
        "windows_found": _found(files, [mark >= swept["standard"][1] for mark in marks]),
        "files": len(files), "scorer_check": _check(files, published),
        "groups": _groups(files, per_file(rows, standard, swept["standard"][1]), rows.windows),
    }  # fmt: skip


def load(data: Path) -> tuple[list[Labelled], dict[str, tuple[list[F64], dict[str, tuple[float, float]]]]]:
    """The labelled files, and for each published detector its scores (in the same order) and published results by file.

    A file's row is normal but between the first and last time of a labelled window.
    """
    windows: dict[str, list[list[str]]] = {}
    for file in sorted(data.glob("windows*.json")):
        windows |= json.loads(file.read_text(encoding="utf-8"))
    series: dict[str, Labelled] = {}
    found: dict[str, dict[str, F64]] = {}
    results: dict[str, dict[str, tuple[float, float]]] = {}
    for place in [data, *sorted(f for f in data.iterdir() if f.name.endswith((".tar.xz", ".tar.zst")))]:
        with unpacked(place, lambda member: member.name.endswith(".csv")) as folder:
            for file in sorted(folder.rglob("*.csv")):
                name = "/".join(file.parts[-2:])
                if name in windows:
                    where = file.parts[-3]
                    if where == "data":
                        series[name] = _read(name, file, windows[name])
                    else:
                        found.setdefault(where, {})[name] = _column(file, "anomaly_score")
                elif "scores" in file.name:
                    results[file.parent.name] = _published(file)
    if not series:
        raise SystemExit(f"{data} holds no windows*.json with files of the same names. --data takes its parent.")
    names = sorted(series)
    whole = {detector: scores for detector, scores in found.items() if set(scores) == set(names)}
    known = {who: ([scores[name] for name in names], results.get(who, {})) for who, scores in whole.items()}
    return [series[name] for name in names], known


def table(found: dict[str, Any]) -> list[str]:
    """Lines to print."""
    official, low_high = found["official"], found["ci95"]
    lines = [f"{found['files']} files, {found['windows']} windows, {found['windows_found']} found"]
    for name, score in official.items():
        peers = ", ".join(f"{who} {scores[name]:.1f}" for who, scores in found["peers_all"].items())
        lines.append(f"{name:10} official {score:6.2f}  frozen {found['frozen_all'][name]:6.2f}  ({peers})")
    lines.append(f"standard 95% {low_high[0]:.1f} to {low_high[1]:.1f}, random score {found['chance']:.1f}")
    lines += [f"rules checked on {who}: {n} of {of} files agree" for who, (n, of) in found["scorer_check"].items()]
    return lines


def _read(name: str, file: Path, windows: list[list[str]]) -> Labelled:
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    t_ns = np.array([nanoseconds(row["timestamp"]) for row in rows], np.int64)
    x = np.array([float(row["value"]) for row in rows])
    y = np.zeros(len(x), np.bool_)
    for begin, end in windows:
        y |= (t_ns >= nanoseconds(begin)) & (t_ns <= nanoseconds(end))
    return Labelled(name, t_ns, x[:, None], y, probation(len(x)), step_of(t_ns))


def _column(file: Path, name: str) -> F64:
    with file.open(encoding="utf-8", newline="") as text:
        return np.array([float(row[name]) for row in csv.DictReader(text)])


def _published(file: Path) -> dict[str, tuple[float, float]]:
    """Threshold and score by file, of the standard profile."""
    with file.open(encoding="utf-8", newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["Profile"] == "standard"]
    return {row["File"]: (float(row["Threshold"]), float(row["Score"])) for row in rows}


def _check(
    files: list[Labelled], published: dict[str, tuple[list[F64], dict[str, tuple[float, float]]]]
) -> dict[str, tuple[int, int]]:
    """For each detector: files whose score by our rules is the published one, of how many."""
    checked = {}
    for who, (scores, known) in sorted(published.items()):
        if not known:
            continue
        threshold = next(iter(known.values()))[0]
        ours = per_file(rows_of(files, scores), PROFILES["standard"], threshold)
        pairs = [(ours[at], known[one.name][1]) for at, one in enumerate(files) if one.name in known]
        checked[who] = (sum(bool(abs(a - b) < 1e-6) for a, b in pairs), len(pairs))
    return checked


def _interval(score: F64, windows: F64, profile: Profile) -> list[float]:
    """95% of the normalised score, files drawn again with replacement, at the same threshold."""
    draws = np.random.default_rng(7).integers(0, len(score), (DRAWS, len(score)))
    n = np.maximum(windows[draws].sum(axis=1), 1.0)
    totals = 100 * (score[draws].sum(axis=1) + profile.missed * n) / (n * (1 + profile.missed))
    return [float(bound) for bound in np.quantile(totals, (0.025, 0.975))]


def _found(files: list[Labelled], marks: list[Any]) -> int:
    return sum(
        int(mark[begin:end].any()) for one, mark in zip(files, marks, strict=True) for begin, end in events(one.y)
    )


def _groups(files: list[Labelled], score: F64, windows: F64) -> dict[str, float]:
    """Score of each folder of files, 0 to 100."""
    groups: dict[str, list[int]] = {}
    for at, one in enumerate(files):
        groups.setdefault(one.name.split("/")[0], []).append(at)
    return {
        name: float(100 * (score[rows].sum() + windows[rows].sum()) / max(2 * windows[rows].sum(), 1))
        for name, rows in groups.items()
    }
