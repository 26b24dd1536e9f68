"""How notices become messages: what belongs together is one, and a storm is at most ten pages in ten minutes. Pure.

Nothing is dropped: what is not told by itself is told in a message that lists it, and waits for that in the outbox. A
backlog of old news is one message an hour, whatever its length, since each of them says the same.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from actions._ports import Notice
from schemas import record_id
from schemas.core import NS

MOST = 10
WINDOW_NS = 600 * NS
ONCE_AN_HOUR = frozenset({"OLD_NEWS"})
_LISTED = 20


class Paging:
    """What was told lately; lost with the process, and then at worst something is said twice."""

    def __init__(self) -> None:
        self._told: deque[int] = deque()
        self._hourly: dict[str, int] = {}

    def fold(
        self, waiting: Sequence[tuple[int, Notice]], now_ns: int
    ) -> Iterator[tuple[Notice | None, tuple[int, ...]]]:
        """Messages to tell now, each with the numbers of the outbox rows that it covers; None needs no message."""
        groups = dict[str, list[tuple[int, Notice]]]()
        for number, notice in waiting:
            groups.setdefault(notice.group, []).append((number, notice))
        while self._told and now_ns - self._told[0] >= WINDOW_NS:
            self._told.popleft()
        left = MOST - len(self._told)
        late = list[tuple[int, Notice]]()
        for place, (group, rows) in enumerate(groups.items()):
            numbers = tuple(number for number, _ in rows)
            if group in ONCE_AN_HOUR and now_ns - self._hourly.get(group, -3600 * NS) < 3600 * NS:
                yield None, numbers
            elif left > 1 or (left == 1 and not late and place == len(groups) - 1):
                left -= 1
                yield _message(rows), numbers
            else:
                late += rows
        if late and left > 0:
            yield _message(late), tuple(number for number, _ in late)

    def was_told(self, notice: Notice | None, now_ns: int) -> None:
        if notice is None:
            return
        self._hourly[notice.group] = now_ns
        if notice.urgency == "page":
            self._told.append(now_ns)


def _message(rows: Sequence[tuple[int, Notice]]) -> Notice:
    """One notice for all of them, under an id that repeats when the same are told again."""
    first = rows[0][1]
    if len(rows) == 1:
        return first
    is_page = any(notice.urgency == "page" for _, notice in rows)
    groups = list(dict.fromkeys(notice.group for _, notice in rows))
    lines = [notice.text for _, notice in rows[:_LISTED]]
    more = [f"and {len(rows) - _LISTED} more"] if len(rows) > _LISTED else []
    return Notice(
        record_id("notices", *(notice.id for _, notice in rows)),
        "page" if is_page else "notify",
        groups[0] if len(groups) == 1 else "several",
        "\n".join([f"{len(rows)} notices: {', '.join(groups[:5])}", *lines, *more]),
        first.action_key,
        first.at_ns,
        max(notice.level for _, notice in rows),
        first.of if all(notice.of for _, notice in rows) else "",
    )
