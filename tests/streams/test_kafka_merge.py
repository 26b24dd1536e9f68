"""Partitions become one history: in one order whoever was faster, in bounded memory whoever is behind."""

from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import strategies as st

from schemas.core import Message
from streams._merge import Merge, bytes_of
from streams._task import Place

Rows = dict[Place, list[Message]]


def message(place: Place, offset: int, received_ns: int, size: int = 0) -> Message:
    return Message(*place, offset, b"", bytes(size), (), received_ns, received_ns)


def merged(rows: Rows, choose: Callable[[list[Place]], Place], cap: int, batch: int = 1) -> tuple[list[Message], Merge]:
    """Feed the places that may be fed, `choose` says which is next, until all have ended."""
    left = {place: list(messages) for place, messages in rows.items()}
    merge, paused, out = Merge(rows, cap), set(), []
    while not merge.is_over:
        place = choose(sorted(set(left) - paused))
        for found in left[place][:batch]:
            merge.add(place, found)
        left[place] = left[place][batch:]
        if not left[place]:
            del left[place]
            merge.end(place)
        out += merge.ready()
        pause, resume = merge.turn()
        paused = (paused | set(pause)) - set(resume)
    return out, merge


def in_order(rows: Rows) -> list[Message]:
    """By the newest time received so far in the partition, topic, partition, offset."""
    keyed: list[tuple[tuple[int, Place, int], Message]] = []
    for place, messages in rows.items():
        newest = 0
        for found in messages:
            newest = max(newest, found.received_ns)
            keyed.append(((newest, place, found.offset), found))
    return [found for _, found in sorted(keyed, key=lambda pair: pair[0])]


@st.composite
def histories(draw: st.DrawFn) -> Rows:
    places: Iterable[Place] = [("a", 0), ("a", 1), ("b", 0)]
    times = st.lists(st.integers(1, 9), max_size=8)
    return {place: [message(place, n, t, 1000) for n, t in enumerate(draw(times))] for place in places}


@given(histories(), st.data(), st.sampled_from([1, 3000, 1 << 20]), st.integers(1, 4))
def test_the_order_is_the_same_whoever_is_faster_and_whatever_fits_into_memory(rows, data, cap, batch):
    out, merge = merged(rows, lambda places: data.draw(st.sampled_from(places)), cap, batch)
    assert out == in_order(rows)
    assert merge.peak_bytes <= cap + len(rows) * batch * bytes_of(message(("a", 0), 0, 0, 1000))


def test_memory_is_bounded_while_one_partition_is_far_ahead():
    fast, slow = ("a", 0), ("a", 1)
    rows = {fast: [message(fast, n, n, 10_000) for n in range(2000)], slow: [message(slow, 0, 1999, 10)]}
    out, merge = merged(rows, lambda places: places[0], cap=1 << 20, batch=10)
    assert merge.peak_bytes < (1 << 20) + 10 * 11_000
    assert out == in_order(rows)


def test_memory_is_bounded_while_one_partition_holds_large_messages():
    large, small = ("a", 0), ("b", 0)
    rows = {large: [message(large, n, n * 10, 1 << 20) for n in range(20)]}
    rows |= {small: [message(small, n, n, 100) for n in range(200)]}
    out, merge = merged(rows, lambda places: places[0], cap=4 << 20)
    assert merge.peak_bytes < (4 << 20) + 2 * (1 << 20)
    assert out == in_order(rows)


def test_who_is_waited_for_is_never_paused():
    merge = Merge([("a", 0), ("a", 1)], cap_bytes=1)
    merge.add(("a", 0), message(("a", 0), 0, 1))
    assert merge.turn() == ([("a", 0)], [])
    assert merge.missing == [("a", 1)]
    merge.add(("a", 1), message(("a", 1), 0, 2))
    assert [found.received_ns for found in merge.ready()] == [1]
    assert merge.turn() == ([("a", 1)], [("a", 0)])


def test_an_empty_history_is_over_when_its_partitions_have_ended():
    merge = Merge([("a", 0)], cap_bytes=1)
    assert not merge.is_over
    merge.end(("a", 0))
    assert merge.is_over and list(merge.ready()) == []
