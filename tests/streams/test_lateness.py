"""What is late, and when time is said to have come further, depend on the order inside each log alone."""

import json
from collections import Counter
from itertools import accumulate, chain, repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toys import ToySource, mark, toy_message

import schemas as sc
from schemas.core import NS, Advance, Emit, Message
from streams import Normalise, StreamSettings
from streams._clocks import EventTime

LATENESS = 10
SETTINGS = StreamSettings(lateness_ns=LATENESS * NS, linger_ns=0)


def received(emit: Emit, partition: int = 0, *, at_ns: int | None = None) -> Message:
    at = emit.event_ns if at_ns is None else at_ns
    return Message(emit.topic, partition, 0, emit.key, emit.value, emit.headers, emit.event_ns, at)


def step(messages: list[Message], options: StreamSettings = SETTINGS, fast: bool | None = False) -> tuple[list, object]:
    """Everything said, by message, and the state at the end."""
    stage = Normalise([ToySource()], options, fast)
    state, said = stage.initial(), []
    for message in messages:
        state, out = stage.step(state, message)
        said.append(out)
    return said, state


def late_of(said: list, messages: list[Message]) -> Counter:
    """How many samples of each message were late, by what the message holds."""
    found = Counter()
    for out, message in zip(said, messages, strict=True):
        letters = [dict(e.headers) for e in out if isinstance(e, Emit) and e.topic == sc.DEAD_LETTERS]
        found[message.partition, message.value] += sum(json.loads(x["tidegate-dead-letter"])["count"] for x in letters)
    return +found


rows = st.lists(st.tuples(st.integers(0, 3), st.integers(12, 120)), min_size=1, max_size=25)


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, min_size=2, max_size=3), st.randoms(use_true_random=False))
def test_interleaving_of_logs_does_not_change_what_is_late(logs, rng):
    """Once each log has spoken, and as long as none is idle; messages of a log stay in their order."""
    heads = [received(toy_message([(0, 11.0, 0.0)], source=source), p) for p in range(len(logs)) for source in "01"]
    tails = [
        [received(toy_message([(n, float(s), float(i))], source=f"{n % 2}"), p) for i, (n, s) in enumerate(log)]
        for p, log in enumerate(logs)
    ]
    order = list(chain.from_iterable(repeat(p, len(tail)) for p, tail in enumerate(tails)))
    found = []
    for _ in range(2):
        rng.shuffle(order)
        places = [iter(tail) for tail in tails]
        messages = heads + [next(places[p]) for p in order]
        said, state = step(messages)
        found.append((late_of(said, messages), {name: log.through_ns for name, log in state.time.logs.items()}))
    assert found[0] == found[1]


def test_a_fast_log_does_not_make_the_samples_of_a_slow_one_late():
    fast = [received(toy_message([(1, float(s), 1.0)]), 0) for s in range(11, 200, 10)]
    slow = [received(toy_message([(2, float(s), 1.0)]), 1) for s in range(11, 60, 10)]
    _, state = step([slow[0], *fast, *slow[1:]])
    assert state.ledger.counts["samples.late"] == 0
    assert state.through_ns == 40 * NS


def test_a_log_that_comes_back_from_idle_finds_that_time_went_on():
    early, late = toy_message([(2, 21.0, 1.0)], source="b"), toy_message([(2, 25.0, 1.0)], source="b")
    others = [received(toy_message([(1, float(s), 1.0)], source="a"), 0) for s in range(11, 200, 10)]
    idle = received(mark("source:b", idle=True, at_s=30), 0)
    _, state = step([received(early, 1), idle, *others, received(late, 1)])
    assert state.ledger.counts["samples.late"] == 1
    _, state = step([received(early, 1), *others, received(late, 1)])
    assert state.ledger.counts["samples.late"] == 0


def test_time_never_goes_back_when_a_slower_sender_appears_in_a_log():
    messages = [received(toy_message([(1, float(s), 1.0)], source="a")) for s in range(11, 100, 10)]
    slow = [received(toy_message([(2, float(s), 1.0)], source="b")) for s in (40, 85)]
    _, state = step([*messages, *slow])
    assert state.ledger.counts["samples.late"] == 1  # the one at 40 s: the log had passed it
    assert state.through_ns == 80 * NS


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 300), st.integers(0, 20)), max_size=60))
def test_the_slowest_sender_is_known_without_asking_all(events):
    time = EventTime(LATENESS * NS)
    for sender, second, fate in events:
        clock = time.clock_of(f"s{sender}", "log")
        if fate == 0:
            time.mark(sc.Watermark(stage=f"source:s{sender}", through_ns=0, idle=True), "log")
        else:
            time.hear(clock, f"s{sender}", "log", second * NS)
        log = time.logs["log"]
        speaking = [heard.newest_ns for heard in log.senders.values() if heard.speaks]
        assert (log.slowest_ns, log.at_slowest) == (min(speaking, default=0), speaking.count(min(speaking, default=0)))
        assert EventTime.load(LATENESS * NS, json.loads(json.dumps(time.dump()))) == time


def advances(said: list) -> list[int]:
    return [output.through_ns // NS for out in said for output in out if isinstance(output, Advance)]


def burst(gap_ms: int, seconds: range = range(11, 311, 10)) -> list[Message]:
    """A message a tick, received `gap_ms` after the other."""
    return [
        received(toy_message([(1, float(s), 1.0)]), at_ns=1000 * NS + i * gap_ms * 1_000_000)
        for i, s in enumerate(seconds)
    ]


@pytest.mark.parametrize(("gap_ms", "marks"), [(1, 1), (50, 15), (100, 29), (10_000, 29)])
def test_time_is_said_to_move_at_most_once_a_linger_of_the_log(gap_ms, marks):
    wide = StreamSettings(lateness_ns=0, linger_ns=NS // 10)
    said, state = step(burst(gap_ms), wide)
    assert len(advances(said)) <= marks + 1
    assert state.through_ns == 300 * NS  # lateness knows at once
    frames = sum(e.topic == sc.FRAMES for out in said for e in out if isinstance(e, Emit))
    assert frames == len(advances(said))


@pytest.mark.parametrize(
    "last", [mark("outside", final=True), mark("source:clock", at_s=5), mark("source:x", idle=True)]
)
def test_what_lingers_leaves_at_any_mark(last):
    said, state = step([*burst(1), received(last, at_ns=1000 * NS)], StreamSettings(lateness_ns=0))
    assert advances(said)[-1] >= 300 and state.framing.is_empty


def test_a_clock_of_the_log_that_was_set_back_does_not_hold_time_up():
    messages = burst(1000)
    again = [m._replace(received_ns=5 + i) for i, m in enumerate(burst(1000, range(311, 331, 10)))]
    said, _ = step([*messages, *again], StreamSettings(lateness_ns=0, max_skew_ns=10**18))
    assert advances(said)[-1] == 310


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 90), st.integers(0, 400)), min_size=1, max_size=40))
def test_numba_changes_nothing_and_a_snapshot_between_any_two_messages_neither(events):
    pytest.importorskip("numba")
    options = StreamSettings(lateness_ns=NS, linger_ns=NS // 10, partitions=3, max_series=6, frame_points=4)
    at = accumulate(gap for _, _, gap in events)
    messages = [
        received(
            toy_message([(n, float(s), np.inf if s == 13 else 1.0), (n + 1, s + 0.5, 2.0)]), at_ns=60 * NS + t * 10**6
        )
        for (n, s, _), t in zip(events, at, strict=True)
    ]
    plain, one = step(messages, options)
    fast, other = step(messages, options, fast=True)
    assert plain == fast
    stage = Normalise([ToySource()], options)
    state, again = stage.initial(), []
    for message in messages:
        state, out = stage.step(stage.load(stage.dump(state)), message)
        again.append(out)
    assert again == plain
    assert stage.dump(one) == stage.dump(other) == stage.dump(state)
