"""A service whose metrics fell silent: others are believed less, nobody is named for it, and it is said."""

import importlib.util
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import schemas as sc
from diagnosis import Circumstances, Diagnose, History, equal_weights, evidence_table, may_show, ranking
from diagnosis._rank import log_odds
from diagnosis._unheard import FORGOTTEN_NS, MOST_SERVICES, Voice, as_if_heard, note, unheard_share
from schemas.core import NS

_spec = importlib.util.spec_from_file_location("unheard_cases", Path(__file__).with_name("test_diagnose.py"))
_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cases)
T, anomaly, final, message, records, run = (
    getattr(_cases, name) for name in ("T", "anomaly", "final", "message", "records", "run")
)
STRONG = anomaly("cart", 0, 1e-9)
CURVE = sc.CalibrationMap(
    data="made", fitted_on=["1"], method="platt", parameters=[1.0, 0.0], state="OWN", outcomes=60,
    scored=[i / 60 for i in range(60)], right=[int(i > 20) for i in range(60)],
)  # fmt: skip
scores = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 40), min_size=1)


def gap(service, at_s, **more):
    until = T + at_s * NS
    series = f"{sum(map(ord, service)):016x}"
    return message(
        sc.Gap(series=series, entity_id=f"default/service/{service}", since_ns=until - 45 * NS, until_ns=until,
               expected_interval_ns=15 * NS, **more), until,
    )  # fmt: skip


def calls(caller, callee):
    ends = {"caller": f"default/service/{caller}", "callee": f"default/service/{callee}"}
    edge = sc.TopologyEdge(id=f"{caller}-{callee}", first_ns=T - 900 * NS, last_ns=T, **ends)
    return message(edge, T - 900 * NS, topic=sc.TOPOLOGY)


def diagnosed(*events):
    """The last diagnosis of an incident of cart."""
    stage = Diagnose(equal_weights(), calibration=CURVE)
    ordered = sorted([message(STRONG), *events], key=lambda m: m.event_ns)
    return records(run([*ordered, final(60)], stage)[1])[1][-1]


def sure(said):
    """said: a diagnosis or a ranking."""
    return said.hypotheses[0].confidence


def test_what_is_made_of_spans_falling_silent_says_nothing_of_metrics():
    whole, idle = (diagnosed(calls("web", "cart"), *more) for more in ((), (gap("web", -10, signal="traces"),)))
    assert sure(idle) == sure(whole) and idle.unknown == [] and idle.completeness == 1


def test_a_neighbour_that_fell_silent_makes_the_cause_less_certain_and_is_said():
    whole, deaf = diagnosed(calls("web", "cart")), diagnosed(calls("web", "cart"), gap("web", -10))
    assert sure(deaf) < sure(whole) and deaf.hypotheses[0].cause.entity == "cart" and whole.unknown == []
    assert deaf.completeness < whole.completeness == 1 and deaf.standing.unheard > 0 == whole.standing.unheard
    told = sc.Unknown(subsystem="metrics", query="series.gaps", service="web", reason="SERVICE_SILENT")
    assert deaf.unknown == [told]


def test_a_service_that_is_calm_or_speaks_again_or_by_other_instances_changes_nothing():
    whole = diagnosed(calls("web", "cart"))
    for more in ([gap("web", -300), gap("web", -200, is_over=True)], [gap("web", -10, heard=3)], []):
        assert diagnosed(calls("web", "cart"), *more) == whole


def test_who_has_nothing_to_do_with_it_may_be_silent():
    edges = [calls("web", "cart"), calls("mail", "queue")]
    assert sure(diagnosed(*edges, gap("queue", -10))) == sure(diagnosed(*edges))


def test_silence_that_comes_while_an_incident_is_open_lowers_the_next_revision():
    revised = diagnosed(calls("web", "cart"), gap("web", 30))
    assert revised.revision == 2 and sure(revised) < sure(diagnosed(calls("web", "cart")))


def test_what_is_said_of_one_instant_may_come_in_any_order():
    said = [gap("web", -10), gap("web", -10, is_over=True)]
    assert diagnosed(calls("web", "cart"), *said) == diagnosed(calls("web", "cart"), *reversed(said))


def test_a_service_that_has_been_silent_for_a_day_is_waited_for_no_more():
    gone = gap("web", -FORGOTTEN_NS // NS)
    assert sure(diagnosed(calls("web", "cart"), gone)) == sure(diagnosed(calls("web", "cart")))


def test_services_of_long_ago_make_room_for_those_that_fall_silent_now():
    one = sc.read(gap("web", 0))
    recent = {f"s{n}": Voice(silent_ns=T - NS) for n in range(MOST_SERVICES)}
    assert note(recent, one) is None and "web" not in recent
    old = {name: Voice(silent_ns=T - FORGOTTEN_NS) for name in recent}
    assert note(old, one) is True and list(old) == ["web"]


def test_the_named_service_itself_is_believed_less_when_it_cannot_be_heard():
    assert sure(diagnosed(calls("web", "cart"), gap("cart", -10))) < sure(diagnosed(calls("web", "cart")))


def test_who_is_silent_survives_a_restart():
    stage = Diagnose(equal_weights(), calibration=CURVE)
    state, _ = run([calls("web", "cart"), gap("web", -10)], stage)
    said = [run([message(STRONG), final(60)], stage, one)[1] for one in (stage.load(stage.dump(state)), state)]
    assert said[0] == said[1] and sure(records(said[0])[1][-1]) < sure(diagnosed(calls("web", "cart")))


@settings(deadline=None)
@given(scores, st.floats(0, 40), st.sets(st.sampled_from("abcdefgh")), st.floats(0, 20), st.data())
def test_whatever_the_silent_would_have_shown_up_to_what_causes_show_nobody_is_surer_without_it(
    rivals, first, silent, most, data
):
    bound, _ = as_if_heard(rivals, silent, most, services=9)
    heard = dict(rivals)
    for service in silent:
        heard[service] = heard.get(service, 0.0) + data.draw(st.floats(0, most))
    truth = [*heard.values()] + [0.0] * (9 - len(heard))
    assert log_odds(first, bound) <= log_odds(first, truth) + 1e-9


def test_what_a_silent_service_may_show_is_the_most_that_a_confirmed_cause_did():
    signs = [{"\x1f".join(["metric_cpu", "cpu_usage", "1", "", ""]): r} for r in (0.5, 1.0)]
    past = sc.EvidenceHistory(
        data="made", fitted_on=["1"], incidents=2, entities=2, signals={"metrics": 1.0, "traces": 0.2},
        patterns=[sc.Pattern(family="cpu", signs=one) for one in signs],
    )  # fmt: skip
    weights = sc.RankerWeights(data="made", fitted_on=[], weights={"metric_cpu": 6.0}, method="made")
    full = 6.0 * (0.6 + 0.4 / 3)  # one series of at most three
    found = may_show(past, weights, {"metrics"}, ["metrics"])
    assert abs(found.most[0] - full) < 1e-9 and abs(found.anywhere[0] - (full + full / 4) / 2) < 1e-9
    assert may_show(past, weights, (), ()).most == (0.0, 0.0)


def test_the_confidence_of_a_ranking_falls_with_every_service_that_is_not_heard():
    table = evidence_table([STRONG], [], [], history=History(sc.EvidenceHistory(data="none", fitted_on=[])))
    found = []
    for n in range(4):
        silent = frozenset(["web", "pay", "mail"][:n])
        allowed = may_show(sc.EvidenceHistory(data="none", fitted_on=[]), equal_weights(), {"metrics"} if n else (), ())
        around = Circumstances(services=9, calibration=CURVE, unheard=silent, may_show=allowed)
        found.append(sure(ranking(table, equal_weights(), (), around)))
    assert found == sorted(set(found), reverse=True) and [unheard_share(n, 9) for n in (0, 3)] == [0, 1 / 9]


def stopped(service, at_s, signal="traces", p=0.001):
    """What a detector says of a silence of all spans, or lines, of a service."""
    end, name = T + at_s * NS, {"traces": "span.total", "logs": "log.lines.total"}[signal]
    pointer = sc.EvidencePointer(signal=signal, subject=service, t_min_ns=end - 60 * NS, t_max_ns=end, sha256="s")
    return message(
        sc.Anomaly(
            id=sc.record_id("anomaly", service, name, end), entity_id=f"default/service/{service}", service=service,
            series=f"{sum(map(ord, service + name)):016x}", name=name, signal=signal, kind="gap",
            detector="signal_silent@1", start_ns=end - 60 * NS, end_ns=end, p_value=p, observed=0.0, expected=50.0,
            residual=-50.0, unit="{span}", direction=-1, pointer=pointer,
        ), end,
    )  # fmt: skip


def test_a_neighbour_whose_spans_stopped_makes_the_cause_less_certain_and_is_said():
    whole, deaf = diagnosed(calls("web", "cart")), diagnosed(calls("web", "cart"), stopped("web", -10))
    assert sure(deaf) < sure(whole) and deaf.completeness < 1 and deaf.standing.unheard > 0
    assert [(one.service, one.subsystem, one.reason) for one in deaf.unknown] == [("web", "traces", "SERVICE_SILENT")]
    assert [h.score for h in deaf.hypotheses] == [h.score for h in whole.hypotheses]


def test_a_silence_that_is_no_wonder_or_is_over_or_concerns_others_changes_nothing():
    edges = [calls("web", "cart"), calls("mail", "queue")]
    whole = diagnosed(*edges)
    for one in (stopped("web", -10, p=0.05), stopped("web", -300), stopped("queue", -10)):
        assert diagnosed(*edges, one) == whole


def test_stopped_lines_or_spans_alone_are_no_incident():
    _, out = run([*(stopped(f"s{i}", -i, signal) for i in range(9) for signal in ("logs", "traces")), final(60)])
    assert out == []


def test_a_service_of_which_two_signals_are_silent_counts_twice():
    one, two = (
        diagnosed(calls("web", "cart"), stopped("web", -10), *more) for more in ((), [stopped("web", -9, "logs")])
    )
    assert two.completeness < one.completeness and sure(two) <= sure(one)
    assert [(u.subsystem, u.query) for u in two.unknown] == [("logs", "log.lines.total"), ("traces", "span.total")]


def test_whose_spans_stopped_survives_a_restart():
    stage = Diagnose(equal_weights(), calibration=CURVE)
    state, _ = run([calls("web", "cart"), stopped("web", -10)], stage)
    said = [run([message(STRONG), final(60)], stage, one)[1] for one in (stage.load(stage.dump(state)), state)]
    assert said[0] == said[1] and sure(records(said[0])[1][-1]) < sure(diagnosed(calls("web", "cart")))


def test_a_metric_that_somebody_calls_like_our_totals_is_evidence_as_any_other():
    _, ours = run([message(STRONG), final(60)])
    _, named = run([message(STRONG.model_copy(update={"name": "span.total", "signal": "metrics"})), final(60)])
    assert len(records(named)[1]) == len(records(ours)[1]) > 0
