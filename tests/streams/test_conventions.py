"""Attributes that OpenTelemetry renamed: what a sender calls the old way is the same thing as before and after."""

import numpy as np
import pytest

from schemas.core import Message
from streams._conventions import NOW, names_of
from streams._otlp_encode import gauge, request
from streams._otlp_wire import wrap
from streams.sources.otlp_metrics import OtlpMetrics

T = 1_790_000_000_000_000_000


def sent(*labelled, schema_url=""):
    """A request with one point for each set of labels, said to be of this version of the conventions."""
    metrics = [gauge("took", "s", T + i, float(i), tuple(labels.items())) for i, labels in enumerate(labelled)]
    body = request([((("service.name", "cart"),), metrics)])
    if not schema_url:
        return body
    assert body[:1] == b"\x0a"
    inner = body[2:] if body[1] < 0x80 else body[3:]
    return wrap(1, inner + wrap(3, schema_url.encode()))


def read(body, fast):
    if fast:
        pytest.importorskip("numba")
    found = OtlpMetrics(fast=fast).decode(Message("otlp_metrics", 0, 0, b"", body, (), T, T))
    return found.points.series.tolist(), [found.definitions[i].labels for i in found.points.series.tolist()]


@pytest.mark.parametrize("fast", [False, True])
def test_a_series_stays_the_same_when_its_sender_takes_up_the_new_names(fast):
    old = {"http.method": "GET", "http.status_code": "500", "net.peer.name": "pay", "tier": "a"}
    new = {"http.request.method": "GET", "http.response.status_code": "500", "server.address": "pay", "tier": "a"}
    both = {**old, **new}
    ids, labels = read(sent(old, new, both), fast)
    assert len(set(ids)) == 1
    assert labels == [new] * 3


@pytest.mark.parametrize("fast", [False, True])
def test_where_both_names_say_something_else_both_are_kept(fast):
    labels = {"net.peer.name": "a", "server.address": "b"}
    assert read(sent(labels), fast)[1] == [labels]


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("url", ["https://opentelemetry.io/schemas/1.20.0", "https://example.org/ours/9", "no url"])
def test_no_schema_url_matters_known_or_not(url, fast):
    labels = {"http.status_code": "500"}
    assert read(sent(labels, schema_url=url), fast) == read(sent(labels), fast)


@pytest.mark.parametrize("old", NOW)
def test_both_decoders_rename_each_of_the_table(old):
    plain, quick = read(sent({old: "x", "a": "b"}), False), read(sent({old: "x", "a": "b"}), True)
    assert plain == quick
    assert plain[1] == [{NOW[old]: "x", "a": "b"}]


def test_an_old_name_inside_a_value_is_no_label():
    labels = {"note": 'say "http.method": x'}
    assert read(sent(labels), True) == read(sent(labels), False)
    assert read(sent(labels), True)[1] == [labels]


def test_no_name_of_today_is_one_that_was_given_up():
    assert not NOW.keys() & set(NOW.values())
    assert names_of("code.function.name") == ("code.function.name", "code.function")
    assert np.all([old != new for old, new in NOW.items()])
