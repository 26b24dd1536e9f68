"""Changes under watch in the pipeline: rates in, incidents and diagnoses out."""

import numpy as np
from support.rates import MINUTE, START, Endpoint, deploy, minute

import schemas as sc
from schemas.core import Emit, Message, Tick
from streams import Engine, MemoryLog
from tidegate import _pipeline
from tidegate._settings import Settings
from tidegate._watching import Watch

OTHERS = [Endpoint(f"s{i}", "GET /x", 300) for i in range(4)]
AT = 240


def messages(shape, minutes=AT + 30):
    """Frames, histograms and a change, then the final marks of whoever would have written them."""
    pipeline, rng = _pipeline.build(Settings(), first="detect", last="diagnose"), np.random.default_rng(4)
    change = deploy(AT)
    for at in range(minutes):
        t = START + at * MINUTE
        for frame in minute(rng, at, [*shape(at - AT), *OTHERS]):
            if isinstance(frame, sc.Frame):
                shards = np.zeros(len(frame.t), int)
                value = sc.encode_frame(frame.series, frame.t, frame.value, shards=shards, defs=frame.defs)
                yield Emit(sc.FRAMES, b"", value, (), t)
            else:
                value = sc.encode_histograms(frame.series, frame.t, frame.bucket, frame.count, defs=frame.defs)
                yield Emit(sc.HISTOGRAMS, b"", value, (), t)
        if at == AT:
            yield sc.emit(sc.CHANGES, change, id=change.id, key=change.entity_id, source="test", event_ns=change.at_ns)
    end = START + minutes * MINUTE
    for topic, stages in pipeline.outside.items():
        for stage in stages:
            mark = sc.Watermark(stage=stage, through_ns=end, final=True)
            identity = sc.record_id("watermark", stage, topic)
            yield sc.emit(topic, mark, id=identity, key=stage, source="test", event_ns=end)


def run(shape):
    """Records of incidents, diagnoses, verdicts and anomalies by type."""
    pipeline, log = _pipeline.build(Settings(), first="detect", last="diagnose"), MemoryLog()
    log.append(list(messages(shape)), writer="outside")
    Engine(log, pipeline.stages, outside=pipeline.outside).run()
    found = {}
    for stored in log.read([sc.ANOMALIES, sc.VERDICTS, sc.INCIDENTS, sc.DIAGNOSES], 0, 1_000_000):
        if sc.record_type(stored.message) != "watermark":
            record = sc.read(stored.message)
            found.setdefault(record.TYPE, []).append(record)
    return found


def quiet(since):
    """A quiet endpoint: a request every other second, so that no minute alone says much."""
    share = {"": 0.002, "422": 0.08 if since >= 0 else 0.005}
    return [Endpoint("auth", "POST /login", 400), Endpoint("auth", "POST /refresh", 25, share)]


def test_a_silent_422_on_a_quiet_endpoint_becomes_an_incident_of_the_service_with_the_deploy_as_evidence():
    found = run(quiet)
    assert [v for v in found["change-verdict"] if v.verdict == "worse"]
    diagnosis = found["diagnosis"][-1]
    first = diagnosis.hypotheses[0]
    assert first.cause.entity == "auth" and any(e.kind == "change" and e.supports for e in first.evidence)


def test_a_healthy_deploy_is_no_incident():
    found = run(lambda since: quiet(-1))
    assert "incident" not in found and {v.verdict for v in found["change-verdict"]} <= {"not_worse", "inconclusive"}


def test_the_order_in_which_things_come_within_a_minute_changes_nothing():
    stage = Watch()

    def said(reverse):
        state, out, held = stage.initial(), [], []
        for n, emit in enumerate(messages(quiet, AT + 12)):
            if sc.record_type(message := _message(emit, n)) == "watermark":
                continue
            if held and message.event_ns >= held[0].event_ns // MINUTE * MINUTE + MINUTE:
                through = message.event_ns // MINUTE * MINUTE
                for each in held[::-1] if reverse else held:
                    state, more = stage.step(state, each)
                    out += more
                state, more = stage.step(state, Tick(through))
                out, held = out + more, []
            held.append(message)
        return [emit.value for emit in out]

    assert said(True) == said(False) and said(True)


def _message(emit, n):
    return Message(emit.topic, 0, n, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns)
