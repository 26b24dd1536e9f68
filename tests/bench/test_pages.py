"""False pages of a healthy fleet: which anomalies open an incident, and how its price is counted."""

import pytest

from bench import pages
from bench.pages import DAY, START, Fault, Lot, figures, opened
from schemas import Anomaly, EvidencePointer
from schemas.core import NS
from tidegate._pipeline import opening

SERVICE = "svc0000"


def symptom(minute, p, series=0, service=SERVICE):
    at = START + minute * 60 * NS
    pointer = EvidencePointer(signal="metrics", subject="a", t_min_ns=at, t_max_ns=at + 1, sha256="sha256:" + 64 * "0")
    return minute, Anomaly(
        id=f"{service}/{series}/{minute}", entity_id=f"default/service/{service}", service=service,
        series=f"{series:016x}", name="http_latency_p99", signal="metrics", kind="metric", detector="d@1", start_ns=at,
        end_ns=at + 60 * NS, observed=2.0, expected=1.0, residual=1.0, unit="s", direction=1, p_value=p,
        pointer=pointer,
    )  # fmt: skip


def lasting(minute, p):
    return [symptom(minute + i, p) for i in range(3)]


def test_three_minutes_page_and_a_spike_of_one_does_not():
    assert [at for at, _ in opened(lasting(10, 1e-9), opening(1e-6), [SERVICE])] == [12]
    assert opened([symptom(10, 1e-30)], opening(1e-6), [SERVICE]) == []


@pytest.mark.parametrize(("open_p", "pages"), [(1e-6, 1), (1e-12, 0)])
def test_a_smaller_open_p_buys_fewer_pages_of_sums_too(open_p, pages):
    assert len(opened(lasting(10, 1e-5), opening(open_p), [SERVICE])) == pages


def test_what_opens_before_the_day_of_faults_is_false_and_in_time_of_a_fault_is_found():
    faulty = (pages.TAUGHT_D + 7) * DAY
    lot = Lot(
        lasting(faulty - DAY, 1e-9) + lasting(faulty + 70, 1e-9), {}, [SERVICE], [Fault(0, faulty + 65, 2.0)], 6, 0
    )
    found = figures([lot], 7, opening(1e-6))
    assert found["pages"] == found["pages_per_week"] == 1 and found["recall"]["2.0"] == found["recall_all"] == 1.0


def test_a_fleet_is_the_same_each_time_and_other_lots_are_others():
    first, again, other = (pages.Fleet(lot, 1).minute(5, [(0, 2.0)]) for lot in (0, 0, 1))
    assert (first == again).all() and (first != other).any() and len(first) == pages.SERIES


def test_only_discoveries_page_where_a_share_is_given():
    found = Lot(lasting(10, 1e-9), {0.05: dict.fromkeys(range(99), 1e-10)}, [SERVICE], [Fault(0, 10**6, 2.0)], 3, 0)
    assert [figures([found], 7, opening(1e-6), share)["pages"] for share in (0.0, 0.05)] == [1, 0]


def test_real_series_are_cut_at_midnights_and_faults_left_out(tmp_path):
    import numpy as np

    (tmp_path / "wsd").mkdir()
    t = 60.0 * np.arange(3 * DAY) + 86_400 * 20_000
    label = (np.arange(3 * DAY) == 2 * DAY + 100).astype(int)
    parts = {"_timestamp": t, "": np.arange(3 * DAY, dtype=float), "_label": label}
    np.savez(tmp_path / "wsd" / "0.npz", **{f"{side}{name}": column[s] for side, s in
             (("train", slice(0, DAY)), ("test", slice(DAY, None))) for name, column in parts.items()})  # fmt: skip
    found = pages.stretches_of(tmp_path, DAY + 5)
    assert found.begin.tolist() == [0, DAY] and np.isnan(found.values[0]).sum() == 21
    fleet = pages.RealFleet(0, 1, found)
    value = fleet.minute(3, [(0, 2.0)])
    assert set(value[:7]) <= {6.0, 2.0 * (DAY + 3)} and set(value[7:]) == {3.0, DAY + 3.0}


def test_slices_of_a_fleet_are_counted_as_one():
    rows = figures([Lot(lasting(10, 1e-9), {}, [SERVICE], [Fault(0, 5, 2.0)], 3, 0)], 7, opening(1e-6))
    part = {"days": 7, "services": 1, "series": 250, "points": 1, "anomalies": 3, "symptoms": 3, "cpu_s": 1.0}
    part |= {"thresholds": [rows], "false_shares": []}
    whole = pages.joined([part, part])
    assert whole["services"] == 2 and whole["thresholds"][0]["pages"] == 2
    assert whole["thresholds"][0]["found"]["2.0"] == [2, 2] and whole["thresholds"][0]["recall"]["2.0"] == 1.0
