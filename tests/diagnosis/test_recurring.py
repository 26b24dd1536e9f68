"""What comes back at the same hour and is nobody's business is suppressed with the reason; anything else is heard."""

import pytest
from support.incidents import SHOP, T, anomaly, changed, message, stepped

from diagnosis import Diagnose, Settings, equal_weights
from schemas import ALERTS, Alert, Incident, Objective, ServiceBook, ServiceFacts, read
from schemas.core import NS, Message

DAY = 86_400
WEEKDAY = "weekly Tue 22:13"  # the hour of T
PROMISED = ServiceFacts(service="cart", objectives=[Objective(of="error_ratio", most=0.01)])


def daily(days, service="cart", at_s=0, **more):
    return [anomaly(service, n * DAY + at_s).model_copy(update=more) for n in days]


def ticket(day, at_s=600, kind="ticket", state="firing", author=None):
    at = T + (day * DAY + at_s) * NS
    record = Alert(id=f"t{day}", entity_id="default/service/cart", service="cart", kind=kind, state=state, name="t",
                   title="t", at_ns=at, said_ns=at, system="pager", author=author)  # fmt: skip
    return Message(ALERTS, 0, 0, b"", record.to_bytes(), (("ce_type", b"io.tidegate.alert"),), at, at)


def said(anomalies, *more, until_day=40, stage=None):
    """By day: what suppressed the incidents that opened then, as it was said last."""
    told = [*SHOP, *map(message, anomalies), *more]
    out = stepped(told, until_day * DAY, stage or Diagnose(equal_weights()))[1]
    read_ = [read(Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, 0)) for e in out]
    return {(i.opened_ns - T) // (DAY * NS): i.suppressed_by for i in read_ if isinstance(i, Incident)}


def test_what_came_at_this_hour_on_five_days_is_suppressed_from_the_sixth_on_and_says_why():
    found = said(daily(range(8)))
    assert found == {n: [] if n < 5 else ["recurring:daily 22:13"] for n in range(8)}


def test_what_comes_every_week_is_suppressed_from_the_fourth_time_on():
    found = said(daily((0, 7, 14, 21, 28)), until_day=30)
    assert list(found.values()) == [[], [], [], [f"recurring:{WEEKDAY}"], [f"recurring:{WEEKDAY}"]]


@pytest.mark.parametrize("days", [(0, 1, 2, 3, 5), (1, 2, 3, 4, 5)])
def test_one_day_without_it_is_no_habit(days):
    assert not any(said(daily(days)).values())


def test_at_another_hour_it_is_heard():
    assert said([*daily(range(5)), *daily([5], at_s=3 * 3600)])[5] == []
    assert said([*daily(range(5)), *daily([5], at_s=1500)])[5] != []


def test_when_it_is_half_as_large_again_as_usual_it_is_heard():
    assert said([*daily(range(5)), *daily([5], residual=12.1)])[5] == []
    assert said([*daily(range(5)), *daily([5], residual=11.9)])[5] != []


def test_another_symptom_beside_it_is_heard():
    assert said([*daily(range(6)), *daily([5], "redis", 30)])[5] == []


@pytest.mark.parametrize(
    "people",
    [ticket(2), ticket(2, kind="incident"), ticket(2, kind="alert", state="acknowledged"),
     ticket(2, kind="alert", state="resolved", author="ada"), message(changed("cart", 2 * DAY + 60)),
     message(changed("cart", 2 * DAY + 60, settles_s=2 * DAY + 180))],
)  # fmt: skip
def test_what_was_somebodys_business_once_is_heard(people):
    assert said(daily(range(6)), people)[5] == []


@pytest.mark.parametrize("nobody", [ticket(2, kind="alert"), ticket(2, 12 * 3600), message(changed("mail", 2 * DAY))])
def test_an_alert_that_nobody_took_up_and_what_is_about_something_else_change_nothing(nobody):
    assert said(daily(range(6)), nobody)[5] != []


def test_where_a_promise_to_customers_is_missed_it_is_heard():
    for failed, suppressed in ((0.5, True), (9.0, False)):
        stage = Diagnose(equal_weights(), services=ServiceBook(services=[PROMISED]))
        found = said(daily(range(6), observed=failed, requests=100), stage=stage)
        assert bool(found[5]) == suppressed


def test_one_setting_turns_it_off():
    assert said(daily(range(6)), stage=Diagnose(equal_weights(), Settings(suppress_recurring=False)))[5] == []


@pytest.mark.parametrize("at", [5.5, 3.5])
def test_a_restart_remembers_habits_and_people(at):
    stage = Diagnose(equal_weights())
    told = sorted([*SHOP, *map(message, daily(range(7))), ticket(1, 12 * 3600)], key=lambda m: m.event_ns)
    early = [m for m in told if m.event_ns < T + at * DAY * NS]
    state, whole = stage.initial(), stepped(told, 8 * DAY, Diagnose(equal_weights()))[1]
    out = []
    for event in early:
        state, more = stage.step(state, event)
        out += more
    state = stage.load(stage.dump(state))
    assert out + stepped(told[len(early) :], 8 * DAY, stage, state)[1] == whole
