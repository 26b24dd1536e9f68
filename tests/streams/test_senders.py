"""Who brought a series stands in its definition, whoever writes to it later, through snapshots and moving shards."""

import numpy as np
import pytest

import schemas as sc
from schemas.core import NS, Message, Tick
from streams import KIND, SOURCE, TRUST, DeriveLogs, DeriveSpans, Normalise
from streams._otlp_encode import gauge, log_record, request, span
from streams._senders import Senders
from streams._split import part_of_windows
from streams._window_state import WindowState
from streams.sources.otlp_logs import OtlpLogs
from streams.sources.otlp_metrics import OtlpMetrics
from streams.sources.otlp_spans import OtlpSpans

T = 1_790_000_000 * NS


def sent(sender, *metrics, trust=b"1", at_ns=T):
    body = request([((("service.name", "cart"),), [gauge(name, "1", at_ns, 5.0) for name in metrics])])
    said = ((KIND, b"otlp_metrics"), (SOURCE, f"{sender}/metrics".encode()), *(((TRUST, trust),) if trust else ()))
    return Message("otlp_metrics", 0, 0, b"", body, said, at_ns, at_ns)


def final():
    mark = sc.Watermark(stage="source:x", through_ns=T + 60 * NS, final=True)
    emit = sc.emit(sc.RAW, mark, id="m", key="x", source="t", event_ns=T)
    return Message("otlp_metrics", 0, 1, b"", emit.value, emit.headers, T, T)


def frames(*messages, is_crashing=False, fast=False):
    """The frames that normalise makes of the messages."""
    stage, out = Normalise([OtlpMetrics(fast=fast)], fast=fast), []
    state = stage.initial()
    for message in (*messages, final()):
        state, more = stage.step(state, message)
        out += more
        if is_crashing:
            state = stage.load(stage.dump(state))
    return [emit.value for emit in out if getattr(emit, "topic", "") == sc.FRAMES and not emit.headers]


def senders(found, is_crashing=False):
    """Name of each series that the windows know, and its senders."""
    state = WindowState()
    for data in found:
        frame = sc.decode_frame(data)
        state.define(frame.defs)
        if is_crashing:
            state = WindowState.load(state.dump())
        state.activate(frame.series)
    return {d.name: d.sender for d in map(state.registry.definition, range(len(state.registry)))}, state


@pytest.mark.parametrize("is_crashing", [False, True])
@pytest.mark.parametrize("fast", [False, True])
def test_a_series_names_all_who_write_to_it(is_crashing, fast):
    said = sent("prom", "queue", "load"), sent("edge", "queue", "lag"), sent("edge", "queue"), sent("prom", "lag")
    found, _ = senders(frames(*said, is_crashing=is_crashing, fast=fast), is_crashing)
    assert found == {"queue": "edge,prom", "load": "prom", "lag": "edge,prom"}


@pytest.mark.parametrize(("trust", "name"), [(b"1", "a"), (b"2", "a"), (b"0", ""), (b"", "")])
def test_only_who_proved_it_has_a_name(trust, name):
    assert senders(frames(sent("a", "queue", trust=trust)))[0] == {"queue": name}


def test_who_proves_no_name_makes_a_series_anybodys():
    assert senders(frames(sent("a", "queue"), sent("b", "queue", trust=b"0")))[0] == {"queue": "?,a"}


def test_two_tasks_that_each_met_one_sender_make_no_difference():
    one, other = frames(sent("a", "queue")), frames(sent("b", "queue"))
    assert senders([*one, *other, *one])[0] == senders([*other, *one])[0] == {"queue": "a,b"}


def test_shards_that_move_take_their_senders_along():
    _, state = senders(frames(sent("a", "queue"), sent("b", "queue"), sent("a", "load")))
    part = part_of_windows(state, lambda definition: definition.name == "queue", is_first=True)
    assert [part.registry.definition(row).sender for row in range(len(part.registry))] == ["a,b"]


def test_one_sender_costs_nothing_and_is_said_once():
    known, ids = Senders(), np.arange(1, 5, dtype=np.uint64)
    alone = known.who(sent("a", "queue"), "a/metrics")
    known.brings(ids, alone)
    assert len(known.owners) == 0 and known.strangers(ids, alone) == []
    other = known.who(sent("b", "queue"), "b/metrics")
    assert known.strangers(ids[:2], other) == [1, 2] and known.strangers(ids[:3], other) == [3]
    assert known.strangers(ids, alone) == []


def derived(kind, source, stage, said, is_crashing=False):
    """The frames that a deriving stage makes of what normalise makes of these (sender, body), as two panes."""
    normalise, out = Normalise([source], fast=False), []
    state = normalise.initial()
    for n, (sender, body) in enumerate(said):
        trust = b"1" if sender else b"0"
        headers = ((KIND, kind.encode()), (SOURCE, f"{sender or 'local'}/{kind}".encode()), (TRUST, trust))
        state, more = normalise.step(state, Message(kind, 0, n, b"", body, headers, T, T))
        out += more
    found, kept = [], stage.initial()
    for emit in (one for one in out if getattr(one, "topic", "") in (sc.LOGS, sc.SPANS) and one.value):
        message = Message(emit.topic, 0, 0, b"", emit.value, emit.headers, emit.event_ns, emit.event_ns)
        kept, more = stage.step(kept, message)
        kept = stage.load(stage.dump(kept)) if is_crashing else kept
        found += more
    found += stage.step(kept, Tick(T + 60 * NS, final=True))[1]
    return [one.value for one in found if one.topic == sc.FRAMES]


def line(service="cart", text=b"it failed"):
    return request([((("service.name", service),), [log_record(T, text, severity=17)])])


@pytest.mark.parametrize("is_crashing", [False, True])
def test_what_is_counted_in_logs_names_who_sent_the_lines(is_crashing):
    found = derived("otlp_logs", OtlpLogs(), DeriveLogs(), [("fluent", line()), ("edge", line())], is_crashing)
    assert senders(found)[0]["log.lines.total"] == "edge,fluent"
    assert senders(derived("otlp_logs", OtlpLogs(), DeriveLogs(), [("", line())]))[0]["log.lines.total"] == ""
    both = [("fluent", line()), ("", line())]
    assert senders(derived("otlp_logs", OtlpLogs(), DeriveLogs(), both))[0]["log.lines.total"] == "?,fluent"


def test_what_is_measured_between_two_services_could_have_been_said_by_the_senders_of_both():
    def one(service, id, parent):
        return request([((("service.name", service),), [span(b"t" * 16, id, parent, b"get", T, T + NS, kind=2)])])

    said = [("front", one("web", b"a" * 8, b"")), ("back", one("cart", b"b" * 8, b"a" * 8))]
    _, state = senders(derived("otlp_spans", OtlpSpans(), DeriveSpans(), said))
    found = [state.registry.definition(row) for row in range(len(state.registry))]
    names = {(d.service, d.name): d.sender for d in found}
    assert names["web", "span.requests"] == "front" and names["cart", "span.requests"] == "back"
    assert names["cart", "edge.gap"] == "back,front"
