"""Which anomalies make one incident: by calls, by time, and by what is withdrawn later."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.incidents import SHOP, T, anomaly, changed, edge, incidents, message, stepped

from diagnosis import Diagnose, Settings, equal_weights
from diagnosis._related import Topology, parts
from schemas import Incident, read
from schemas.core import NS, Message


def test_services_without_a_path_between_them_are_two_incidents():
    assert incidents([*SHOP, message(anomaly("cart", 0)), message(anomaly("mail", 0))]).keys() == {"cart", "mail"}


def test_trouble_along_calls_is_one_incident_also_past_what_is_silent():
    assert incidents([*SHOP, message(anomaly("front", 0)), message(anomaly("redis", 10))]).keys() == {"front+redis"}


def test_what_disturbs_both_joins_them_and_the_older_one_goes_on():
    found = incidents([*SHOP, *(message(anomaly(s, t)) for s, t in (("cart", 0), ("mail", 20), ("front", 40)))])
    gone, whole = found["mail"], found["cart+front+mail"]
    assert (gone.state, gone.merged_into, whole.state) == ("merged", whole.id, "open")
    assert whole.opened_ns < gone.opened_ns


def test_a_call_that_becomes_known_joins_them():
    told = [message(anomaly(s, t)) for t in (0, 30) for s in ("cart", "mail")]
    assert incidents([*SHOP, *told, message(edge("cart", "mail", 20))]).keys() == {"cart+mail", "mail"}


def test_a_change_that_both_depend_on_joins_them():
    shared = [*SHOP, message(edge("cart", "config")), message(edge("mail", "config"))]
    told = [message(anomaly("cart", 0)), message(anomaly("mail", 0))]
    assert len(incidents([*shared, *told])) == 2
    assert incidents([*shared, message(changed("config", -60)), *told]).keys() == {"cart+mail"}


def test_faint_noise_joins_nothing():
    faint = message(anomaly("front", 0, 5e-4))
    found = incidents([*SHOP, message(anomaly("cart", 0)), message(anomaly("mail", 0)), faint])
    assert len(found) == 2 and all(one.state == "open" for one in found.values())


def test_of_a_service_that_no_call_is_known_of_nobody_says_that_it_is_unrelated():
    assert incidents([*SHOP, message(anomaly("cart", 0)), message(anomaly("batch", 0))]).keys() == {"batch+cart"}


def test_two_services_of_one_disturbed_machine_have_a_cause_in_common():
    told = [message(anomaly(s, 0)) for s in ("cart", "mail")]
    machine = [message(anomaly(s, 0, kind="metric", name="node_cpu_usage", labels={"node": "n1"}, series=f"{i:016x}"))
               for i, s in enumerate(("cart", "mail"))]  # fmt: skip
    assert incidents([*SHOP, *told, *machine]).keys() == {"cart+mail"}


def test_when_what_joined_them_is_withdrawn_they_are_apart():
    bridge = anomaly("front", 0)
    told = [message(anomaly("cart", 0)), message(anomaly("mail", 0)), message(bridge)]
    found = incidents([*SHOP, *told, message(bridge.model_copy(update={"status": "withdrawn"}), 20)])
    assert found.keys() == {"cart", "mail"}
    assert sorted(one.split_from is None for one in found.values()) == [False, True]


def test_when_all_is_withdrawn_the_incident_ends_at_once():
    one = anomaly("cart", 0)
    found = incidents([*SHOP, message(one), message(one.model_copy(update={"status": "withdrawn"}), 20)])
    assert [(i.state, i.closed_ns) for i in found.values()] == [("closed", T + 20 * NS)]


def test_one_that_is_amended_to_nothing_ends_the_incident():
    one = anomaly("cart", 0)
    again = one.model_copy(update={"status": "amended", "p_value": 0.5, "revision": 1})
    assert [i.state for i in incidents([*SHOP, message(one), message(again, 20)]).values()] == ["closed"]


def test_an_incident_that_only_gauges_tell_of_says_of_whom_and_how_badly():
    slow = {"kind": "metric", "name": "request_latency_p95"}
    (found,) = incidents([*SHOP, *(message(anomaly("cart", at, **slow)) for at in (0, 10, 20))]).values()
    assert (found.title, found.services, found.severity, found.state) == ("Anomalies in cart", ["cart"], 9.0, "open")


def test_gauges_do_not_make_worse_what_requests_tell_of():
    slow = {"kind": "metric", "name": "request_latency_p95", "series": "ab"}
    gauges = (message(anomaly("cart", at, 1e-14, **slow)) for at in (0, 10, 20))
    (found,) = incidents([*SHOP, message(anomaly("cart", 0)), *gauges]).values()
    assert found.severity == 9.0


def test_what_flaps_stays_open_twice_as_long():
    first = [message(anomaly("cart", 0))]
    _, out = stepped([*SHOP, *first, message(anomaly("cart", 400))], 1100)
    closed = [i for e in out if (i := read(Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, 0)))
              and isinstance(i, Incident) and i.state == "closed"]  # fmt: skip
    assert [(i.closed_ns - i.opened_ns) // NS for i in closed] == [300, 600]


@pytest.mark.parametrize(("at_s", "opened"), [(30, 0), (130, 1)])
def test_the_effect_of_an_action_of_our_own_opens_nothing_until_it_has_settled(at_s, opened):
    told = [*SHOP, message(changed("cart", 0, settles_s=120)), message(anomaly("cart", at_s))]
    assert len(incidents(told, 200)) == opened


def test_an_effect_of_ours_does_not_hide_what_others_do_meanwhile():
    told = [message(changed("cart", 0, 120)), message(anomaly("cart", 30)), message(anomaly("mail", 30))]
    assert incidents([*SHOP, *told], 100).keys() == {"mail"}


SERVICES = ("front", "cart", "mail", "redis", "smtp", "batch")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(SERVICES), st.integers(0, 20), st.sampled_from((1e-9, 1e-5, 5e-4))), max_size=25
    ),
    st.randoms(use_true_random=False),
)
def test_neither_order_within_an_instant_nor_a_restart_changes_what_is_said(drawn, rng):
    told = {(s, t): message(anomaly(s, t * 10, p)) for s, t, p in drawn}
    messages = sorted([*SHOP, *told.values()], key=lambda m: m.event_ns)
    shuffled = sorted(rng.sample(messages, len(messages)), key=lambda m: m.event_ns)
    stage, cut = Diagnose(equal_weights()), rng.randrange(len(messages) + 1)
    whole = stepped(messages, 900)[1]
    assert stepped(shuffled, 900)[1] == whole
    state, out = stage.initial(), []
    for event in messages[:cut]:
        state, more = stage.step(state, event)
        out += more
    assert out + stepped(messages[cut:], 900, stage, stage.load(stage.dump(state)))[1] == whole


def test_reach_ends_after_some_calls_and_follows_new_ones():
    topology = Topology()
    for n in range(8):
        topology.add(f"s{n}", f"s{n + 1}")
    assert "s5" in topology.related("s0") and "s6" not in topology.related("s0")
    topology.add("s0", "s6")
    assert "s0" in topology.related("s6")


def test_parts_are_the_same_in_every_order_and_hold_every_service():
    topology, rng = Topology(), random.Random(3)
    for _ in range(60):
        topology.add(f"s{rng.randrange(60)}", f"s{rng.randrange(60)}")
    strengths = {f"s{n}": rng.random() * 4 for n in range(70)}
    found = parts(strengths, topology, 1.0)
    assert found == parts(dict(rng.sample(sorted(strengths.items()), 70)), topology, 1.0)
    assert sorted(s for part in found for s in part.services) == sorted(strengths)


MANY = 200


def storm(most_open):
    """Pairs that have nothing to do with each other, all at once, each more improbable than the one before."""
    stage = Diagnose(equal_weights(), Settings(most_open=most_open))
    told = [message(edge(f"a{n}", f"b{n}")) for n in range(MANY)]
    told += [message(anomaly(f"{end}{n}", 0, 10 ** -(7 + 8 * n / MANY))) for n in range(MANY) for end in "ab"]
    state, out = stepped(told, 20, stage)
    said = [read(Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, 0)) for e in out]
    return state.groups["default", "default"], {i.id: set(i.services) for i in said if isinstance(i, Incident)}


def test_many_incidents_of_one_domain_at_once_are_as_many():
    group, opened = storm(1000)
    assert sorted(map(sorted, opened.values())) == sorted([f"a{n}", f"b{n}"] for n in range(MANY)) and not group.dropped


def test_where_there_is_no_room_the_most_severe_are_opened_and_the_others_counted():
    group, opened = storm(10)
    assert sorted(map(sorted, opened.values())) == sorted([f"a{n}", f"b{n}"] for n in range(MANY - 10, MANY))
    assert group.dropped == 2 * (MANY - 10)
