"""The table of a run, its ratios, and the page that keeps it."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Our worst row, and how many times the CPU of each of our rows of as many series a peer takes.

    `times_ours`: by system, layout and series, against `frames` and against `otlp` (the whole way). A row that is wrong
    or was not measured has no ratio.
    """
    ours = {(r["series"], _short(r)): r["cpu_s_per_million"] for r in rows if _is_ours(r) and "why" not in r}
    times = {}
    for row in rows:
        if _is_ours(row) or "why" in row or row["check"].startswith("WRONG"):
            continue
        times[_name(row)] = {
            layout: round(row["cpu_s_per_million"] / ours[row["series"], layout], 2)
            for layout in ("frames", "otlp")
            if (row["series"], layout) in ours
        }
    return {"worst_cpu_s_per_million": max(ours.values(), default=None), "times_ours": times}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    ratios = summary(rows)["times_ours"]
    ours = "our frames | times our whole way"
    lines = [
        f"| series | system | fed with | points | CPU-s/M points | times {ours} | points/s (wall) | peak RSS MB "
        "| start-up CPU s | check |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        head = f"| {row['series']:,} | {row['system']} | {row['layout']} | {row['points']:,} "
        if "why" in row:
            lines.append(f"{head}| not measured | | | | | | {row['why'][:300].replace('|', '/')} |")
            continue
        times = [f"{ratios.get(_name(row), {}).get(layout, '')}" for layout in ("frames", "otlp")]
        lines.append(
            f"{head}| {row['cpu_s_per_million']:.3f} | {times[0]} | {times[1]} | {row['points_per_s']:,} "
            f"| {row['peak_rss_mb']} | {row['startup_cpu_s']} | {row['check']} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """Cores, processor, memory, Python."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model or platform.machine()}), {memory:.0f} GiB, Python {platform.python_version()}"
    )


def page(rows: list[dict[str, Any]], command: str, date: str, repeat: int) -> str:
    found = summary(rows)
    runs = f"median of {repeat} runs" if repeat > 1 else "one run"
    return f"""# Throughput
{date}, commit {commit()}, `{command}`, {machine()}, Apache Kafka on the same machine. CPU of all threads of the \
measured process, {runs}, start-up apart; how and why is in [performance.md](../performance.md).

Our worst row: **{found["worst_cpu_s_per_million"]} CPU-s per million points**. The peers do one window and one z; \
our rows are the product with all its detectors.

{table(rows)}
"""


def commit() -> str:
    """Short hash, with a plus where files differ from it; `unknown` outside a checkout."""
    line = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _name(row: dict[str, Any]) -> str:
    return f"{row['system']}, {row['layout']}, {row['series']} series"


def _short(row: dict[str, Any]) -> str:
    return {"our frames": "frames", "our frames, one pane each": "live"}.get(row["layout"], "otlp")


def _is_ours(row: dict[str, Any]) -> bool:
    return bool(row["system"] == "tidegate")
