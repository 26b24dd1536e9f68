"""What holds for every day in the shop, and what can befall a tree of calls."""

import hashlib

import numpy as np
import pytest

import schemas as sc
from schemas.core import NS
from simulation import BadDeploy, Day, days, shop
from simulation._shop_day import since
from simulation._shop_plan import ENDPOINTS, ERROR, VERSIONS, Call, Log
from simulation._shop_tree import delayed, failing, refusing, slowed, unreachable

START_NS = 1_767_268_800 * NS
ORDER = ENDPOINTS[-1].call
SAID = Log("it broke", ERROR)
KINDS = sorted(days())


def sent(seed: int, duration_s: float, day: Day | None, rate: float = 6.0) -> str:
    found = hashlib.sha256()
    for emit in shop(seed, START_NS, duration_s, fault=day, rate=rate):
        found.update(emit.topic.encode() + emit.value)
    return found.hexdigest()[:16]


def all_calls(call: Call) -> list[Call]:
    return [call, *(below for one in call.calls for below in all_calls(one))]


def of(tree: Call, service: str) -> Call:
    return next(one for one in all_calls(tree) if one.service == service)


def test_the_bytes_of_the_first_bad_deploy_are_what_they_always_were():
    assert sent(5, 60, BadDeploy(at_s=30, error_ratio=0.5, innocent_s=10)) == "063b063062686270"


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_gives_the_same_bytes_twice_and_those_of_other_days_differ(kind):
    day = days()[kind](at_s=30.0)
    assert sent(1, 60, day) == sent(1, 60, day)
    assert (sent(1, 60, day) == sent(1, 60, Day())) is (kind == "quiet")


@pytest.mark.parametrize("kind", KINDS)
def test_before_it_begins_a_day_fails_nothing_and_says_nothing_new(kind):
    """Gauges that a day adds are there from the start, so that there is something to compare with."""
    ill = [emit.value for emit in shop(1, START_NS, 60, fault=days()[kind](at_s=1e6), rate=6) if not emit.headers]
    well = b"".join(ill)
    assert not any(word in well for word in (b"Error", b"failed", b"given up", b"expired", b"refused"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_says_what_it_is_and_its_cause_is_a_service_of_the_shop(kind):
    day = days()[kind]()
    assert day.about and day.begins and day.lasts_s > 0
    assert day.cause is None or day.cause[1] in VERSIONS | day.services


def test_a_slow_service_takes_longer_itself_and_nothing_else_changes():
    tree = slowed(ORDER, "accounts", 100.0, SAID)
    assert of(tree, "accounts").work_ms == of(ORDER, "accounts").work_ms + 100 and SAID in of(tree, "accounts").logs
    assert of(tree, "payment") == of(ORDER, "payment") and {one.status for one in all_calls(tree)} == {200}


def test_a_failure_goes_up_to_the_gateway_and_what_comes_after_it_is_not_called():
    tree = failing(ORDER, "inventory", 503, SAID)
    assert {one.service: one.status for one in all_calls(tree)} == {
        "gateway": 500, "checkout": 500, "cart": 200, "accounts": 200, "inventory": 503,
    }  # fmt: skip
    assert of(tree, "inventory").logs == (SAID,)
    assert of(tree, "checkout").logs[-1].body == "POST /checkout given up: inventory answered 503"
    assert of(tree, "gateway").logs[-1].level == ERROR


def test_a_refusal_is_passed_on_as_it_is_and_nobody_logs_an_error():
    tree = refusing(ORDER, "accounts", 422)
    assert [of(tree, service).status for service in ("accounts", "checkout", "gateway", "cart")] == [422, 422, 422, 200]
    assert not [log for one in all_calls(tree) for log in one.logs if log.level == ERROR]


def test_what_cannot_be_reached_serves_nothing_and_its_caller_gives_up():
    lost = of(unreachable(ORDER, "payment", 5000.0), "payment")
    assert (lost.lost_ms, lost.logs, lost.status) == (5000.0, (), 0)


def test_a_slow_network_makes_no_service_slower():
    tree = delayed(ORDER, "payment", 80.0)
    assert of(tree, "payment").network_ms == 80.4
    assert [one.work_ms for one in all_calls(tree)] == [one.work_ms for one in all_calls(ORDER)]


@pytest.mark.parametrize("change", [slowed, delayed, unreachable])
def test_a_tree_without_the_service_stays_as_it_is(change):
    listing = ENDPOINTS[0].call
    assert change(listing, "payment", 10.0) == listing == failing(listing, "payment", 500, SAID)


def test_a_share_can_be_that_of_one_instance_only():
    shares = since(10, 0.5, slots=(1,))
    assert shares(np.array([5.0, 20.0, 20.0]), np.array([1, 0, 1])).tolist() == [0.0, 0.0, 0.5]


def test_a_change_of_a_day_is_told_once_and_by_the_second_of_it():
    changes = [
        sc.Change.from_bytes(emit.value)
        for emit in shop(1, START_NS, 60, fault=BadDeploy(at_s=30, innocent_s=10), rate=2) if emit.topic == sc.RAW
        and b"deploy #" in emit.value
    ]  # fmt: skip
    assert [(one.service, one.at_ns - START_NS) for one in changes] == [("catalogue", 20 * NS), ("checkout", 30 * NS)]
