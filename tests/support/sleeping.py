"""Time that passes only where somebody sleeps."""


class Time:
    """s: seconds since the start; slept: how long each sleep was, to a millisecond."""

    def __init__(self) -> None:
        self.s, self.slept = 0.0, []

    def now(self) -> float:
        return self.s

    def sleep(self, s: float) -> None:
        self.slept.append(round(s, 3))
        self.s += s
