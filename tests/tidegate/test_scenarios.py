"""Bad days in the shop, from OTLP bytes to decisions: what Tidegate makes of each, with the settings as shipped.

Some minutes of a shop each. What is not asserted here is not promised; docs/scenarios.md says what is seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import schemas as sc
from schemas.core import NS, Message
from simulation import Day, days, shop
from simulation._shop_plan import VERSIONS
from streams import MemoryLog
from tidegate import _demo
from tidegate._errors import SettingsError
from tidegate._pipeline import build
from tidegate._replay import Run, replay
from tidegate._settings import Settings

START_NS = 1_767_268_800 * NS


class Size(NamedTuple):
    """How large a shop, when it begins and how long one looks; what takes long is made to fit."""

    at_s: float = 240.0
    rate: float = 12.0
    lasts_s: float = 360.0
    more: tuple[tuple[str, float], ...] = ()


def _deployment(name: str) -> dict[str, Any]:
    pool = {"server": "default/service/shop-db", "role": name, "limit": 10, "raised": 12}
    return {"kubernetes": {"namespace": "shop", "deployment": name, "replicas": 2, "replicas_raised": 3}, "pool": pool}


KNOWN = Settings.model_validate(
    {
        "actions": {
            "services": {
                **{name: _deployment(name) for name in VERSIONS},
                "warehouse": {"kubernetes": {"namespace": "etl", "cronjob": "nightly-copy"}},
            }
        }
    }
)
"""Settings that say where services run and what limits their pools."""

SIZES = {
    "bad_deploy": Size(rate=40.0),  # an eighth are orders, and one of them in twenty fails
    "span_loss": Size(rate=40.0),
    "metrics_loss": Size(rate=40.0),
    "trace_loss": Size(at_s=1200.0),  # whether silence is a wonder is known after a quarter of an hour
    "memory_leak": Size(more=(("grows_s", 240.0),)),
    "replica_lag": Size(at_s=1200.0, rate=4.0, lasts_s=300.0),  # lines are few, so history has to be longer
    "peak_cpu": Size(at_s=900.0, lasts_s=300.0),  # so does a gauge
    "busy_day": Size(more=(("grows_s", 120.0),)),
}


@dataclass(frozen=True)
class Heard:
    """A run, with times in seconds after the onset."""

    day: Day
    run: Run

    @property
    def incidents(self) -> list[sc.Incident]:
        return sorted(self.run.incidents.values(), key=lambda incident: incident.opened_ns)

    @property
    def opened_s(self) -> float:
        return (self.incidents[0].opened_ns - START_NS) / NS - self.day.at_s

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Service and family of what may be the cause of the first incident, likeliest first."""
        diagnosis = self.run.diagnoses[self.incidents[0].id]
        return [(h.cause.entity, h.cause.family) for h in diagnosis.hypotheses]

    @property
    def proposed(self) -> set[tuple[str, str]]:
        """Verb and target of all that was proposed for any incident."""
        return {(action.change.verb, action.change.target) for action in self.run.actions}

    @property
    def states(self) -> set[str]:
        return {action.state for action in self.run.actions}


@cache
def heard(kind: str) -> Heard:
    size = SIZES.get(kind, Size())
    day = days()[kind](at_s=size.at_s, **dict(size.more))
    log, found = MemoryLog(), list[Message]()
    for emit in shop(5, START_NS, size.at_s + size.lasts_s, fault=day, rate=size.rate):
        log.append([emit], writer="shop")
        found.append(log.read([emit.topic], log.last() - 1, 1)[0].message)
    return Heard(day, replay(found, build(Settings())))


def decided(messages: Iterable[Message]) -> list[sc.ActionEvent]:
    """The diagnoses of a run, decided once more with settings that know the services."""
    return replay(messages, build(KNOWN, first="decide")).actions


ILL = {
    # day: seconds from the onset to the incident at most, and what is the first cause
    "bad_deploy": (60, ("checkout", "change")),
    "memory_leak": (240 + 60, ("payment", "memory")),
    "pool_exhaustion": (60 + 60, ("accounts", "saturation")),
    "replica_lag": (240, ("warehouse", "data")),
    "network_partition": (60, ("inventory", "network")),
    "certificate": (60, ("payment", "authentication")),
    "configuration_change": (60, ("catalogue", "change")),
    "silent_422": (90, ("accounts", "change")),
    "peak_cpu": (60, ("payment", "cpu")),
    "cascade": (60, ("inventory", None)),  # it is said where, not well what: docs/scenarios.md
}


@pytest.mark.parametrize("kind", ILL)
def test_it_is_one_incident_opened_in_time_and_not_before_the_onset(kind):
    assert len(heard(kind).incidents) == 1
    assert 0 < heard(kind).opened_s <= ILL[kind][0]


@pytest.mark.parametrize("kind", ILL)
def test_the_first_cause_is_the_service_that_is_ill_and_what_is_wrong_with_it(kind):
    service, family = heard(kind).causes[0]
    assert service == ILL[kind][1][0] and ILL[kind][1][1] in (family, None)


@pytest.mark.parametrize("kind", ILL)
def test_a_confidence_fitted_elsewhere_is_advice_whatever_it_says(kind):
    assert not heard(kind).states & {"approved", "executing", "executed"}


@pytest.mark.parametrize(
    ("kind", "changed"), [("bad_deploy", "checkout"), ("configuration_change", "catalogue"), ("silent_422", "accounts")]
)  # fmt: skip
def test_what_was_changed_is_to_be_reverted_and_the_innocent_change_before_it_is_not(kind, changed):
    assert heard(kind).proposed == {("gitops.revert", f"default/service/{changed}")}


@pytest.mark.parametrize(
    "kind", ["memory_leak", "pool_exhaustion", "replica_lag", "network_partition", "certificate", "peak_cpu", "cascade"]
)
def test_where_nothing_was_changed_the_owner_of_the_cause_is_told_and_nobody_is_restarted(kind):
    assert {verb for verb, _ in heard(kind).proposed} == {"notify.owner"}
    assert heard(kind).run.actions[-1].change.target == f"default/service/{ILL[kind][1][0]}"


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("memory_leak", ("kubernetes.restart", "default/service/payment")),
        ("pool_exhaustion", ("postgres.pool_resize", "default/service/shop-db")),
        ("network_partition", ("notify.owner", "default/service/inventory")),
        ("replica_lag", ("kubernetes.run_job", "default/service/warehouse")),
    ],
)
def test_where_it_is_known_how_services_run_what_fits_is_proposed_and_no_healthy_one_is_restarted(kind, action):
    again = decided(heard(kind).run.messages)
    assert (again[-1].change.verb, again[-1].change.target) == action
    assert {one.change.verb for one in again} <= {action[0], "notify.owner"}


@pytest.mark.parametrize(("is_peak", "verb"), [(True, "kubernetes.scale"), (False, "kubernetes.restart")])
def test_on_black_friday_a_busy_service_is_scaled_out_and_on_any_other_day_restarted(is_peak, verb):
    heard_of = [m for m in heard("peak_cpu").run.messages if is_peak or sc.record_type(m) != "calendar"]
    assert {one.change.verb for one in decided(heard_of)} == {verb, "notify.owner"}


def test_of_a_cut_network_nobody_is_sure_and_nobody_is_restarted():
    """Its callers are louder, so it is told apart, and not named first: docs/scenarios.md."""
    cut = heard("network_cut")
    assert cut.run.diagnoses[cut.incidents[0].id].abstained == "NOVEL" and cut.opened_s <= 60
    assert ("inventory", "network") in cut.causes and "inventory" in cut.incidents[0].services
    assert {one.change.verb for one in decided(cut.run.messages)} == {"notify.owner"}


def test_lost_spans_do_not_change_what_is_blamed_and_proposed():
    lossy, whole = heard("span_loss"), heard("bad_deploy")
    assert lossy.causes[0] == whole.causes[0] and lossy.proposed == whole.proposed and lossy.opened_s <= 120


def test_lost_spans_are_noticed_and_make_the_cause_less_certain():
    """One span in twenty, so of one call in ten."""
    lossy, whole = (run.run.diagnoses[run.incidents[0].id] for run in (heard("span_loss"), heard("bad_deploy")))
    assert 0.06 < lossy.standing.lost < 0.13 and whole.standing.lost == 0 and whole.unknown == []
    assert {one.reason for one in lossy.unknown} == {"SPANS_LOST"} and lossy.completeness < 1
    assert lossy.hypotheses[0].confidence < whole.hypotheses[0].confidence


def test_a_service_whose_metrics_do_not_arrive_is_named_and_makes_the_cause_less_certain():
    """Its spans and lines still come, so it is there; what is blamed and proposed stays."""
    deaf, whole = heard("metrics_loss"), heard("bad_deploy")
    assert deaf.causes == whole.causes and deaf.proposed == whole.proposed and len(deaf.incidents) == 1
    less, more = (run.run.diagnoses[run.incidents[0].id] for run in (deaf, whole))
    assert [(one.service, one.reason) for one in less.unknown] == [("inventory", "SERVICE_SILENT")]
    assert less.completeness < more.completeness and less.hypotheses[0].confidence < more.hypotheses[0].confidence


def test_a_service_whose_spans_do_not_arrive_is_named_with_how_improbable_that_is_and_makes_the_cause_less_certain():
    """Its metrics still come, so it is there. No other service is said to be silent."""
    lossy = heard("trace_loss")
    found = [sc.read(message) for message in lossy.run.messages if message.topic == sc.ANOMALIES]
    said = [one for one in found if isinstance(one, sc.Anomaly) and one.name in ("span.total", "log.lines.total")]
    assert {(one.service, one.signal) for one in said} == {("inventory", "traces")} and said[-1].p_value <= 0.01
    diagnosis = lossy.run.diagnoses[lossy.incidents[0].id]
    assert [(one.service, one.subsystem) for one in diagnosis.unknown] == [("inventory", "traces")]
    assert diagnosis.completeness < 0.98 and diagnosis.standing.unheard > 0 and len(lossy.incidents) == 1
    assert lossy.causes[0] == ("checkout", "change") and ("gitops.revert", "default/service/checkout") in lossy.proposed


def test_a_cascade_is_told_as_one_incident_of_all_that_suffer():
    assert set(heard("cascade").incidents[0].services) == {"inventory", "catalogue", "cart", "checkout", "gateway"}


@pytest.mark.parametrize("kind", ["busy_day", "quiet"])
def test_where_nothing_is_broken_there_is_no_incident_and_nothing_is_proposed(kind):
    assert heard(kind).incidents == [] and heard(kind).run.actions == []


def test_orders_in_a_log_line_blame_nobody_they_name_and_restart_nothing():
    """A new kind of warning is told to the owner of the service that wrote it, and that is all."""
    assert {service for service, _ in heard("injected_line").causes} == {"accounts"}
    every = decided(heard("injected_line").run.messages)
    assert {(one.change.verb, one.change.target) for one in every} == {("notify.owner", "default/service/accounts")}


def test_every_day_is_told_of_in_the_docs():
    page = (Path(__file__).resolve().parents[2] / "docs/scenarios.md").read_text()
    assert [name for name in _demo.listed() if f"\n| `{name}` |" not in page] == []


def test_a_day_that_does_not_exist_is_refused_with_the_names_of_all(tmp_path):
    with pytest.raises(SettingsError, match=", ".join(_demo.listed())):
        _demo.demo(7, tmp_path / "run", quiet=True, day="sunday")
