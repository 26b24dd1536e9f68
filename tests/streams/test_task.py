"""What a task makes of marks: who is idle, who has ended, who is back, and what was delivered before."""

import itertools

import schemas as sc
from schemas.core import NS, Emit, Event, Message, Output, Tick
from streams import Task, writer_of

A, B = writer_of("normalise", "a"), writer_of("normalise", "b")


class Ticks:
    """A stage that remembers its ticks."""

    name, inputs, outputs, ordered, makes_time = "ticks", (sc.CHANGES,), (), False, False

    def initial(self) -> list[tuple[int, bool]]:
        return []

    def step(self, state: list[tuple[int, bool]], event: Event) -> tuple[list[tuple[int, bool]], list[Output]]:
        return [*state, (event.through_ns // NS, event.final)] if isinstance(event, Tick) else state, []

    def dump(self, state: list[tuple[int, bool]]) -> bytes:
        return b""

    def load(self, data: bytes) -> list[tuple[int, bool]]:
        return []


def mark(instance: str, through_s: int, *, idle: bool = False, final: bool = False) -> Message:
    record = sc.Watermark(stage="normalise", instance=instance, through_ns=through_s * NS, idle=idle, final=final)
    e: Emit = sc.emit(sc.CHANGES, record, id="m", key="m", source="tidegate/normalise", event_ns=through_s * NS)
    return Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, e.event_ns)


def ticks(*marks: Message, size: int = 1) -> list[tuple[int, bool]]:
    task = Task.start(Ticks(), {(sc.CHANGES, 0): frozenset({A, B})}, 1)
    for i in range(0, len(marks), size):
        task.take(marks[i : i + size])
    return task.state


def test_time_is_that_of_the_slowest_that_speaks():
    assert ticks(mark("a", 10), mark("b", 5), mark("b", 20)) == [(5, False), (10, False)]


def test_nobody_moves_before_everybody_was_heard_of():
    assert ticks(mark("a", 10), mark("a", 99)) == []


def test_the_idle_hold_nobody_up_and_are_waited_for_when_they_are_back():
    assert ticks(mark("a", 10), mark("b", 0, idle=True), mark("a", 20)) == [(10, False), (20, False)]
    back = ticks(mark("a", 20), mark("b", 5, idle=True), mark("b", 7), mark("a", 30), mark("b", 25))
    assert back == [(20, False), (25, False)]


def test_if_all_are_idle_time_goes_on_by_the_clock_of_those_that_ever_spoke():
    assert ticks(mark("a", 10, idle=True), mark("b", 0, idle=True), mark("a", 20, idle=True)) == [
        (10, False), (20, False),
    ]  # fmt: skip


def test_the_end_is_there_when_all_that_speak_have_ended():
    assert ticks(mark("a", 10, final=True), mark("b", 5), mark("b", 7, final=True)) == [(5, False), (10, True)]
    assert ticks(mark("a", 10, final=True), mark("b", 0, idle=True)) == [(10, True)]


def test_whoever_has_ended_does_not_become_silent_by_being_started_again():
    """A log with little in it ended early; the other had ended too before its task was killed and called it idle."""
    marks = [mark("a", 500, final=True), mark("a", 510, idle=True), mark("b", 10, final=True)]
    for size in (1, 2, 3):
        assert ticks(*marks, size=size) == [(500, True)]


def test_older_marks_that_come_again_change_nothing():
    again = [mark("a", 10), mark("b", 12), mark("a", 20), mark("b", 22)]
    assert ticks(*again, *again) == ticks(*again)
    for order in itertools.permutations(again):
        assert ticks(*order)[-1] == (20, False)
