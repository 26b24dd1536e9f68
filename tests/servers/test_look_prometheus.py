"""A look at a real Prometheus (Debian's) into which eight hours with a fault were written as blocks."""

import pytest
from support import prometheus as servers
from support.prometheus_shop import FAULT, HOURS, SERVICES, START, open_metrics

from schemas.core import NS
from tidegate._look import look
from tidegate._look_read import History
from tidegate._settings import Settings


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with servers.holding(tmp_path_factory.mktemp("prometheus"), open_metrics()) as url:
        yield url


def test_a_real_prometheus_tells_what_the_double_tells(address: str) -> None:
    end = START + HOURS * 3600
    seen = look(History(address), Settings(), start_ns=START * NS, end_ns=end * NS, step_s=60, most=100)
    (beside,) = [f for f in seen.found if f.alert is not None]
    assert beside.alert is not None and beside.alert.name == "HighErrors" and "checkout" in beside.services
    assert FAULT <= beside.start_ns / NS <= FAULT + 300
    assert [m.name for m in seen.missed] == ["DiskFull"]
    assert seen.samples == 3 * len(SERVICES) * HOURS * 60


def test_a_selector_of_people_is_part_of_every_query(address: str) -> None:
    plan = History(address, match='{job="shop/cart"}').plan((START + 3600) * NS, 100)
    assert plan.metrics == {"http_errors_total": 1, "http_requests_total": 1, "queue": 1}
