"""Which inputs wait for others while a stage catches up, so that what it holds stays bounded.

Where one partition is read much faster than another, what it brought waits in memory until time has passed it, and
time is that of the slowest. So an input that is far ahead in event time is not read on while another has a backlog
(watermark alignment, as in Flink's FLIP-182). Whoever is slowest never waits, so it always goes on; an input without a
backlog holds nobody up, so a sender that is merely late or silent does not either. Pure.
"""

from collections.abc import Collection, Mapping

from schemas.core import NS
from streams._task import Place, Task

LEAD_NS = 600 * NS
"""How far an input may be ahead: some minutes of telemetry fit in memory, and nobody waits over small differences."""
BACKLOG = 500
"""Records that wait in an input before others wait for it: as many as are read at once."""


def reached(task: Task, places: Collection[Place]) -> dict[Place, int]:
    """Event time through which each input was read, by what its writers said there; 0 if one was not heard of yet.

    Inputs for which nobody waits (no writers, or all are idle or have ended) are left out. A task that makes time has
    one input, and its own time.
    """
    if task.stage.makes_time:
        return {} if task.is_final else dict.fromkeys(places, task.through_ns)
    found = {}
    for place in places:
        marks = [task.marks.get((*place, writer)) for writer in task.writers.get(place, ())]
        times = [mark.through_ns if mark else 0 for mark in marks if mark is None or not (mark.idle or mark.final)]
        if times:
            found[place] = min(times)
    return found


def ahead(reached: Mapping[Place, int], backlog: Collection[Place], lead_ns: int) -> frozenset[Place]:
    """Inputs that are more than `lead_ns` ahead of the slowest of those with a backlog.

    >>> sorted(ahead({("a", 0): 5, ("a", 1): 90, ("a", 2): 10}, [("a", 0), ("a", 1)], 20))
    [('a', 1)]
    >>> ahead({("a", 0): 5, ("a", 1): 90}, [("a", 1)], 20)
    frozenset()
    """
    behind = [reached[place] for place in backlog if place in reached]
    if not behind:
        return frozenset()
    return frozenset(place for place, at in reached.items() if at > min(behind) + lead_ns)
