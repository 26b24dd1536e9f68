"""What a source may say about its senders, and what normalise writes down about them."""

import json

import pytest

import schemas as sc
from schemas.core import NS, Message
from streams import KIND, SOURCE, TRUST, Decoded, Normalise, Rejected, SourceError, json_of
from streams._otlp_encode import gauge, request
from streams.sources.otlp_metrics import OtlpMetrics
from streams.sources.records import Records

T = 1_790_000_000 * NS
QUEUE = request([((("service.name", "cart"),), [gauge("queue", "1", T, 5.0)])])


class Half:
    """A source of which one sample in three is of use to nobody."""

    kind, topics = "half", ("half",)

    def decode(self, message):
        return Decoded(rejected=(Rejected("NO_NAME", 2, "2 samples have no name", message.value),))


def ran(source, topic, value, *headers):
    stage = Normalise([source])
    state, out = stage.step(stage.initial(), Message(topic, 0, 0, b"", value, headers, T, T))
    state, more = stage.step(state, _final())
    return state, [*out, *more]


def _final():
    mark = sc.Watermark(stage="source:x", through_ns=T + 60 * NS, final=True)
    emit = sc.emit(sc.RAW, mark, id="m", key="x", source="t", event_ns=T)
    return Message("otlp_metrics", 0, 1, b"", emit.value, emit.headers, T, T)


@pytest.mark.parametrize(
    ("said", "trust"), [((), 1), (((TRUST, b"0"),), 0), (((TRUST, b"2"),), 2), (((TRUST, b"9"),), 1)]
)
def test_a_series_bears_the_trust_of_who_brought_it_first(said, trust):
    _, out = ran(OtlpMetrics(fast=False), "otlp_metrics", QUEUE, *said)
    (announced,) = [sc.SeriesDef.from_bytes(emit.value) for emit in out if getattr(emit, "topic", "") == sc.SERIES]
    assert announced.trust == trust


def test_a_record_bears_who_brought_it_and_how_far_that_one_is_trusted():
    change = sc.Change(id="c", entity_id="default/service/cart", service="cart", kind="deploy", at_ns=T, title="v2")
    sent = sc.headers_of(change, id="c", source="ci", event_ns=T)
    _, out = ran(
        Records(), sc.RAW, change.to_bytes(), *sent, (KIND, b"records"), (SOURCE, b"ci/records"), (TRUST, b"2")
    )
    (kept,) = [emit for emit in out if getattr(emit, "topic", "") == sc.CHANGES]
    assert {SOURCE: b"ci/records", TRUST: b"2"}.items() <= dict(kept.headers).items()


def test_samples_that_a_source_finds_useless_are_in_the_ledger_and_among_the_dead_letters():
    state, out = ran(Half(), "half", b"body", (SOURCE, b"x"))
    counts = state.ledger.counts
    assert (counts["samples.decoded"], counts["samples.rejected"]) == (2, 2)
    (letter,) = [emit for emit in out if getattr(emit, "topic", "") == sc.DEAD_LETTERS]
    assert letter.value == b"body"


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b"\xff", b'"\\ud800' + b"x" * 9])
def test_json_that_cannot_be_read_is_an_error_with_a_code_however_it_is_broken(body):
    with pytest.raises(SourceError) as found:
        json_of(body, "SHOP_INVALID")
    assert found.value.code == "SHOP_INVALID"


def test_json_that_can_be_read_is_read():
    assert json_of(json.dumps({"a": [1]}).encode()) == {"a": [1]}
