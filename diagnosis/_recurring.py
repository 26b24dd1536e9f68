"""Which anomalies come back at the same hour of the day or of the week, and never were anybody's business.

Batch jobs, backups and the Monday morning make the same incident again and again. A symptom of a series is recurring if
the same series had one at this time of day on each of the last five days, or at this time of this weekday in each of
the last three weeks, and was then not much smaller than now. It is somebody's business, and never recurring, if at the
time of one of those a person acknowledged an alert or opened a ticket about its service, or something was changed there
while it lasted, be it by a person or by an action of ours.

An incident whose other anomalies would be none is suppressed with the reason, as by a silence: it is built, ranked and
recorded, and nothing is proposed for it. Where a promise to customers is missed it is heard all the same.
The numbers are choices, not fits; time of day is UTC.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from diagnosis._kinds import SYMPTOMS, kind_of
from schemas import Alert, Anomaly, rfc3339
from schemas.core import NS

NAME = "recurring"
DAY_NS = 86_400 * NS
DAYS, WEEKS = 5, 3
AROUND_NS = 1_800 * NS
"""How much earlier or later it may come."""
LARGER = 1.5
"""How many times the usual size it may have: of its residual, or of its orders of magnitude where there is none."""
KEEP_NS = (WEEKS * 7 + 1) * DAY_NS
MOST_SERIES, MOST_EPISODES = 5_000, 64
AFTER_NS = 3_600 * NS
"""So long after it a ticket is still about it."""
MOST_PEOPLE = 2_000


class Episode(NamedTuple):
    """One series in one incident that is over. size: the largest of its residuals, see `LARGER`.

    is_ours: something was changed at its service while it lasted.
    """

    start_ns: int
    end_ns: int
    size: float
    is_ours: bool


Habits = dict[str, list[Episode]]
"""By series and detector, oldest first."""
People = dict[str, list[int]]
"""By service, when people took up something about it."""


def key_of(anomaly: Anomaly) -> str:
    return f"{anomaly.series} {anomaly.detector}"


def size_of(anomaly: Anomaly) -> float:
    return abs(anomaly.residual) if anomaly.residual is not None else min(-math.log10(anomaly.p_value), 16.0)


def remember(habits: Habits, members: Iterable[Anomaly], changed: Mapping[str, Sequence[int]], at_ns: int) -> None:
    """Of an incident that is over. changed: by service, when it was changed."""
    for key in [key for key, kept in habits.items() if kept[-1].end_ns < at_ns - KEEP_NS]:
        del habits[key]
    by_series: dict[str, list[Anomaly]] = {}
    for one in members:
        if kind_of(one) in SYMPTOMS:
            by_series.setdefault(key_of(one), []).append(one)
    for key, found in sorted(by_series.items()):
        if key not in habits and len(habits) >= MOST_SERIES:
            continue
        start, end = min(a.start_ns for a in found), max(a.end_ns for a in found)
        is_ours = any(start <= t <= at_ns for t in changed.get(found[0].service, ()))
        kept = [one for one in habits.get(key, []) if one.end_ns >= at_ns - KEEP_NS]
        habits[key] = [*kept, Episode(start, end, float(f"{max(map(size_of, found)):.12g}"), is_ours)][-MOST_EPISODES:]


def take_up(people: People, alert: Alert) -> None:
    """Note that a person took something up, if this record says so: a ticket, a pager's incident, a name beside it."""
    if alert.kind == "alert" and alert.state != "acknowledged" and alert.author is None:
        return
    kept = people.setdefault(alert.service, [])
    if len(kept) < MOST_PEOPLE:
        kept.append(alert.said_ns if alert.state == "acknowledged" else alert.at_ns)
        kept[:] = sorted({t for t in kept if t >= alert.said_ns - KEEP_NS - AFTER_NS})


def recurring(anomaly: Anomaly, habits: Habits, people: People) -> str | None:
    """Why it is expected at this time, as `daily 02:00` or `weekly Mon 02:00`; None where it is not."""
    known = habits.get(key_of(anomaly))
    if known is None:
        return None
    for step_ns, times, word in ((DAY_NS, DAYS, "daily"), (7 * DAY_NS, WEEKS, "weekly")):
        found = [_at(known, anomaly.end_ns - n * step_ns) for n in range(1, times + 1)]
        seen = [one for one in found if one is not None]
        if len(seen) < times or any(_is_taken_up(one, people.get(anomaly.service, ())) for one in seen):
            continue
        if size_of(anomaly) <= LARGER * median(one.size for one in seen):
            return f"{word} {_clock(seen[0].start_ns, word)}"
    return None


def reasons(members: Iterable[Anomaly], habits: Habits, people: People) -> tuple[list[Anomaly], list[str]]:
    """The anomalies that are not expected, and why the others are: `recurring:daily 02:00`, sorted."""
    if not habits:
        return list(members), []
    heard, why = [], set()
    for one in members:
        said = recurring(one, habits, people)
        if said is None:
            heard.append(one)
        else:
            why.add(f"{NAME}:{said}")
    return heard, sorted(why)


def _at(known: Sequence[Episode], at_ns: int) -> Episode | None:
    fits = [one for one in known if one.start_ns - AROUND_NS <= at_ns <= one.end_ns + AROUND_NS]
    return max(fits, key=lambda one: (one.size, one.start_ns), default=None)


def _is_taken_up(one: Episode, people: Sequence[int]) -> bool:
    return one.is_ours or any(one.start_ns - AROUND_NS <= t <= one.end_ns + AFTER_NS for t in people)


def _clock(at_ns: int, word: str) -> str:
    """Of the hour that it began in."""
    days = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")  # 1 January 1970 was a Thursday
    day = f"{days[at_ns // DAY_NS % 7]} " if word == "weekly" else ""
    return f"{day}{rfc3339(at_ns)[11:16]}"
