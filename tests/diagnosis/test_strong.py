"""What is an incident, by how improbable its windows are."""

import pytest

from diagnosis import Settings
from diagnosis._strong import is_strong
from schemas import Anomaly, EvidencePointer
from schemas.core import NS

GAUGE = {"name": "http_latency_p99", "kind": "metric", "signal": "metrics"}
REQUESTS = {"name": "span.errors", "kind": "error_ratio", "signal": "traces"}


def windows(*ps, series="ab", **traits):
    """One anomaly a minute of one series."""
    return [
        Anomaly(
            id=f"{series}{at}", entity_id="default/service/s", service="s", series=series, detector="d@1", unit="1",
            start_ns=at * 60 * NS, end_ns=(at + 1) * 60 * NS, observed=2.0, expected=1.0, residual=1.0, p_value=p,
            direction=1, pointer=EvidencePointer(signal="metrics", subject="s", t_min_ns=0, t_max_ns=1, sha256="x"),
            **(GAUGE | traits),
        )
        for at, p in enumerate(ps)
    ]  # fmt: skip


@pytest.mark.parametrize("spike", [1e-9, 1e-30, 1e-300])
def test_however_odd_a_spike_of_one_minute_of_a_gauge_is_no_incident(spike):
    assert not is_strong(windows(spike, 9e-4, 8e-4), Settings())
    assert not is_strong(windows(spike, spike), Settings())


def test_a_gauge_that_stays_odd_is_one():
    assert is_strong(windows(1e-7, 2e-7, 3e-7), Settings())
    assert is_strong(windows(2e-5, 2e-5, 1e-5), Settings())


def test_three_gauges_that_stay_a_little_odd_are_one():
    faint = [a for series in ("a1", "a2", "a3") for a in windows(2.5e-4, 2.5e-4, 2.5e-4, series=series)]
    assert is_strong(faint, Settings()) and not is_strong(faint[:6], Settings())


def test_requests_that_failed_need_one_window():
    assert is_strong(windows(1e-9, **REQUESTS), Settings())


def test_one_of_them_must_be_new_if_asked():
    assert not is_strong(windows(1e-9, 1e-9, 1e-9), Settings(), since_ns=180 * NS)
    assert is_strong(windows(1e-9, 1e-9, 1e-9), Settings(), since_ns=179 * NS)


def test_what_is_no_discovery_opens_nothing():
    from diagnosis._correlate import Around, Group, arrive, check

    for is_discovery, opened in ((None, 1), (True, 1), (False, 0)):
        group = Group()
        for one in windows(1e-9, **REQUESTS, is_discovery=is_discovery):
            arrive(group, one, 60 * NS, Settings())
        check(group, ("default", "d"), Settings(), Around())
        assert len(group.open) == opened
