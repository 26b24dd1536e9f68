"""CPU time and memory of other processes, from /proc: all threads, and children that have ended and were waited for."""

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, its waited-for children and its living descendants; 0 if it is gone."""
    return sum(_own(each) for each in _tree(pid))


def peak_rss_mb(pid: int) -> int:
    """Sum of the highest resident sizes of a process and its living descendants, in MiB."""
    return sum(_peak_kb(each) for each in _tree(pid)) // 1024


def _own(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK  # utime, stime, cutime, cstime: fields 14 to 17 of proc(5)


def _peak_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _tree(pid: int) -> list[int]:
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += _tree(int(child))
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found
