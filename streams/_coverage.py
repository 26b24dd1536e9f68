"""What was recorded at all. Without any `Coverage` of a signal everything was; with some, only what lies inside."""

import bisect
from dataclasses import dataclass, field


@dataclass(slots=True)
class Covered:
    """Disjoint, sorted stretches [start, end) by signal."""

    stretches: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def add(self, signal: str, start_ns: int, end_ns: int) -> None:
        """Take in a stretch; those that touch are merged."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*self.stretches.get(signal, []), (start_ns, end_ns)]):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        self.stretches[signal] = merged

    def share(self, signal: str, start_ns: int, end_ns: int) -> float:
        """Share of [start, end) that was recorded, 0 to 1.

        >>> covered = Covered()
        >>> covered.share("logs", 0, 10)
        1.0
        >>> covered.add("logs", 5, 20); covered.share("logs", 0, 10)
        0.5
        """
        stretches = self.stretches.get(signal)
        if stretches is None:
            return 1.0
        at = bisect.bisect_right(stretches, (start_ns, 1 << 63)) - 1
        seen = 0
        for start, end in stretches[max(at, 0) :]:
            if start >= end_ns:
                break
            seen += max(0, min(end, end_ns) - max(start, start_ns))
        return seen / (end_ns - start_ns)

    def starts_after(self, ns: int, step_ns: int) -> list[int]:
        """The first multiple of `step_ns` not before the next stretch of each signal that begins after `ns`."""
        found = []
        for stretches in self.stretches.values():
            at = bisect.bisect_right(stretches, (ns, 1 << 63))
            if at < len(stretches):
                found.append(stretches[at][0] // step_ns * step_ns)
        return [start for start in found if start > ns]

    def dump(self) -> dict[str, list[list[int]]]:
        return {signal: [list(stretch) for stretch in found] for signal, found in sorted(self.stretches.items())}

    @classmethod
    def load(cls, data: dict[str, list[list[int]]]) -> "Covered":
        return cls({signal: [(start, end) for start, end in found] for signal, found in data.items()})
