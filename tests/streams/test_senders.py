"""Who brought a series stands in its definition, whoever writes to it later, through snapshots and moving shards."""

import numpy as np
import pytest

import schemas as sc
from schemas.core import NS, Message
from streams import KIND, SOURCE, TRUST, Normalise
from streams._otlp_encode import gauge, request
from streams._senders import Senders
from streams._split import part_of_windows
from streams._window_state import WindowState
from streams.sources.otlp_metrics import OtlpMetrics

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
