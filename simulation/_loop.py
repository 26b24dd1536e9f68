"""A virtual clock, an event heap, and the driving of production coroutines without a thread, an event loop or a wait.

A coroutine that awaits only ports yields a `Wait` where it would block; the loop begins what it waits for and sends
the answer back at the virtual time at which it comes. Processes are `Node`s: one can die at any await, wake up after
a sleep of minutes with everything it held still in its hands, and start again with nothing but what is durable. The
same seed is the same order of everything: ties on the heap are broken by the order in which they were put there.
Source: the method of FoundationDB's simulation (Zhou et al., SIGMOD 2021, section 4).
"""

import types
from collections.abc import Callable, Coroutine, Generator
from heapq import heappop, heappush
from typing import Any

MOST_STEPS = 150_000
"""A history takes some thousands; a loop without an end is a violation (I13) and no reason to hang."""


class Died(BaseException):
    """The process of the caller dies here: a kill inside a call that does not wait. Nothing may catch it."""


class RestlessError(Exception):
    """So much happened in one history that it would never end."""


@types.coroutine
def wait(begin: "Callable[[Task], None]") -> "Generator[Callable[[Task], None], Any, Any]":
    """What a port awaits. `begin` is called with the waiting task, whose `answer` or `fail` is called later, or never:
    who never hears waits for ever, as a process does that hangs.
    """
    return (yield begin)


class Loop:
    """Virtual time in nanoseconds. At each await, before and after, a process may die: `may_die(node)` is asked from
    the `ask_at`th time on.
    """

    def __init__(self, start_ns: int, may_die: "Callable[[Node], bool]") -> None:
        self.now_ns, self.may_die = start_ns, may_die
        self.asked, self.ask_at = 0, 0
        """How often a process could have died, and the number of the time at which `may_die` wants to be asked."""
        self.steps = 0
        self._heap: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0
        self.graves: list[Coroutine[Any, Any, None]] = []

    def at(self, at_ns: int, call: Callable[..., object], *told: Any) -> None:
        self._count += 1
        heappush(self._heap, (at_ns if at_ns > self.now_ns else self.now_ns, self._count, call, told))

    def after(self, wait_ns: int, call: Callable[..., object], *told: Any) -> None:
        self._count += 1
        heappush(self._heap, (self.now_ns + wait_ns if wait_ns > 0 else self.now_ns, self._count, call, told))

    def run(self, until_ns: int, is_over: Callable[[], bool] | None = None) -> None:
        """Everything that happens until then, or until `is_over`."""
        heap = self._heap
        while heap and heap[0][0] <= until_ns and (is_over is None or not is_over()):
            self.now_ns, _, call, told = heappop(heap)
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise RestlessError(f"{self.steps} steps, and it is {self.now_ns}")
            call(*told)
        if is_over is None or not is_over():
            self.now_ns = max(self.now_ns, until_ns)

    def close(self) -> None:
        """Let the coroutines of dead processes go. While they are kept no `finally` of theirs runs, as after a kill."""
        graves, self.graves = self.graves, []
        for coroutine in graves:
            try:
                coroutine.close()
            except (RuntimeError, Died):
                continue  # it awaited while it was closed; its process is dead and the run has been judged


class Node:
    """A process. `life` counts its starts: what was meant for an earlier one is not heard."""

    def __init__(self, loop: Loop, name: str, on_death: Callable[[], None] = lambda: None) -> None:
        self.loop, self.name, self._on_death = loop, name, on_death
        self.life, self.is_up, self.asleep_until_ns = 0, False, 0
        self.skew_ns = 0
        self._coroutines: list[Coroutine[Any, Any, None]] = []

    def start(self) -> None:
        self.life, self.is_up, self.asleep_until_ns = self.life + 1, True, 0

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "Task":
        task = Task(self, coroutine)
        self._coroutines.append(coroutine)
        self.loop.after(0, task.answer, None)
        return task

    def die(self) -> None:
        if not self.is_up:
            return
        self.is_up = False
        self.life += 1
        self.loop.graves += self._coroutines
        self._coroutines = []
        self._on_death()

    def finished(self, coroutine: Coroutine[Any, Any, None]) -> None:
        if coroutine in self._coroutines:
            self._coroutines.remove(coroutine)


class Task:
    """One production coroutine in one life of its process."""

    __slots__ = ("coroutine", "error", "life", "node", "on_end")

    def __init__(self, node: Node, coroutine: Coroutine[Any, Any, None]) -> None:
        self.node, self.coroutine, self.life = node, coroutine, node.life
        self.error: Exception | None = None
        self.on_end: Callable[[], None] | None = None

    def fail(self, error: Exception) -> None:
        self.answer(None, error)

    def answer(self, value: Any, error: Exception | None = None) -> None:
        """Go on, to the next thing that is waited for: with the answer, or with the error raised where it waits."""
        node, life = self.node, self.life
        if node.life != life:
            return
        loop = node.loop
        if node.asleep_until_ns > loop.now_ns:
            loop.at(node.asleep_until_ns, self.answer, value, error)
            return
        loop.asked += 1
        if loop.asked >= loop.ask_at and loop.may_die(node):
            node.die()
            return
        try:
            begin = self.coroutine.send(value) if error is None else self.coroutine.throw(error)
        except StopIteration:
            self._end()
            return
        except Died:
            if node.life == life:
                node.die()
            return
        except Exception as raised:
            self.error = raised
            self._end()
            return
        loop.asked += 1
        if loop.asked >= loop.ask_at and loop.may_die(node):
            node.die()
            return
        begin(self)
        if node.life == life:
            loop.asked += 1
            if loop.asked >= loop.ask_at and loop.may_die(node):
                node.die()

    def _end(self) -> None:
        self.node.finished(self.coroutine)
        if self.on_end is not None:
            self.on_end()
