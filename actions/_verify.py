"""Whether an action helped: measured in closed windows beside a control, never read from an exit code or a text.

Each indicator is taken as the target's value minus its control's in the same window (difference in differences: what
moves both, such as load, cancels out). Three levels are compared: before the fault, during it, after the effect has
settled; each is a median with its distribution-free interval from order statistics (at least 95 %; six windows give
96.9 %). It has recovered if the whole interval afterwards lies at most a fifth of the disturbance above the healthy
level; it has regressed if the interval lies wholly a fifth above the disturbed level, or another indicator left its
healthy range; it has not recovered if the interval lies wholly above what counts as recovered; else nobody can tell.
The disturbance has to be there up to the effect: what ended by itself before was not mended by it.
Windows that are NaN or under 80 % complete are not counted, and under 80 % of the windows nothing is concluded.
Control: untouched peers, else what a forecast or the own history at the same load expects; without any, inconclusive.
Sources: Card & Krueger 1994 (difference in differences); David & Nagaraja, Order Statistics, section 7.1.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from actions._machine_types import Measured, Verdict
from actions._ports import Indicator, Seen, Window

LEAST = 6
"""Windows of a phase without which nothing is said: fewer have no 95 % interval of the median."""
ENOUGH = 0.8
"""Of a window's samples, and of a phase's windows; from the notes on Argo's analysis runs."""
PART = 0.2  # of the disturbance; stated, not tuned
_COVER = 0.05


class Level(NamedTuple):
    """A median and its interval, in the indicator's unit, worse upwards; `windows` were counted."""

    low: float
    middle: float
    high: float
    windows: int


class Finding(NamedTuple):
    """The verdict with its reason, a stable code. residual: indicators that are still, or newly, wrong."""

    verdict: Verdict
    reason: str
    completeness: float
    control_completeness: float
    residual: tuple[str, ...] = ()

    def event(self, at_ns: int) -> Measured:
        return Measured(at_ns, self.verdict, self.completeness, self.control_completeness)


def judge(seen: Seen, effect_ns: int, since_ns: int, until_ns: int, *, is_calm: bool = False) -> Finding:
    """What the windows in [since_ns, until_ns) say against those before `effect_ns`.

    is_calm: nothing was ill before and nothing must be worse after: a temporary change was taken back, or what was
    only foreseen was acted on.

    Completeness is the worst of the goal indicators, as share of the windows that were due; 0 where there is none.
    Everything is complete only up to the watermark: windows that end after it do not count.
    """
    if is_calm:
        calm = tuple(one._replace(is_goal=False) for one in seen.indicators)
        seen = seen._replace(fault_ns=effect_ns, indicators=calm)
    goals = [one for one in seen.indicators if one.is_goal or is_calm]
    if not goals:
        return Finding("inconclusive", "NOTHING_TO_MEASURE", 0.0, 0.0)
    own = min(_share(one.target, since_ns, until_ns, seen.through_ns) for one in goals)
    control = min(_share(one.control, since_ns, until_ns, seen.through_ns) for one in goals)
    found = [(one, _compare(one, seen, effect_ns, since_ns, until_ns)) for one in seen.indicators]
    residual = tuple(one.name for one, (verdict, _) in found if verdict in ("not_recovered", "regressed"))

    def finding(verdict: Verdict, reason: str) -> Finding:
        return Finding(verdict, reason, own, control, residual)

    if not (own >= ENOUGH and control >= ENOUGH):
        return finding("inconclusive", "THIN_TELEMETRY")
    for verdict in ("regressed", "inconclusive", "not_recovered"):
        for one, (said, reason) in found:
            if said == verdict and (one.is_goal or is_calm or verdict == "regressed"):
                return finding(said, f"{reason}:{one.name}")
    return finding("recovered", "AS_HEALTHY")


def level(values: Iterable[float]) -> Level | None:
    """Median and interval of at least 95 %, None under `LEAST` values."""
    ordered = sorted(values)
    n = len(ordered)
    if n < LEAST:
        return None
    rank, tail = 0, 0.0
    while tail + math.comb(n, rank) / 2**n <= _COVER / 2:
        tail += math.comb(n, rank) / 2**n
        rank += 1
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return Level(ordered[rank - 1], middle, ordered[n - rank], n)


def _compare(one: Indicator, seen: Seen, effect_ns: int, since_ns: int, until_ns: int) -> tuple[Verdict, str]:
    if one.control_kind == "none":
        return "inconclusive", "NO_CONTROL"
    differences = _paired(one, seen.through_ns)
    healthy = level(value for start, end, value in differences if end <= seen.fault_ns)
    after = level(value for start, end, value in differences if since_ns <= start and end <= until_ns)
    if healthy is None or after is None:
        return "inconclusive", "TOO_FEW_WINDOWS"
    if not one.is_goal:
        margin = 3 * (healthy.high - healthy.low)
        return ("regressed", "NEWLY_WRONG") if after.low > healthy.high + margin else ("recovered", "STILL_HEALTHY")
    ill = level(value for start, end, value in differences if seen.fault_ns <= start and end <= effect_ns)
    if ill is None:
        return "inconclusive", "TOO_FEW_WINDOWS"
    last = level([value for _, end, value in differences if end <= effect_ns][-LEAST:])
    if last is None or min(ill.low, last.low) <= healthy.high:
        return "inconclusive", "NO_DISTURBANCE_SEEN"
    size = ill.middle - healthy.middle
    if after.low > ill.high + PART * size:
        return "regressed", "WORSE_THAN_BEFORE"
    left = min(size, last.middle - healthy.middle)  # part of it may have ended by itself before the effect
    limit = healthy.middle + max(PART * left, healthy.high - healthy.middle)
    if after.high <= limit:
        return "recovered", "AS_HEALTHY"
    return ("not_recovered", "STILL_DISTURBED") if after.low > limit else ("inconclusive", "NOT_CLEAR")


def _paired(one: Indicator, through_ns: int) -> list[tuple[int, int, float]]:
    """Target minus control, worse upwards, for windows that both have, in order of time."""
    target, control = (
        {window.start_ns: window for window in windows if _counts(window, through_ns)}
        for windows in (one.target, one.control)
    )
    return [
        (start, target[start].end_ns, one.worse * (target[start].value - control[start].value))
        for start in sorted(target.keys() & control.keys())
        if target[start].end_ns == control[start].end_ns
    ]


def _counts(window: Window, through_ns: int) -> bool:
    return window.completeness >= ENOUGH and math.isfinite(window.value) and window.end_ns <= through_ns


def _share(windows: tuple[Window, ...], since_ns: int, until_ns: int, through_ns: int) -> float:
    """Time covered by windows that count, of [since_ns, until_ns); each moment once."""
    covered, reached = 0, since_ns
    for window in sorted(windows):
        if _counts(window, through_ns) and window.start_ns >= since_ns and window.end_ns <= until_ns:
            covered += max(0, window.end_ns - max(window.start_ns, reached))
            reached = max(reached, window.end_ns)
    return min(1.0, covered / (until_ns - since_ns)) if until_ns > since_ns else 0.0
