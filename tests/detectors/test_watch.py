"""Watches over changes: what is found, what is not, what is taken back."""

import numpy as np
import pytest
from support.rates import MINUTE, START, Endpoint, deploy, minute, take

import schemas as sc
from detectors import Watching

OTHERS = [Endpoint(f"s{i}", "GET /x", 300) for i in range(5)]
AT = 480


def run(change, shape, minutes=AT + 60, seed=1, *, watching=None, snapshot_at=None):
    """Everything that was said; shape: endpoints of auth by minute since the change, and factor for the others."""
    watching = watching or Watching()
    state, rng, said = watching.initial(), np.random.default_rng(seed), []
    for at in range(minutes):
        own, load, slow = shape(at - AT)
        others = [Endpoint(o.service, o.name, o.per_minute * load, slow=slow) for o in OTHERS]
        for frame in minute(rng, at, [*own, *others]):
            take(watching, state, frame)
        if change is not None and at == (change.at_ns - START) // MINUTE:
            watching.change(state, change)
        said += watching.close(state, START + (at + 1) * MINUTE)
        if at == snapshot_at:
            state = watching.load(*watching.dump(state))
    return said


def anomalies(said):
    return [record for record in said if isinstance(record, sc.Anomaly)]


def verdicts(said):
    return [record for record in said if isinstance(record, sc.ChangeVerdict)]


def silent(since, share=0.06):
    refresh = Endpoint("auth", "POST /refresh", 60, {"": 0.002, "422": share if since >= 0 else 0.005})
    return [Endpoint("auth", "POST /login", 400), refresh], 1.0, 1.0


def healthy(since):
    return silent(-1)


def test_a_silent_422_on_one_endpoint_is_found_and_5xx_are_not_named():
    found = anomalies(run(deploy(AT), silent))
    assert found and {(a.labels["endpoint"], a.labels["status"]) for a in found} == {("POST /refresh", "422")}
    assert found[0].end_ns <= START + (AT + 10) * MINUTE and min(a.p_value for a in found) < 1e-6
    assert all(a.labels["change"] == deploy(AT).id for a in found)


def test_a_healthy_change_has_no_finding_and_is_shown_not_to_be_worse():
    said = run(deploy(AT), healthy)
    assert not anomalies(said) and "not_worse" in {v.verdict for v in verdicts(said)}


def test_without_a_change_nothing_is_said():
    assert not run(None, silent)


def test_a_high_traffic_day_is_no_finding():
    def busy(since):
        factor = min(1 + max(since, 0) / 30, 2.5)
        slow = min(1 + max(since, 0) / 60, 1.6)
        return [Endpoint("auth", "POST /login", 400 * factor, slow=slow)], factor, slow

    said = run(deploy(AT), busy)
    assert not anomalies(said) and "worse" not in {v.verdict for v in verdicts(said)}


def test_a_finding_is_withdrawn_when_the_day_proves_to_be_busy_for_all():
    def later(since):
        factor = 2.5 if since >= 20 else 1.0
        return (
            [Endpoint("auth", "POST /login", 400 * factor, slow=1.5 if since >= 0 else 1.0)],
            factor,
            1.6 if factor > 1 else 1.0,
        )

    said = run(deploy(AT), later)
    last = anomalies(said)[-1]
    assert anomalies(said)[0].status == "firing" and last.status == "withdrawn"
    assert len({a.id for a in anomalies(said)}) == 1 and last.revision > 0
    assert verdicts(said)[-1].findings[0].reason in ("COHORT_MOVED", "LOAD_EXPLAINS")
    assert verdicts(said)[-1].verdict == "inconclusive"


def test_of_a_canary_the_new_version_alone_is_judged_beside_the_old_one():
    def canary(since):
        if since < 0:
            return [Endpoint("auth", "POST /login", 400, version="1")], 1.0, 1.0
        new = Endpoint("auth", "POST /login", 60, {"": 0.002, "422": 0.05}, version="2", slow=1.6)
        return [Endpoint("auth", "POST /login", 340, version="1"), new], 1.0, 1.0

    said = run(deploy(AT, version="2"), canary)
    assert {a.labels["version"] for a in anomalies(said)} == {"2"}
    assert {f.about for f in verdicts(said)[-1].findings if f.verdict == "worse"} >= {"error_ratio", "canary"}


def test_bad_requests_that_hit_old_and_new_version_alike_are_not_the_change():
    def storm(since):
        share = {"": 0.002, "422": 0.05 if since >= 0 else 0.005}
        if since < 0:
            return [Endpoint("auth", "POST /login", 400, share, version="1")], 1.0, 1.0
        return [Endpoint("auth", "POST /login", n, share, version=v) for n, v in ((300, "1"), (100, "2"))], 1.0, 1.0

    said = run(deploy(AT, version="2"), storm)
    assert not [a for a in anomalies(said) if a.kind == "error_ratio"]


@pytest.mark.parametrize(
    ("slow", "state"), [(0.5, "met"), (1.0, "not_shown"), (2.0, "contradicted")], ids=["met", "not shown", "contrary"]
)
def test_an_intended_effect_is_looked_for(slow, state):
    intent = sc.Intent(metric="latency", direction="down", by_ns=START + (AT + 45) * MINUTE)

    def shape(since):
        return [Endpoint("auth", "POST /login", 400, slow=slow if since >= 0 else 1.0)], 1.0, 1.0

    outcome = verdicts(run(deploy(AT, intent=intent), shape))[-1].intent
    assert outcome is not None and outcome.state == state


def test_the_next_change_of_the_service_ends_the_watch():
    watching = Watching()
    state, rng, said = watching.initial(), np.random.default_rng(1), []
    for at in range(AT + 30):
        for frame in minute(rng, at, [*healthy(0)[0], *OTHERS]):
            take(watching, state, frame)
        if at in (AT, AT + 10):
            watching.change(state, deploy(at))
        said += watching.close(state, START + (at + 1) * MINUTE)
    assert [v.state for v in verdicts(said) if v.change_id == deploy(AT).id][-1] == "superseded"
    assert list(state.watches) == [deploy(AT + 10).id]


def test_a_snapshot_in_between_changes_nothing_that_is_said():
    change = deploy(AT, version="2")
    assert run(change, silent, snapshot_at=AT + 3) == run(change, silent)
    assert run(change, silent, snapshot_at=AT) == run(change, silent)
