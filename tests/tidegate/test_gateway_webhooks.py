"""Every golden body over real HTTP: it is taken at its path, and what it says stands on the topics."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from support.up import Clock, serving, settings

import schemas as sc
from streams import SOURCE, TRUST
from tidegate import _catalogue
from tidegate._live import Live

GOLDEN = sorted((Path(__file__).parents[1] / "golden/webhooks").glob("*.json"))
SOURCES = _catalogue.find("sources")
SECRET = "a-shared-secret-0123456789"
SIGNED = {
    "github": ("x-hub-signature-256", "sha256="), "flux": ("x-signature", "sha256="),
    "launchdarkly": ("x-ld-signature", ""), "flagsmith": ("x-flagsmith-signature", ""),
    "pagerduty": ("x-pagerduty-signature", "v1="), "jira": ("x-hub-signature", "sha256="),
}  # fmt: skip
TOPIC = {"change": sc.CHANGES, "alert": sc.ALERTS, "calendar": sc.CALENDAR, "edge": sc.TOPOLOGY}


def body_of(case):
    return (case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])).encode()


def written(live):
    found = [s.message for s in live.log.read(sorted(TOPIC.values()), 0, 10_000)]
    return [m for m in found if sc.record_type(m) in TOPIC]


def sending(case):
    intake = SOURCES[case["kind"]].intake
    headers = {"content_type": intake.media_types[0], **{n.replace("-", "_"): v for n, v in case["headers"].items()}}
    return intake.paths[0], headers


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("webhooks"), settings(), now_ns=Clock())
    with serving(live) as call:
        yield live, call
    live.close()


@pytest.mark.parametrize("file", GOLDEN, ids=lambda f: f.stem)
def test_a_golden_body_is_taken_and_its_records_stand_on_their_topics(served, file):
    live, call = served
    case = json.loads(file.read_text())
    before = len(written(live))
    path, headers = sending(case)
    answer = call("POST", path, body_of(case), **headers)
    assert answer.status in (200, 202, 204), answer.body
    live.pump()
    found = written(live)[before:]
    assert [sc.record_type(m) for m in found] == [e.get("type", case["expect"][0]["type"]) for e in case["expect"]]
    assert all(m.topic == TOPIC[sc.record_type(m)] and m.header(SOURCE) == f"local/{case['kind']}" for m in found)


@pytest.mark.parametrize("kind", sorted(SIGNED))
def test_a_signature_decides_who_it_is_and_a_wrong_or_repeated_one_is_refused(tmp_path, kind):
    tokens = [{"hmac": SECRET, "source": "ci", "tenant": "shop", "trust": 2}]
    live = Live(tmp_path, settings(tokens=tokens), now_ns=Clock())
    case = next(c for file in GOLDEN if (c := json.loads(file.read_text()))["kind"] == kind and c["expect"])
    name, prefix = SIGNED[kind]
    path, headers = sending(case)
    digest = hmac.new(SECRET.encode(), body_of(case), hashlib.sha256).hexdigest()
    good = {**headers, name.replace("-", "_"): f"{prefix}{digest}"}
    with serving(live) as call:
        wrong = call("POST", path, body_of(case) + b" ", **good).status
        statuses = [call("POST", path, body_of(case), **good).status for _ in range(2)]
    live.pump()
    found = written(live)
    live.close()
    assert (wrong, statuses[0] in (200, 204), statuses[1]) == (401, True, 409)
    assert {(m.header(SOURCE), m.header(TRUST), sc.read(m).tenant) for m in found} == {(f"ci/{kind}", "2", "shop")}


def test_a_bare_secret_of_gitlab_is_checked(tmp_path):
    live = Live(tmp_path, settings(tokens=[{"hmac": SECRET, "source": "ci", "tenant": "shop"}]), now_ns=Clock())
    case = json.loads((GOLDEN[0].parent / "gitlab.deployment.success.json").read_text())
    with serving(live) as call:
        path, headers = sending(case)
        refused = call("POST", path, body_of(case), **headers, x_gitlab_token="another-secret-0123456789").status
        taken = call("POST", path, body_of(case), **headers, x_gitlab_token=SECRET).status
    live.close()
    assert (refused, taken) == (401, 204)


def test_what_does_not_fit_is_a_400_that_names_the_field(served):
    answer = served[1]("POST", "/v1/argocd", b'{"app": "checkout"}', content_type="application/json")
    assert answer.status == 400 and b"revision" in answer.body


def test_a_cdevent_at_the_door_for_events_goes_to_its_source(served):
    live, call = served
    case = json.loads((GOLDEN[0].parent / "cdevents.service.rolledback.structured.json").read_text())
    before = len(written(live))
    case["body"]["id"] = case["body"]["data"]["context"]["id"] = "another"
    assert call("POST", "/v1/events", body_of(case), content_type="application/cloudevents+json").status == 204
    live.pump()
    assert [sc.record_type(m) for m in written(live)[before:]] == ["change"]
