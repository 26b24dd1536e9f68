"""Lines known by their code location keep what they say beside it."""

import numpy as np
import pytest

import schemas as sc
from schemas.core import NS, Message, Tick
from streams import DeriveLogs

T = 1_790_000_000 * NS


def definitions(*lines, order=1):
    """Of the lines (body, location), by name: the definitions of the series of lines."""
    rows = [(T + i, "shop/service/cart", "cart", 17, where, body, b"", b"") for i, (body, where) in enumerate(lines)]
    columns = [list(column) for column in zip(*rows[::order], strict=True)]
    columns[0] = np.array(columns[0], np.int64)
    stage = DeriveLogs()
    state, _ = stage.step(
        stage.initial(), Message(sc.LOGS, 0, 0, b"", sc.encode_rows(sc.LOG_FIELDS, columns), (), T, T)
    )
    state, out = stage.step(stage.load(stage.dump(state)), Tick(T + 20 * NS))
    frames = [sc.decode_frame(emit.value) for emit in out if emit.topic == sc.FRAMES]
    return {d.labels["template"]: d for frame in frames for d in frame.defs if d.name == "log.lines"}


def test_what_a_located_line_says_stands_beside_its_location():
    found = definitions(("pool of orders is exhausted after 5000 ms", "Pool#17"))["Pool#17"]
    assert found.labels["text"] == "pool of orders is exhausted after <*>" and found.labels["location"] == "Pool#17"


def test_it_is_no_part_of_the_identity_of_the_series():
    one, other = (definitions((body, "Pool#17"))["Pool#17"].id for body in ("is exhausted", "something else"))
    assert one == other


@pytest.mark.parametrize("order", [1, -1])
def test_it_does_not_depend_on_the_order_of_arrival(order):
    found = definitions(("beta 1", "Pool#17"), ("alpha 2", "Pool#17"), order=order)
    assert found["Pool#17"].labels["text"] == "alpha <*>"


def test_it_is_short_and_a_line_without_a_location_has_none():
    found = definitions(("word " * 500, "Pool#17"), ("plain words", ""))
    located = found.pop("Pool#17")
    (free,) = found.values()
    assert len(located.labels["text"]) <= 200 and "text" not in free.labels
