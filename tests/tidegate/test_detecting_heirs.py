"""A pod that took the place of another is judged by what was known of that one, however time is told."""

import numpy as np
import pytest

import schemas as sc
from detectors.seasonal_local import SeasonalLocal
from schemas.core import NS, Message, Tick
from tidegate._detecting import Detecting

START, DAY, OLD = 1_767_225_600 * NS, 86_400, 2 * 86_400
END = OLD + 5400
FAULT = OLD + 1800  # within the hour in which the other fell silent


def sample(pod, at_s):
    """One of the busy metric of a pod, with its definition; a minute apart."""
    entity = f"default/instance/cart/cart-7d9f8b6c5d-x2k4{pod}"
    number = sc.series_id("default", entity, "busy", {})
    value = 50 + 15 * np.sin(2 * np.pi * at_s / DAY) + np.random.default_rng(at_s).normal(0, 1)
    value += 12.0 if pod == 4 and FAULT <= at_s < FAULT + 600 else 0.0
    definition = sc.SeriesDef(id=f"{number:016x}", entity_id=entity, service="cart", name="busy")
    return number, START + at_s * NS, value, definition


ROWS = [sample(2, at_s) for at_s in range(0, OLD, 60)] + [sample(4, at_s) for at_s in range(OLD - 30, END, 60)]


def anomalies(chunk_s, *, restarts=()):
    """By id: seconds after the fault began, and p. restarts: seconds of ticks after which the state is read again."""
    stage = Detecting([SeasonalLocal()], fast=False)
    state, found, at = stage.initial(), {}, 0
    for begin in range(0, END, chunk_s):
        mine = [row for row in ROWS if START + begin * NS <= row[1] < START + (begin + chunk_s) * NS]
        if mine:
            ids, t, value, defs = zip(*mine, strict=True)
            columns = np.array(ids, np.uint64), np.array(t, np.int64), np.array(value)
            data = sc.encode_frame(
                *columns, shards=np.zeros(len(t), np.int64), defs=list({d.id: d for d in defs}.values())
            )
            state, _ = stage.step(state, Message(sc.FRAMES, 0, at, b"", data, (), t[0], t[0]))
            at += 1
        state, out = stage.step(state, Tick(START + (begin + chunk_s) * NS))
        for emit in out:
            record = sc.read(Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, 1, 1))
            if isinstance(record, sc.Anomaly) and record.p_value < 1e-4:
                found[record.id] = (record.start_ns - START) // NS - FAULT, record.p_value
        if begin + chunk_s in restarts:
            state = stage.load(stage.dump(state))
    return found


@pytest.fixture(scope="module")
def whole():
    return anomalies(3600)


def test_a_fault_half_an_hour_after_the_pod_began_is_found(whole):
    assert whole and -60 < min(whole.values())[0] < 300  # windows slide


@pytest.mark.parametrize("chunk_s", [60, 420])
def test_how_time_is_told_changes_nothing(whole, chunk_s):
    assert anomalies(chunk_s) == whole


def test_restarts_while_the_pod_has_no_level_yet_change_nothing(whole):
    assert anomalies(10, restarts=range(OLD, OLD + 600, 10)) == whole
