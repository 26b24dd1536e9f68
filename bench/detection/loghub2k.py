"""Log templates on loghub-2k (Zhu et al. 2023): grouping accuracy and lines a second, drain3 in the same run.

Grouping accuracy (Zhu et al. 2019): the share of lines whose group is exactly the labelled group; a group that lost one
line to another counts for nothing. One miner a system, one configuration, each line keyed once, in order, without a
look at what follows. The interval is a bootstrap over systems. Beside it what costs nothing: a line without its digits
is its template.

Speed: the lines of all systems over and over with fresh digits, a miner a system, in batches as the stage keys a pane;
CPU of the process, median of three runs in turn with drain3 0.9.11 (its own process and locked environment, its
defaults), which is fed the same lines. Reading the lines counts for neither.
`with_identifiers` is what is worst for us: every line begins with an identifier never seen, so the first cache is of no
use.
"""

import csv
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.detection._lines import LINES, speed
from streams._templates import Miner
from streams.importers._archive import unpacked

SEEN_FIRST, SEEN_LATER = ("Apache", "HDFS", "Mac", "Spark"), ("BGL", "Hadoop", "OpenSSH", "Zookeeper")
"""The rules were written on the first four; the others were then measured, and only after that looked at."""
_SUFFIX = "_2k.log_structured.csv"
_NO_DIGITS = str.maketrans("", "", "0123456789")


class System(NamedTuple):
    """Lines of one system in order, and the labelled event of each."""

    lines: list[str]
    events: list[str]


def measure(data: Path, lines: int = LINES) -> dict[str, Any]:
    """Keys of the set, speed on so many lines. Raises SystemExit with a sentence if `data` holds no labelled system."""
    systems = dict(_systems(data))
    if not systems:
        raise SystemExit(f"{data} holds no *{_SUFFIX}, packed or not. --data takes the folder of loghub2k.")
    ours = _accuracies(systems, {name: Miner().keys(system.lines) for name, system in systems.items()})
    shapes = {name: [line.translate(_NO_DIGITS) for line in system.lines] for name, system in systems.items()}
    baselines = {"line_without_digits": _mean(_accuracies(systems, shapes), systems)}
    speeds, groups = speed({name: system.lines for name, system in systems.items()}, lines)
    if groups:
        baselines["drain3"] = _mean(_accuracies(systems, groups), systems)
    return {
        "grouping_accuracy": _mean(ours, systems), "ci95": _interval(list(ours.values())), "systems": ours,
        "seen_first": _mean(ours, SEEN_FIRST), "seen_later": _mean(ours, SEEN_LATER),
        "others": _mean(ours, set(ours) - {*SEEN_FIRST, *SEEN_LATER}), "baselines": baselines, **speeds,
    }  # fmt: skip


def grouping_accuracy(found: Sequence[Hashable], labelled: Sequence[Hashable]) -> float:
    """Share of items whose group in `found` holds exactly the items of their group in `labelled`.

    >>> grouping_accuracy([1, 1, 2, 3], ["a", "a", "b", "b"])
    0.5
    """
    ours, theirs = Counter(found), Counter(labelled)
    both = Counter(zip(found, labelled, strict=True))
    return sum(n for (a, b), n in both.items() if ours[a] == n == theirs[b]) / len(labelled)


def table(found: dict[str, Any]) -> list[str]:
    """Lines to print."""
    low, high = found["ci95"]
    rows = [f"{name:24} {accuracy:.4f}" for name, accuracy in found["systems"].items()]
    rows.append(f"{'mean':24} {found['grouping_accuracy']:.4f}  95% {low:.4f} to {high:.4f}")
    parts = {key.replace("_", " "): found[key] for key in ("seen_first", "seen_later", "others")}
    rows += [f"{name:24} {mean:.4f}" for name, mean in (parts | found["baselines"]).items() if mean is not None]
    rows.append(f"{found['lines']:,} lines with fresh digits: {_rate(found)}")
    rows.append(f"a tenth of them, each with a fresh identifier: {_rate(found['with_identifiers'])}")
    return [*rows, f"drain3 was not measured: {found['drain3_missing']}"] if "drain3_missing" in found else rows


def _rate(found: dict[str, Any]) -> str:
    own = f"{found['lines_per_s']:,.0f} a CPU-second"
    ratio = found["ratio_to_drain3"]
    return own if ratio is None else f"{own}, drain3 {found['drain3_lines_per_s']:,.0f}, ratio {ratio:.2f}"


def _systems(data: Path) -> Iterator[tuple[str, System]]:
    """By name, from folders and archives."""
    archives = [] if data.is_file() else sorted(f for f in data.iterdir() if f.name.endswith((".tar.xz", ".tar.zst")))
    for place in [data, *archives]:
        with unpacked(place, lambda member: member.name.endswith(_SUFFIX)) as folder:
            for file in sorted(folder.rglob(f"*{_SUFFIX}")):
                with file.open(encoding="utf-8", errors="replace", newline="") as text:
                    rows = [(row["Content"], row["EventId"]) for row in csv.DictReader(text)]
                yield file.name.removesuffix(_SUFFIX), System([row[0] for row in rows], [row[1] for row in rows])


def _accuracies(systems: Mapping[str, System], groups: Mapping[str, Sequence[Hashable]]) -> dict[str, float]:
    return {name: grouping_accuracy(groups[name], system.events) for name, system in systems.items()}


def _mean(accuracies: Mapping[str, float], names: Collection[str]) -> float | None:
    """Over the systems that are there; None if none of them is."""
    found = [accuracies[name] for name in names if name in accuracies]
    return sum(found) / len(found) if found else None


def _interval(accuracies: list[float]) -> list[float]:
    """95% of the mean, systems drawn again with replacement."""
    draws = np.random.default_rng(7).choice(np.array(accuracies), (10_000, len(accuracies)))
    return [float(bound) for bound in np.quantile(draws.mean(axis=1), (0.025, 0.975))]
