"""Cut over and back: each instant is published by exactly one generation, whatever the pace of either."""

import random

from hypothesis import given
from hypothesis import strategies as st

import schemas as sc
from schemas.core import NS, Emit, Message
from streams import Serving

S = 10 * NS


def record(n: int, text: str) -> Emit:
    incident = sc.Incident(id=f"i{n}", opened_ns=n * S, updated_ns=n * S, entities=["e"], severity=1, title=text)
    return sc.emit(sc.INCIDENTS, incident, id=f"i{n}", key="k", source="tidegate/diagnose", event_ns=n * S)


def mark(through: int, *, final: bool = False) -> Emit:
    one = sc.Watermark(stage="diagnose", instance="0", through_ns=through * S, final=final)
    return sc.emit(sc.INCIDENTS, one, id=f"w{through}", key="w", source="tidegate/diagnose", event_ns=through * S)


def message(emit: Emit, n: int = 0) -> Message:
    return Message(emit.topic, 0, n, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns)


def order(n: int, generation: str, at: int) -> sc.Control:
    return sc.Control(
        id=f"o{n}", kind="serve", scope="tidegate", generation=generation, from_ns=at * S, issued_ns=n + 1,
        issuer="ops", signature="checked before",
    )  # fmt: skip


def history(name: str) -> list[Message]:
    """Forty incidents, a mark after each; some are delivered twice."""
    found = []
    for n in range(1, 41):
        found += [message(record(n, name)), message(mark(n + 1, final=n == 40))]
        if n % 7 == 0:
            found.append(found[-2])
    return found


@given(seed=st.integers(0, 2**32), first=st.integers(5, 20), second=st.integers(21, 39))
def test_every_instant_is_published_once_by_the_generation_in_force(seed, first, second):
    rng, serving = random.Random(seed), Serving.start("n")
    assert serving.order(order(0, "m", first)) == ""
    assert serving.order(order(1, "n", second)) == ""
    left = {"n": history("n"), "m": history("m")}
    out: list[Emit] = []
    while any(left.values()):
        name = rng.choice([name for name, rest in left.items() if rest])
        size = rng.randint(1, 9)
        out += serving.take(name, left[name][:size])
        left[name] = left[name][size:]
    records = [sc.read(message(e)) for e in out]
    said = {r.id: r.title for r in records if isinstance(r, sc.Incident)}
    assert len(said) == sum(isinstance(r, sc.Incident) for r in records) == 40
    assert said == {f"i{n}": "m" if first <= n < second else "n" for n in range(1, 41)}


def test_an_order_for_what_has_passed_is_not_followed():
    serving = Serving.start("n")
    serving.take("m", [message(mark(9))])
    assert serving.order(order(0, "m", 9)) == "TOO_LATE"
    assert serving.order(order(0, "m", 10)) == ""
    assert serving.order(order(0, "m", 10)) == ""  # the same again
    assert serving.order(order(1, "n", 10)) == "TOO_LATE"
    assert serving.at(9 * S) == "n" and serving.at(10 * S) == "m"


def test_an_older_order_cannot_undo_a_newer_one():
    serving = Serving.start("n")
    assert serving.order(order(5, "m", 10)) == ""
    assert serving.order(order(3, "n", 20)) == "OLDER_THAN_THE_LAST"
