"""A pool is saturated when nearly all of it is in use and somebody waits."""

import numpy as np
import pytest

from detectors import Detect
from detectors.pool_saturation import SIZE, USED, WAITS, PoolSaturation
from schemas import SeriesDef
from schemas.core import NS, WindowBlock

MINUTE = 60 * NS


def definition(at, name, labels=None, service="shop"):
    entity = f"default/service/{service}"
    return SeriesDef(id=f"{at:016x}", entity_id=entity, service=service, name=name, labels=labels or {}, kind="gauge")


def pool(names=("hikaricp_connections_active", "hikaricp_connections_max", "hikaricp_connections_pending")):
    return {at: definition(at, name) for at, name in enumerate(names)}


def told(defs, minutes, values, seed=1):
    """Anomalies of the last minute; values(at, rng) is one value a series, in order of `defs`."""
    detect, rng, found = Detect([PoolSaturation()]), np.random.default_rng(seed), []
    state, n, ones = detect.initial(), len(defs), np.ones(len(defs))
    for at in range(minutes):
        x = np.array(values(at, rng), float)
        state, found = detect.observe(state, WindowBlock(
            start_ns=at * MINUTE, end_ns=(at + 1) * MINUTE, series=np.arange(n, dtype=np.uint64), rows=np.arange(n),
            total=x, mean=x, low=x, high=x, last=x, count=np.isfinite(x).astype(np.int64), expected=ones, weight=ones,
            recorded=ones), defs)  # fmt: skip
    return found


def usual(used, size, waits, last):
    return lambda at, rng: last if at == 299 else (used + rng.integers(-2, 3), size, waits + abs(rng.normal()))


def test_a_full_pool_for_which_many_wait_is_found():
    (one,) = told(pool(), 300, usual(20, 50, 0.0, (49, 50, 30)))
    assert (one.name, one.observed, one.expected) == ("hikaricp_connections_active", 49, 45)
    assert one.p_value < 0.005 and one.direction == 1


@pytest.mark.parametrize("last", [(44, 50, 30), (49, 50, 0), (49, np.nan, 0)], ids=["room", "nobody waits", "a gap"])
def test_a_pool_with_room_or_without_waits_is_well(last):
    assert told(pool(), 300, usual(20, 50, 0.0, last)) == []


def test_where_waits_are_not_told_a_full_pool_is_enough_and_its_size_is_remembered():
    names = ("process_open_fds", "process_max_fds")
    (one,) = told(pool(names), 300, lambda at, rng: (1000, np.nan) if at == 299 else (300, 1024))
    assert one.observed == 1000


def test_a_pool_that_is_full_each_day_is_no_wonder():
    assert told(pool(), 300, lambda at, rng: (49, 50, 30 if at % 2 else 0)) == []


TIMED = {
    "timer": ("hikaricp_connections_active", "hikaricp_connections_max", "hikaricp_connections_acquire_seconds_mean"),
    "histogram": ("db.client.connection.used", "db.client.connection.max", "db.client.connection.wait_time.mean"),
}


@pytest.mark.parametrize("names", TIMED.values(), ids=TIMED)
def test_how_long_waits_took_says_whether_anybody_waits(names):
    def at(wait):
        return lambda at, rng: (49, 50, wait) if at == 299 else (20, 50, 0.002 + 0.0005 * abs(rng.normal()))

    assert len(told(pool(names), 300, at(0.8))) == 1 and told(pool(names), 300, at(0.002)) == []
    assert len(told(pool(names), 300, at(np.nan))) == 1  # nobody got a connection at all, so no wait ended


def test_how_long_connections_were_used_or_waits_took_at_most_is_no_number_of_connections():
    role = PoolSaturation().role
    roles = {name: role(definition(0, name)) for name in (
        "db.client.connection.use_time.mean", "hikaricp_connections_usage_seconds_mean",
        "hikaricp_connections_acquire_seconds_max", "hikaricp_connections_acquire_seconds_mean",
    )}  # fmt: skip
    assert list(roles.values()) == [-1, -1, WAITS, WAITS]


def test_pools_are_told_apart_by_labels_and_entity():
    defs = {
        0: definition(0, "pool_used", {"pool": "a"}), 1: definition(1, "pool_max", {"pool": "a"}),
        2: definition(2, "pool_used", {"pool": "b"}), 3: definition(3, "pool_max", {"pool": "b"}),
        4: definition(4, "pool_max", {"pool": "a"}, "other"),
    }  # fmt: skip
    found = told(defs, 300, lambda at, rng: (10 if at < 299 else 19, 20, 15, 100, 1000))
    assert [one.series for one in found] == [f"{0:016x}"]


@pytest.mark.parametrize(
    ("name", "labels", "role"),
    [("db.client.connection.count", {"state": "used"}, USED), ("db.client.connection.count", {"state": "idle"}, -1),
     ("db.client.connection.max", {}, SIZE), ("db.client.connection.pending_requests", {}, WAITS),
     ("go_sql_max_open_connections", {}, SIZE), ("go_sql_in_use_connections", {}, USED),
     ("tomcat_threads_config_max_threads", {}, SIZE), ("jvm_memory_used_bytes", {"area": "heap"}, USED),
     ("cpu_usage", {}, -1)],
)  # fmt: skip
def test_roles_by_name(name, labels, role):
    assert PoolSaturation().role(definition(0, name, labels)) == role


def test_what_is_used_and_how_much_there_is_are_one_pool():
    groups = {
        PoolSaturation().group(definition(0, name, labels))
        for name, labels in (("db.client.connection.count", {"state": "used"}), ("db.client.connection.max", {}),
                             ("db.client.connection.pending_requests", {}))
    }  # fmt: skip
    assert len(groups) == 1
