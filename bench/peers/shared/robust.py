"""What every peer computes: windows of 60 s, and the robust z of a window's mean against those before it.

Stands alone (numpy where frames are read, nothing else), because every peer has an environment of its own.
"""

import json
import os
import sys

WINDOW_MS = 60_000
HISTORY, LEAST, LIMIT = 30, 10, 8.0


def environment() -> tuple[str, str, str, int, int]:
    """Brokers, topic to read, topic to write, messages to read, writers of each partition (frames)."""
    found = os.environ
    return (
        found["BENCH_BROKERS"], found["BENCH_IN"], found["BENCH_OUT"], int(found["BENCH_MESSAGES"]),
        int(found["BENCH_WRITERS"]),
    )  # fmt: skip


def begin() -> None:
    """The first message is here: what was spent so far is start-up."""
    os.write(1, b"BEGIN\n")  # past what frameworks make of print


def end() -> None:
    """All is written and acknowledged. Waits until the benchmark has read the CPU time and ends us."""
    os.write(1, b"END\n")
    sys.stdin.readline()


def robust_z(history: list[float], value: float) -> float | None:
    """Standard deviations from the median, by the MAD; None before there are enough windows."""
    if len(history) < LEAST:
        return None
    centre = _median(sorted(history))
    spread = 1.4826 * _median(sorted([abs(each - centre) for each in history]))
    if spread == 0:
        return 0.0 if value == centre else float("inf")
    return (value - centre) / spread


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def judge(history: list[float], mean: float) -> float | None:
    """z if the window is an anomaly, else None; the window then joins the history, which stays at its length."""
    z = robust_z(history, mean)
    history.append(mean)
    if len(history) > HISTORY:
        del history[0]
    return z if z is not None and abs(z) > LIMIT else None


def anomaly(key: str, start_ms: int, mean: float, low: float, high: float, n: int, z: float) -> dict[str, object]:
    return {"k": key, "start": start_ms, "mean": mean, "min": low, "max": high, "n": n, "z": z}


def dumped(record: dict[str, object]) -> bytes:
    return json.dumps(record).encode()
