"""A briefing says what the records say, in lines that no telemetry can break out of."""

import re
import unicodedata
from html.parser import HTMLParser
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas as sc
from diagnosis import Found, Known, as_html, as_markdown, bar, brief
from schemas.core import NS

T = 1_800_000_000 * NS
WHO = "default/service/checkout"


def evidence(text="errors 500 of checkout", weight=2.0, at_s=-30):
    t = T + at_s * NS
    pointer = sc.EvidencePointer(signal="traces", subject="s", t_min_ns=t - 60 * NS, t_max_ns=t, sha256="sha256:1")
    return sc.Evidence(kind="error_ratio", supports=weight > 0, weight=weight, text=text, pointer=pointer)


def hypothesis(entity="checkout", confidence=0.83, state="OWN", pieces=None, change=None, family="change"):
    interval = None if confidence is None else (max(confidence - 0.07, 0.0), min(confidence + 0.06, 1.0))
    return sc.Hypothesis(
        cause=sc.Cause(entity=entity, entity_id=f"default/service/{entity}", family=family, change=change), score=3.0,
        confidence=confidence, confidence_state=state, interval=interval, reason="r",
        evidence=[evidence()] if pieces is None else pieces,
    )  # fmt: skip


def diagnosis(*hypotheses, **more):
    told = {"entities": [WHO, "default/service/cart"], "severity": 9.0} | more
    return sc.Diagnosis(
        id="d", incident_id="0a1b2c3d-0000", as_of_ns=T + 60 * NS, opened_ns=T, hypotheses=list(hypotheses), **told
    )


def event(verb="gitops.revert", state="awaiting_approval", is_reversible=True, effect="require_approval"):
    change = sc.ProposedChange(
        verb=verb, target=WHO, parameters={"revision": "4520"}, undo_verb="gitops.revert" if is_reversible else None,
        is_reversible=is_reversible, runbook="r", digest="sha256:2",
    )  # fmt: skip
    decision = sc.Decision(
        effect=effect, reason="CRITICAL_SERVICE", policies=["critical"], obligations=["quorum:1"],
        policy_digest="sha256:3", snapshot_digest="sha256:4",
    )  # fmt: skip
    return sc.ActionEvent(
        id=f"e-{verb}-{state}", action_id=f"a-{verb}", incident_id="0a1b2c3d-0000", diagnosis_id="d", sequence=0,
        state=state, at_ns=T, change=change, hypothesis=hypothesis(), decision=decision,
    )  # fmt: skip


def lines(known, title):
    return [line.text for section in brief(known).sections if section.title == title for line in section.lines]


def test_the_first_line_says_what_since_when_why_how_sure_and_what_is_proposed():
    known = Known(diagnosis(hypothesis()), actions=(event("notify.owner", "advised"), event()))
    assert brief(known).headline == (
        "checkout and 1 more disturbed since 2027-01-15T07:59:30Z; cause checkout (change), confidence 0.83 "
        "[0.76, 0.89]; proposed: gitops.revert, reversible, awaiting approval"
    )


def test_what_is_only_foreseen_is_not_called_ill():
    ahead = hypothesis()
    ahead = ahead.model_copy(update={"cause": ahead.cause.model_copy(update={"family": "load_ahead"})})
    assert (
        "checkout and 1 more not ill yet, foreseen since 2027-01-15T07:59:30Z; "
        in brief(Known(diagnosis(ahead))).headline
    )


def test_an_abstention_says_unknown_and_why():
    known = Known(diagnosis(hypothesis(confidence=None, state="UNCALIBRATED"), abstained="CLOSE_CALL"))
    assert "cause unknown (CLOSE_CALL); no proposal" in brief(known).headline
    assert lines(known, "Probable causes")[0] == "no cause is named: CLOSE_CALL"


def standing(likeness):
    return sc.Standing(odds=1.0, likeness=likeness)


def test_what_is_without_precedent_is_said_in_the_first_line_and_why():
    told = diagnosis(hypothesis(confidence=None, state="UNCALIBRATED"), abstained="NOVEL", standing=standing(0.07))
    assert "cause unknown, without precedent" in brief(Known(told)).headline
    assert lines(Known(told), "Seen before")[0].startswith("WITHOUT PRECEDENT: it resembles no confirmed cause (likene")


@pytest.mark.parametrize(("likeness", "said"), [(0.1, "hardly resembles any"), (0.8, "resembles confirmed causes")])
def test_how_much_it_resembles_what_was_confirmed_is_said(likeness, said):
    assert said in lines(Known(diagnosis(hypothesis(), standing=standing(likeness))), "Seen before")[0]


def test_what_is_on_record_is_shown_where_it_belongs():
    found = (Found("postmortem", "Cards refused", "a deploy", T), Found("owner", "Team payments", "on call: p"),
             Found("runbook", "Checkout fails"))  # fmt: skip
    known = Known(diagnosis(hypothesis()), found=found)
    assert lines(known, "Seen before")[-2:] == ["2027-01-15 postmortem: Cards refused", "a deploy"]
    assert "owner: Team payments: on call: p" in lines(known, "Impact")
    assert lines(known, "Look further")[0] == "runbook: Checkout fails"
    assert "no past incident" in lines(Known(diagnosis(hypothesis()), found=()), "Seen before")[-1]


def test_a_score_without_calibration_is_never_drawn_or_called_a_confidence():
    known = Known(diagnosis(hypothesis(confidence=None, state="UNCALIBRATED")))
    assert all(line.bar is None for section in brief(known).sections for line in section.lines)
    assert "confidence" not in brief(known).headline and "not calibrated" in brief(known).headline


def test_a_calibration_on_public_data_is_marked_as_such_in_the_first_line():
    assert "public data" in brief(Known(diagnosis(hypothesis(state="TRANSFERRED")))).headline


def test_evidence_against_and_questions_without_an_answer_are_told():
    asked = sc.Unknown(subsystem="prometheus", query="rate", service="cart", reason="QUERY_TIMEOUT")
    found = hypothesis("cart", pieces=[evidence("its callers are as ill", -1.5)])
    known = Known(diagnosis(hypothesis(), found, unknown=[asked], completeness=0.75))
    assert lines(known, "Ruled out, or spoken against")[1] == "-1.50 its callers are as ill"
    assert lines(known, "Not known")[:2] == [
        "25% of the expected telemetry is missing or was asked for and not answered",
        "rate of cart (prometheus): QUERY_TIMEOUT",
    ]  # fmt: skip


def test_what_the_cause_was_is_one_line_to_copy():
    said = lines(Known(diagnosis(hypothesis("checkout"), hypothesis("cart"))), "Look further")
    name = Known(diagnosis()).diagnosis.incident_id[:8]
    told = [line.partition(": ")[2] for line in said if "tidegate label" in line]
    assert [line.split(" --family")[0] for line in told] == [
        f"tidegate label {name} --cause checkout", f"tidegate label {name} --cause cart",
        f"tidegate label {name} --no-fault, or --unknown",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a; rm -rf ~", "$(id)", "--all", "a b", "`id`", ""])
def test_a_name_that_a_shell_would_run_is_not_offered_to_copy(name):
    said = lines(Known(diagnosis(hypothesis(name))), "Look further")
    assert not [line for line in said if "--cause" in line]


def test_the_change_the_callers_and_the_exact_proposal_are_named():
    change = sc.Change(
        id="c", entity_id=WHO, service="checkout", kind="deploy", title="deploy #4521", at_ns=T - 60 * NS
    )
    edge = sc.TopologyEdge(id="e", caller="default/service/gateway", callee=WHO, first_ns=T, last_ns=T)
    known = Known(diagnosis(hypothesis(change="c")), None, (event(is_reversible=False),), {"c": change}, (edge,))
    assert "deploy #4521 at 2027-01-15T07:59:00Z" in lines(known, "Probable causes")[0]
    assert "they are called by gateway" in lines(known, "Impact")
    assert lines(known, "Proposed")[0].endswith("awaiting approval; cannot be undone")
    assert "revision = 4520" in lines(known, "Proposed")[1]


@pytest.mark.parametrize(("confidence", "drawn"), [(0.0, "[]...................."), (1.0, "###################[#]")])
def test_a_bar_has_its_interval_in_brackets(confidence, drawn):
    found = hypothesis(confidence=confidence).model_copy(update={"interval": (max(confidence - 0.05, 0), confidence)})
    line = next(
        line for section in brief(Known(diagnosis(found))).sections for line in section.lines if line.bar is not None
    )
    assert bar(line) == drawn


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


HOSTILE = st.text(max_size=400) | st.sampled_from([
    "<script>alert(1)</script>", "\x1b]0;owned\x07\x1b[2J", "`x` ![a](http://e/) [link](javascript:1)", "\u202egnp.exe",
    "'><img src=x onerror=alert(1)>", "a\nb\r\n# heading", "</title></style><iframe>",
])  # fmt: skip


@given(HOSTILE, HOSTILE)
def test_no_telemetry_breaks_out_of_its_line(entity, text):
    cause = hypothesis(entity, pieces=[evidence(text)])
    found = tuple(Found(kind, entity, text) for kind in ("postmortem", "owner", "runbook", text))
    told = brief(Known(diagnosis(cause, entities=[f"default/service/{entity}"]), actions=(event(),), found=found))
    every = [told.headline, *(line.text for section in told.sections for line in section.lines)]
    assert len(told.headline) <= 200
    assert not any(unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" for one in every for c in one)
    page = Page()
    page.feed(as_html(told))
    assert page.tags <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "ul", "li", "div", "i", "b"}
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "style"}
    marked = as_markdown(told).splitlines()
    assert len(marked) == 2 + sum(3 + len(section.lines) for section in told.sections) - 1


def sold(service="checkout", p=1e-9, at_s=0, **more):
    end = T + at_s * NS
    pointer = sc.EvidencePointer(signal="business", subject="s", t_min_ns=end - NS, t_max_ns=end, sha256="sha256:1")
    fields = {"name": "orders", "series": service, "labels": {"country": "DE"}, "unit": "1"} | more
    return sc.Anomaly(
        id=f"{service}{at_s}", entity_id=f"default/service/{service}", service=service, signal="business",
        kind="metric", detector="t@1", start_ns=end - 10 * NS, end_ns=end, observed=3.0, expected=17.0, residual=-14.0,
        p_value=p, direction=-1, pointer=pointer, **fields,
    )  # fmt: skip


def test_what_the_business_lost_is_told_of_the_disturbed_services_first_and_each_metric_once():
    told = (sold("mail", 1e-15), sold(p=1e-4, at_s=-60), sold())
    said = [line for line in lines(Known(diagnosis(hypothesis()), business=told), "Impact") if "business" in line]
    assert said[0] == "business: orders of checkout, country DE: 3 instead of 17 at 2027-01-15T08:00:00Z"
    assert len(said) == 2 and said[1].endswith("not of these services, but at the same time")


@pytest.mark.parametrize(("business", "said"), [(None, "no record says"), ((), "no business metric was out of the or")])
def test_what_customers_notice_is_not_made_up(business, said):
    assert any(said in line for line in lines(Known(diagnosis(hypothesis()), business=business), "Not known"))
    assert not any(
        "customers" in line for line in lines(Known(diagnosis(hypothesis()), business=(sold(),)), "Not known")
    )


def incident(**more):
    told = {"id": "0a1b2c3d-0000", "opened_ns": T, "updated_ns": T, "entities": [WHO], "severity": 9.0, "title": "x"}
    return sc.Incident(**told | more)


def test_the_owner_and_what_customers_lose_are_told_and_else_that_nobody_said():
    missed = sc.ObjectiveMissed(service="checkout", of="error_ratio", most=0.001, observed=0.12, requests=400, end_ns=T)
    known = incident(owner="Team payments", escalation=["ada", "head of trade"], customer_impact=[missed])
    told = lines(Known(diagnosis(hypothesis()), known), "Impact")
    assert "owner: Team payments; escalation: ada, then head of trade" in told
    assert any("customers: checkout: 12.00% of 400 requests failed" in line and "120 times" in line for line in told)
    told = lines(Known(diagnosis(hypothesis()), incident()), "Not known")
    assert "owner: nobody has said whose these services are" in told
    assert "objectives: none of these services is on record" in told
    told = lines(Known(diagnosis(hypothesis()), incident(customer_impact=[])), "Not known")
    assert "objectives: no window was seen to miss one" in told


STATES = get_args(sc.ActionEvent.model_fields["state"].annotation)
SURE = st.none() | st.floats(0, 1)


@given(
    st.lists(st.text("a-\u00e9\u4e2d/0", min_size=1, max_size=300), min_size=1, max_size=1200),
    st.text("xyz", min_size=1, max_size=80) | st.sampled_from(["no_fault", "unknown"]), SURE,
    st.sampled_from(["OWN", "TRANSFERRED"]), st.none() | st.sampled_from(["NOVEL", "CLOSE_CALL", "X" * 80]),
    st.none() | st.tuples(st.text("abc._", min_size=1, max_size=120), st.sampled_from(STATES), st.booleans()),
)  # fmt: skip
def test_the_first_line_is_whole_in_two_hundred_characters_whatever_the_names_are(
    names, family, sure, state, abstained, proposal
):
    cause = hypothesis(names[0].replace("/", "") or "x", sure, state if sure is not None else "UNCALIBRATED",
                       family=family)  # fmt: skip
    told = diagnosis(cause, abstained=abstained, entities=[f"default/service/{name}" for name in names])
    line = brief(Known(told, actions=(event(*proposal),) if proposal else ())).headline
    assert len(line) <= 200 and line.count("; ") >= 2
    what, since, why, todo = re.fullmatch(r"(.+) disturbed since (\S+Z); (.+); (.+)", line).groups()
    assert what and since == "2027-01-15T07:59:30Z"
    if abstained or family == "unknown":
        assert why.startswith("cause unknown")
    else:
        assert why.startswith(("cause ", "probably no fault"))
        assert ("not calibrated" in why) == (sure is None) and (sure is None or f"confidence {sure:.2f} [" in why)
    expected = "no proposal" if not proposal else ", reversible" if proposal[2] else ", not reversible"
    assert expected in todo
