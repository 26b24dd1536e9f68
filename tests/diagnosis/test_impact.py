"""Whose an incident is and what customers lose by it: said where it is known, null where nobody said."""

from support.incidents import SHOP, T, anomaly, message, stepped

from diagnosis import Diagnose, equal_weights
from schemas import Incident, Objective, ServiceBook, ServiceFacts, read
from schemas.core import NS, Message

FACTS = ServiceFacts(service="cart", owner="Team shop", escalation=["ada", "bob"], business=["orders"],
                     objectives=[Objective(of="error_ratio", most=0.01),
                                 Objective(of="latency", most=0.5)])  # fmt: skip
BOOK = ServiceBook(services=[FACTS])


def failing(service, at_s, failed=9.0, requests=100, p=1e-9, **more):
    return anomaly(service, at_s, p).model_copy(update={"observed": failed, "requests": requests} | more)


def business(service, at_s, p=1e-5, name="orders", status="firing"):
    found = anomaly(service, at_s, p, kind="metric", name=name, series=f"{len(name) + ord(service[0]):016x}")
    return found.model_copy(update={"signal": "business", "unit": "{order}/min", "status": status})


def last(anomalies, book=BOOK, until_s=60):
    _, out = stepped([*SHOP, *(message(a) for a in anomalies)], until_s, Diagnose(equal_weights(), services=book))
    read_ = [read(Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, 0)) for e in out]
    return [record for record in read_ if isinstance(record, Incident)][-1]


def test_what_nobody_said_is_null_and_not_even_written():
    said = last([failing("cart", 0)], None)
    assert (said.owner, said.customer_impact, said.business) == (None, None, None)
    assert not {"owner", "escalation", "customer_impact", "business"} & said.model_dump(mode="json").keys()


def test_of_a_service_without_an_entry_nothing_is_guessed_from_its_neighbours():
    said = last([failing("front", 0, p=1e-12), failing("cart", 10, p=1e-9)])
    assert said.services == ["front", "cart"] and said.owner is None and said.customer_impact[0].service == "cart"


def test_the_worst_window_that_misses_a_promise_is_told_with_how_many_requests_it_held():
    said = last([failing("cart", 0), failing("cart", 10, 40.0, 200), failing("cart", 20, 12.0)])
    assert [(one.of, one.most, one.observed, one.requests) for one in said.customer_impact] == [
        ("error_ratio", 0.01, 0.2, 200)
    ]
    assert said.owner == "Team shop" and said.escalation == ["ada", "bob"]


def test_a_promise_that_is_kept_and_a_figure_that_did_not_move_are_known_to_be_so():
    said = last([failing("cart", 0, 1.0, 1000)])
    assert (said.customer_impact, said.business) == ([], [])
    assert last([failing("cart", 0, requests=0)]).customer_impact == []  # nobody counted of how many


def test_what_customers_lose_makes_it_more_severe_by_how_often_the_promise_is_missed():
    kept, missed, worse = (last([failing("cart", 0, failed)]).severity for failed in (1.0, 10.0, 100.0))
    assert (kept, missed, worse) == (9.0, 17.0, 25.0)


def test_figures_of_business_count_where_they_have_to_do_with_it_and_only_until_they_are_withdrawn():
    orders, mails = business("front", 5), business("smtp", 5, name="letters")
    said = last([failing("cart", 0), orders, mails])
    assert [(one.service, one.name) for one in said.business] == [("front", "orders")]  # smtp has nothing to do with it
    assert said.severity == last([failing("cart", 0)]).severity + 5
    withdrawn = orders.model_copy(update={"status": "withdrawn"})
    assert last([failing("cart", 0), orders, withdrawn.model_copy(update={"end_ns": T + 9 * NS})]).business == []


def test_a_restart_forgets_no_figure_of_business():
    stage = Diagnose(equal_weights(), services=BOOK)
    told = [*SHOP, message(failing("cart", 0)), message(business("front", 5))]
    state, _ = stepped(told, 60, stage)
    assert stage.dump(stage.load(stage.dump(state))) == stage.dump(state)
    (open_,) = state.groups["default", "default"].open
    assert [one.name for one in open_.noticed.values()] == ["orders"]
