"""What an action of our own does to its target opens no incident; what comes after it does."""

from dataclasses import replace

import pytest
from support.act import NS, plan_of, stand

from diagnosis import Diagnose, equal_weights
from schemas import ANOMALIES, CHANGES, RAW, Anomaly, Change, EvidencePointer, Incident, read, record_id
from schemas.core import Message, Tick
from streams.sources.records import Records
from tidegate._act import _Bus

SERVICE = "checkout"


def acted(verdict="recovered"):
    """The records of changes that a worker has sent over the bus, as they arrive on the raw topic."""

    async def scene(world):
        world.telemetry.cures = verdict
        await world.ask(f"default/service/{SERVICE}")
        await world.wait(700)
        return world

    world = stand(scene)
    return [sent for sent in world.bus.sent if sent.topic == CHANGES], world


def as_read(sent):
    """Over the worker's way in, read by the source of records."""
    taken = []

    class Feed:
        async def send(self, record):
            taken.append(record)
            return True

    _run(_Bus(Feed()).send(sent))
    (raw,) = taken
    assert raw.topic == RAW
    message = Message(RAW, 0, 0, raw.key, raw.value, raw.headers, raw.event_ns, raw.event_ns)
    (record,) = Records().decode(message).records
    return record


def _run(work):
    with pytest.raises(StopIteration):
        work.send(None)


def anomaly(end_ns):
    pointer = EvidencePointer(signal="traces", subject=SERVICE, t_min_ns=end_ns - 10 * NS, t_max_ns=end_ns, sha256="s")
    return Anomaly(
        id=record_id("anomaly", end_ns), entity_id=f"default/service/{SERVICE}", service=SERVICE, signal="traces",
        detector="test@1", start_ns=end_ns - 10 * NS, end_ns=end_ns, unit="1", p_value=1e-9, pointer=pointer,
        direction=1, observed=9.0, expected=1.0, residual=8.0, kind="error_ratio", name="span.errors",
        series="0" * 16,
    )  # fmt: skip


def opened(change, at_ns):
    """How many incidents an anomaly at that time opens beside the change."""
    stage = Diagnose(equal_weights())
    told = [(CHANGES, change, change.at_ns), (ANOMALIES, anomaly(at_ns), at_ns)]
    state, out = stage.initial(), []
    for topic, record, ns in sorted(told, key=lambda one: one[2]):
        header = (("ce_type", f"io.tidegate.{record.TYPE}".encode()),)
        state, more = stage.step(state, Message(topic, 0, 0, b"", record.to_bytes(), header, ns, ns))
        out += more
    state, more = stage.step(state, Tick(at_ns + 60 * NS, final=True))
    said = [read(Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, 0)) for e in [*out, *more]]
    return len({one.id for one in said if isinstance(one, Incident)})


def test_an_own_effect_opens_no_incident_while_it_settles_and_a_regress_after_it_does():
    (sent,), world = acted()
    change = as_read(sent)
    done_ns = world.gateway.effects[0][0]
    assert change.at_ns <= done_ns and change.settles_ns >= done_ns + plan_of().times.settle_ns
    assert opened(change, done_ns + 10 * NS) == 0
    assert opened(change, change.settles_ns + 30 * NS) == 1
    assert opened(change.model_copy(update={"settles_ns": None}), done_ns + 10 * NS) == 1


def test_an_undo_is_a_change_of_its_own():
    sent, _ = acted("regressed")
    do, undo = map(as_read, sent)
    assert isinstance(do, Change) and do.id != undo.id and do.at_ns < undo.at_ns and do.reference == undo.reference


def test_what_needs_no_time_to_settle_disturbs_nothing():
    async def scene(world):
        plan = plan_of()
        await world.ask(plan=replace(plan, times=replace(plan.times, settle_ns=0)))
        await world.wait(700)
        return world

    assert not [sent for sent in stand(scene).bus.sent if sent.topic == CHANGES]
