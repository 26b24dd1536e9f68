"""The p of a series that cried on ordinary days says less afterwards; that of one that was calm says the same."""

import numpy as np
import pytest

from bench.pages import START, Lot
from bench.pages_split import BEGIN, HALF, by_series, own_tail
from schemas import Anomaly, EvidencePointer
from schemas.core import NS

SERVICE = "svc0000"


def symptom(minute, p, series=0):
    at = START + minute * 60 * NS
    pointer = EvidencePointer(signal="metrics", subject="a", t_min_ns=at, t_max_ns=at + 1, sha256="sha256:" + 64 * "0")
    return minute, Anomaly(
        id=f"{series}/{minute}", entity_id=f"default/service/{SERVICE}", service=SERVICE, series=f"{series:016x}",
        name="http_latency_p99", signal="metrics", kind="metric", detector="d@1", start_ns=at, end_ns=at + 60 * NS,
        observed=2.0, expected=1.0, residual=1.0, unit="s", direction=1, p_value=p, pointer=pointer,
    )  # fmt: skip


def known(*minutes_and_p):
    told = [symptom(at, p) for at, p in minutes_and_p]
    return by_series(Lot(told, {}, [SERVICE], [], len(told), 0))


def test_what_was_calm_keeps_its_p_and_so_does_what_comes_after_the_first_half():
    some = known((HALF + 5, 1e-20))
    assert some == {} and own_tail(some)(symptom(HALF + 9, 1e-9, series=1)[1]) == 1e-9


def test_a_series_with_five_hundred_symptoms_of_six_orders_is_no_wonder_at_nine():
    some = known(*((BEGIN + i, 10.0 ** -(3 + 6 * i / 499)) for i in range(500)))  # three beyond 1e-3 in the mean
    corrected = own_tail(some)
    assert corrected(symptom(HALF, 1e-9)[1]) == pytest.approx(500 / (HALF - BEGIN) * np.exp(-6 / 3))
    assert corrected(symptom(HALF, 1e-40)[1]) < 1e-5
