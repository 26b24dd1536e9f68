"""What a series costs normalise: its definition is kept as pieces of JSON, its shard in two bytes and a slot."""

import gc
import tracemalloc

import numpy as np
import pytest
from support.traffic import Steady

from schemas.core import NS, Message
from streams import Normalise, StreamSettings
from streams.sources.otlp_metrics import OtlpMetrics

START = 1_700_000_000 * NS


def test_a_series_takes_at_most_three_hundred_bytes_of_normalise():
    pytest.importorskip("numba")
    stage = Normalise([OtlpMetrics(fast=True)], StreamSettings(), fast=True)
    services = [Steady(f"s{i}", 1000) for i in range(21)]
    messages = []
    for service in services:
        emit = service.at(START, np.zeros(1000))
        messages.append(Message(emit.topic, 0, 0, b"", emit.value, (), START, START))
    state, _ = stage.step(stage.initial(), messages[0])  # compiles
    gc.collect()
    tracemalloc.start()
    for message in messages[1:]:
        state, out = stage.step(state, message)
        del out
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken / 20_000 <= 300
    assert len(stage.dump(state)) / 21_000 <= 64
