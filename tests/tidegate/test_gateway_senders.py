"""Who may send, how that is proved, and that one who floods is the only one to be told to come again."""

import base64
import hashlib
import hmac
import http.client
import json
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import trustme
from support.up import START_NS, Caller, Clock, serving, settings

import schemas as sc
from schemas.core import NS
from streams import SOURCE, TRUST, Signature
from streams._otlp_encode import gauge, request
from tidegate._errors import SettingsError
from tidegate._gateway import Gateway
from tidegate._http import Refused
from tidegate._live import Live
from tidegate._new_series import NewSeries
from tidegate._principals import Principal, Principals
from tidegate._proofs import OURS, Proofs
from tidegate._tls import server_options
from tidegate._up import _address, _listen, _served

SECRET, TOKEN = b"a-shared-secret-0123456789", "shop-token-0123456789"
METRICS = request([((("service.name", "cart"),), [gauge("queue", "1", START_NS, 5.0)])])
PROTO = {"content_type": "application/x-protobuf"}
NOW_S = START_NS // NS


def raw(live):
    return [stored.message for stored in live.log.read([sc.RAW], 0, 1000)]


def signed(body, at_s=NOW_S, secret=SECRET):
    digest = hmac.new(secret, b"%d.%b" % (at_s, body), "sha256").hexdigest()
    return {"x_tidegate_timestamp": str(at_s), "x_tidegate_signature": f"v1={digest}"}


@pytest.fixture
def place(tmp_path):
    """Makes live runs and closes them."""
    made = []

    def make(**gateway):
        made.append(Live(tmp_path / str(len(made)), settings(**gateway), now_ns=Clock()))
        return made[-1]

    yield make
    for live in made:
        live.close()


SIGNER = {"hmac": SECRET.decode(), "source": "ci", "tenant": "shop", "trust": 2}


def test_a_signed_body_is_taken_under_the_name_and_trust_of_whose_secret_it_is(place):
    live = place(tokens=[SIGNER])
    with serving(live) as call:
        assert call("POST", "/v1/metrics", METRICS, **PROTO, **signed(METRICS)).status == 200
    (message,) = raw(live)
    assert (message.header(SOURCE), message.header(TRUST)) == ("ci/metrics", "2")


WRONG = {
    "another secret": (signed(METRICS, secret=b"x" * 20), 401),
    "another body": (signed(METRICS + b"x"), 401),
    "too old": (signed(METRICS, NOW_S - 301), 401),
    "of the future": (signed(METRICS, NOW_S + 301), 401),
    "no timestamp": ({"x_tidegate_signature": "v1=0"}, 401),
    "nothing": ({}, 401),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_signature_that_is_wrong_or_not_fresh_is_a_401_and_nothing_is_kept(place, case):
    headers, status = WRONG[case]
    live = place(tokens=[SIGNER])
    with serving(live) as call:
        assert call("POST", "/v1/metrics", METRICS, **PROTO, **headers).status == status
    assert raw(live) == []


def test_a_delivery_that_is_played_again_is_a_409_and_kept_once(place):
    live = place(tokens=[SIGNER])
    with serving(live) as call:
        statuses = [call("POST", "/v1/metrics", METRICS, **PROTO, **signed(METRICS)).status for _ in range(3)]
    assert (statuses, len(raw(live))) == ([200, 409, 409], 1)


def test_a_delivery_that_could_not_be_kept_may_come_again(place):
    live = place(tokens=[SIGNER])
    with serving(live) as call:
        live.log._db.execute("PRAGMA query_only=1")
        first = call("POST", "/v1/metrics", METRICS, **PROTO, **signed(METRICS)).status
        live.log._db.execute("PRAGMA query_only=0")
        assert (first, call("POST", "/v1/metrics", METRICS, **PROTO, **signed(METRICS)).status) == (503, 200)


CI = Principal("ci", "shop")
GITHUB = Signature("x-hub-signature-256", "sha256=")
GITLAB = Signature("x-gitlab-token", algorithm="secret")
PAGERDUTY = Signature("x-pagerduty-signature", "v1=")
SLACK = Signature(
    "x-slack-signature", "v0=", timestamp="x-slack-request-timestamp", signed=b"v0:{timestamp}:{body}"
)  # fmt: skip
# The first is GitHub's own example (docs.github.com, "Validating webhook deliveries"), the last Slack's own.
DECLARED = [
    (GITHUB, b"It's a Secret to Everybody", b"Hello, World!", {
        "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, 0),
    (GITLAB, b"gitlab-secret-123", b"{}", {"x-gitlab-token": "gitlab-secret-123"}, 0),
    (PAGERDUTY, b"k", b"{}", {
        "x-pagerduty-signature": "v1=00,v1=" + hmac.new(b"k", b"{}", hashlib.sha256).hexdigest()}, 0),
    (SLACK, b"8f742231b10e8888abcd99yyyzzz85a5",
     b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
     b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
     b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
     b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
     {"x-slack-request-timestamp": "1531420618",
      "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"}, 1531420618),
]  # fmt: skip


@pytest.mark.parametrize(("signature", "secret", "body", "headers", "at_s"), DECLARED)
def test_systems_that_sign_in_their_own_way_are_known_by_it(signature, secret, body, headers, at_s):
    proofs = Proofs([(b"another", Principal("x", "x")), (secret, CI)], window_s=300, now_ns=lambda: at_s * NS)
    assert proofs.signed_by(headers, [signature]) == signature
    assert proofs.check(headers, body, signature).who == CI
    if signature.algorithm != "secret":
        with pytest.raises(Refused, match="no known secret"):
            proofs.check(headers, body + b" ", signature)


def test_the_id_of_a_delivery_is_what_counts_where_a_system_has_one():
    proofs = Proofs([(SECRET, CI)], window_s=300, now_ns=lambda: 0)
    headers = {"x-gitlab-token": SECRET.decode(), "x-gitlab-event-uuid": "1"}
    proofs.use(proofs.check(headers, b"a", GITLAB, "x-gitlab-event-uuid"))
    proofs.use(proofs.check(headers | {"x-gitlab-event-uuid": "2"}, b"a", GITLAB, "x-gitlab-event-uuid"))
    with pytest.raises(Refused) as again:
        proofs.use(proofs.check(headers, b"a", GITLAB, "x-gitlab-event-uuid"))
    assert again.value.status == 409


def test_without_secrets_nobody_has_signed():
    assert Proofs([], window_s=300, now_ns=lambda: 0).signed_by({OURS.header: "v1=0"}, ()) is None


def test_basic_authentication_carries_the_token_as_its_password(place):
    live = place(tokens=[{"token": TOKEN, "source": "prom"}])
    said = {"authorization": "Basic " + base64.b64encode(f"anybody:{TOKEN}".encode()).decode()}
    with serving(live) as call:
        assert call("POST", "/v1/metrics", METRICS, **PROTO, **said).status == 200


def test_a_sender_that_may_send_one_kind_sends_no_other(place):
    live = place(tokens=[{"token": TOKEN, "source": "prom", "kinds": ["otlp_logs"]}])
    with serving(live) as call:
        said = {**PROTO, "authorization": f"Bearer {TOKEN}"}
        statuses = [call("POST", f"/v1/{signal}", METRICS, **said).status for signal in ("logs", "metrics")]
    assert statuses == [200, 403]


@pytest.mark.parametrize("wrong", [
    {"token": TOKEN, "hmac": SECRET.decode(), "source": "x"}, {"source": "x"},
])  # fmt: skip
def test_a_source_has_exactly_one_proof(wrong):
    with pytest.raises(ValueError, match="give one of"):
        settings(tokens=[wrong])


def test_a_certificate_that_nobody_asks_for_is_refused_at_start():
    with pytest.raises(SettingsError, match="certificate"):
        Principals(settings(tokens=[{"certificate": "x", "source": "x"}]).gateway)


# --- client certificates ---


@pytest.fixture
def certified(place, tmp_path):
    """A gateway with TLS, and a client's context by the name in its certificate ("" for none)."""
    ca, other = trustme.CA(), trustme.CA()
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    ca.cert_pem.write_to_path(files["ca"])
    own = ca.issue_cert("127.0.0.1")
    own.private_key_pem.write_to_path(files["key"])
    own.cert_chain_pems[0].write_to_path(files["cert"])
    tls = {"cert_file": files["cert"], "key_file": files["key"], "ca_file": files["ca"]}
    live = place(tls=tls, tokens=[{"certificate": "prom.shop.test", "source": "prom"}])

    def context(name, of=ca):
        found = ssl.create_default_context(cafile=str(files["ca"]))
        if name:
            of.issue_cert(name).configure_cert(found)
        return found

    listener, options = _listen("127.0.0.1", 0), server_options(live.settings.gateway.tls)
    gateway = Gateway(live, Principals(live.settings.gateway))
    with _served(gateway.app, listener, threading.Event(), options):
        yield live, _address(listener, options), context, other
    listener.close()


def posted(url, context):
    connection = http.client.HTTPSConnection(urlsplit(url).netloc, context=context, timeout=60)
    try:
        connection.request("POST", "/v1/metrics", METRICS, {"content-type": PROTO["content_type"]})
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_client_certificate_names_its_source_and_another_one_names_nobody(certified):
    live, url, context, other = certified
    assert url.startswith("https://")
    assert [posted(url, context(name)) for name in ("prom.shop.test", "someone.test", "")] == [200, 401, 401]
    with pytest.raises((ssl.SSLError, OSError)):
        posted(url, context("prom.shop.test", of=other))
    assert [m.header(SOURCE) for m in raw(live)] == ["prom/metrics"]


# --- who floods ---


TOKENS = [{"token": TOKEN, "source": "loud"}, {"token": TOKEN + "x", "source": "quiet"}]
LOUD, QUIET = ({"authorization": f"Bearer {one['token']}"} for one in TOKENS)


def test_one_who_fills_the_backlog_leaves_room_for_the_others(place):
    live = place(tokens=TOKENS, max_body_bytes=10_000, max_backlog_bytes=100_000)
    body = METRICS * (5_000 // len(METRICS))
    with serving(live) as call:
        statuses = [call("POST", "/v1/metrics", body, **PROTO, **LOUD).status for _ in range(20)]
        assert 200 in statuses and statuses[-1] == 429
        assert call("POST", "/v1/metrics", body, **PROTO, **QUIET).status == 200


def crowd(n, first):
    points = [gauge(f"m{first + i}", "1", START_NS, 5.0) for i in range(n)]
    return request([((("service.name", "cart"),), points)])


def test_one_who_brings_too_many_new_series_in_a_minute_waits_until_it_is_over_and_nobody_else_does(place):
    live = place(tokens=TOKENS, max_new_series_per_minute=100)
    clock = live.now_ns
    with serving(live) as call:

        def send(who, n, first):
            answer = call("POST", "/v1/metrics", crowd(n, first), **PROTO, **who)
            clock.ns += 2 * NS
            live.pump()
            return answer

        assert [send(LOUD, 90, first).status for first in (0, 100)] == [200, 200]
        refused = send(LOUD, 1, 0)
        assert (refused.status, int(refused.headers["retry-after"])) == (429, 56)
        assert send(QUIET, 90, 5000).status == 200
        clock.ns += 56 * NS
        assert send(LOUD, 1, 0).status == 200


def test_new_series_are_counted_when_they_come_in_so_a_burst_passes_the_limit_by_one_request_at_most(place):
    live = place(tokens=TOKENS, max_new_series_per_minute=100)
    with serving(live) as call:  # nothing is worked off in between
        said = [call("POST", "/v1/metrics", crowd(40, 40 * k), **PROTO, **LOUD).status for k in range(6)]
        assert said == [200, 200, 200, 429, 429, 429]
        assert call("POST", "/v1/metrics", crowd(40, 0), **PROTO, **QUIET).status == 200
    assert len(raw(live)) == 4


def test_series_that_came_before_are_not_new(place):
    live = place(tokens=TOKENS, max_new_series_per_minute=50)
    with serving(live) as call:
        assert {call("POST", "/v1/metrics", crowd(40, 0), **PROTO, **LOUD).status for _ in range(5)} == {200}


def test_what_cannot_be_decoded_is_kept_for_the_dead_letters_and_counts_nothing(place):
    live = place(tokens=TOKENS, max_new_series_per_minute=1)
    with serving(live) as call:
        assert [call("POST", "/v1/metrics", b"\xff" * 9, **PROTO, **LOUD).status for _ in range(3)] == [200] * 3


def test_a_sender_is_known_by_so_many_series_only_and_what_comes_beyond_is_always_new():
    new = NewSeries(limit=10, most=4)
    for _ in range(3):
        new.count("loud", np.arange(8, dtype=np.uint64), START_NS)
    assert new.over("loud", START_NS) == (8 + 4 + 4, 60)
    assert new.over("loud", START_NS + 60 * NS) == (0, 0)


def test_whoever_is_at_the_limit_of_series_and_goes_on_is_told_so_as_well(place):
    live = place(tokens=TOKENS, max_new_series_per_minute=50)
    limited = live.settings.model_copy(
        update={"streams": live.settings.streams.model_copy(update={"max_series_per_source": 10})}
    )
    clock, other = live.now_ns, Live(live.directory.with_name("limited"), limited, now_ns=live.now_ns)
    with serving(other) as call:
        statuses = []
        for first in range(0, 120, 30):
            statuses.append(call("POST", "/v1/metrics", crowd(30, first), **PROTO, **LOUD).status)
            clock.ns += 2 * NS
            other.pump()
        assert statuses == [200, 200, 429, 429]
        assert other.health.sources["loud/metrics"].series == 10
    other.close()


def test_a_caller_without_tokens_is_trusted_with_nothing(place):
    live = place()
    with serving(live, is_local_only=True) as call:
        assert isinstance(call, Caller) and call("POST", "/v1/metrics", METRICS, **PROTO).status == 200
    assert raw(live)[0].header(TRUST) == "0"


# --- remote write, as a Prometheus meets it ---

GOLDEN = Path(__file__).resolve().parents[1] / "golden/remote_write"
SNAPPY = {"content_encoding": "snappy"}
WRITTEN = [f"x-prometheus-remote-write-{what}-written" for what in ("samples", "histograms", "exemplars")]


def golden(name):
    told = json.loads((GOLDEN / f"{name}.json").read_text())
    return (GOLDEN / f"{name}.snappy").read_bytes(), {k.replace("-", "_"): v for k, v in told.items()}


@pytest.mark.parametrize(("name", "written"), [
    ("prometheus-2.42.v1.1", ["452", "0", "0"]), ("prometheus-3.15.v2.1", ["570", "16", "0"]),
])  # fmt: skip
def test_what_a_real_prometheus_sends_is_kept_as_it_came_and_answered_as_it_expects(place, name, written):
    live = place()
    body, headers = golden(name)
    with serving(live, is_local_only=True) as call:
        answer = call("POST", "/api/v1/write", body, **headers)
    assert (answer.status, answer.body, [answer.headers[one] for one in WRITTEN]) == (204, b"", written)
    (message,) = raw(live)
    assert (message.value, message.header("http-content-type")) == (body, headers["content_type"])
    assert message.header(SOURCE) == "local/prometheus"
    live.pump()
    samples = live.health.ledger["samples"]
    assert samples["decoded"] >= int(written[0])


NOT_TAKEN = {
    "a bomb": (b"\xff\xff\xff\xff\x07" + b"\x00", {}, 413),
    "no snappy": (b"\x0a\x00", {}, 400),
    "another message": (b"\x00", {"content_type": "application/x-protobuf;proto=x.Y"}, 415),
    "another type": (b"\x00", {"content_type": "text/plain"}, 415),
    "larger than a body may be": (b"\x00" * 200_001, {}, 413),
}


@pytest.mark.parametrize("case", NOT_TAKEN)
def test_what_is_no_remote_write_is_refused_with_one_line_and_not_kept(place, case):
    body, headers, status = NOT_TAKEN[case]
    live = place(max_body_bytes=200_000)
    with serving(live, is_local_only=True) as call:
        answer = call("POST", "/api/v1/write", body, **{**PROTO, **SNAPPY, **headers})
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (status, "text/plain")
    assert len(answer.body.splitlines()) == 1 and raw(live) == []
