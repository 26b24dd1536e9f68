"""A diagnose stage that asks questions, with a clock by hand; what lies on its log, and its replay."""

import random

import schemas as sc
from diagnosis import Answer, Diagnose, Finding, Parameters, Settings, Speaks, equal_weights
from schemas.core import NS, Emit, Message
from streams import Task

T = 1_700_000_000 * NS
SETTINGS = Settings(deadline_s=90)


class Named(Parameters):
    service: str


class Toy:
    """Asks for the service by its name; says what it is told to say."""

    kind, subsystem, version, about, cost, timeout_s = "toy", "toys", "1", "anything", 1.0, 5.0
    evidence = {"asked_toy": Speaks("toy", "is broken")}
    parameters = Named

    def ask(self, suspect):
        return Named(service=suspect.service)


QUERIES = {"toy": Toy(), "dear": type("Dear", (Toy,), {"kind": "dear", "cost": 9.0})()}


def anomaly(service, at_s, p=1e-9):
    end = T + int(at_s * NS)
    pointer = sc.EvidencePointer(signal="traces", subject="a" * 16, t_min_ns=end - 10 * NS, t_max_ns=end, sha256="s")
    return sc.Anomaly(
        id=sc.record_id("anomaly", service, end), entity_id=f"default/service/{service}", service=service,
        series=f"{sum(service.encode()):016x}", name="span.errors", signal="traces", kind="error_ratio", detector="t@1",
        start_ns=end - 10 * NS, end_ns=end, unit="1", p_value=p, pointer=pointer, direction=1, observed=9.0,
        expected=1.0, residual=8.0,
    )  # fmt: skip


def message(emit: Emit) -> Message:
    return Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns)


def said(record, topic, event_ns, source="test") -> Message:
    return message(sc.emit(topic, record, id=record.id, key="k", source=source, event_ns=event_ns))


ALIKE = [anomaly("cart", 0), anomaly("pay", 0)]


def stage(mode="ask", queries=None, settings=SETTINGS):
    return Diagnose(equal_weights(), settings, queries=QUERIES if queries is None else queries, mode=mode)


def answer(inquiry, strength=0.9, status="answered", kind="asked_toy", **more):
    service = inquiry.parameters["service"]
    found = [Finding(kind=kind, service=service, strength=strength, start_ns=T, end_ns=T + 1)]
    body = Answer(findings=found).model_dump(mode="json") if status == "answered" else {}
    fields = {"request_sha256": inquiry.request_sha256, "answer": body, "reason": ""} | more
    return sc.Observation(
        id=sc.record_id("observation", inquiry.id), inquiry_id=inquiry.id, incident_id=inquiry.incident_id,
        status=status, observed_ns=1, age_s=0.5, **fields,
    )  # fmt: skip


class World:
    """A task of the diagnose stage with a clock by hand; keeps all that is written."""

    def __init__(self, mode="ask", stage_=None):
        stage_ = stage_ or stage(mode)
        writers = {
            (topic, 0): frozenset({"other@"})
            for topic in (sc.ANOMALIES, sc.CHANGES, sc.TOPOLOGY, sc.CALENDAR, sc.ALERTS)
        }
        self.task = Task.start(stage_, writers, 1)
        self.out = []

    def give(self, *messages):
        self.out += self.task.take(messages)

    def marks(self, at_s, final=False):
        at = T + int(at_s * NS)
        mark = sc.Watermark(stage="other", instance="", through_ns=at, final=final)
        topics = (sc.ANOMALIES, sc.CHANGES, sc.TOPOLOGY, sc.CALENDAR, sc.ALERTS)
        return [message(sc.emit(t, mark, id="m", key="m", source="t", event_ns=at)) for t in topics]

    def go(self, at_s, *messages):
        self.give(*messages, *self.marks(at_s))

    def records(self, kind):
        return [r for e in self.out if isinstance(r := sc.read(message(e)), kind)]

    @property
    def diagnosis(self):
        return self.records(sc.Diagnosis)[-1]


def opened(mode="ask", **more):
    world = World(mode, **more)
    world.go(5, *(said(a, sc.ANOMALIES, a.end_ns) for a in ALIKE))
    return world


def live(seed, *, crash=False):
    """An investigation with answers, failures and duplicates at random moments; all that lies on the log."""
    rng = random.Random(seed)
    world = World()
    telemetry = [anomaly(s, t, 10.0 ** -rng.randint(3, 9)) for t in range(10, 240, 10) for s in ("cart", "pay", "web")]
    telemetry += ALIKE
    raw, at, given = [], 0, 0
    saved = None
    while at < 620:
        at += rng.choice((1, 5, 10, 40))
        batch = [said(a, sc.ANOMALIES, a.end_ns) for a in telemetry if given <= a.end_ns - T < at * NS]
        given = at * NS
        for inquiry in world.records(sc.Inquiry):
            if rng.random() < 0.15:
                status = rng.choice(("answered", "answered", "failed"))
                observation = answer(inquiry, round(rng.random(), 3), status=status)
                raw.append(said(observation, sc.OBSERVATIONS, inquiry.asked_ns))
        batch += [m for m in raw if rng.random() < 0.5]
        echo = [message(e) for e in world.out if e.topic == sc.OBSERVATIONS and rng.random() < 0.2]
        world.go(at, *rng.sample(batch, len(batch)), *echo)
        if crash and rng.random() < 0.3:  # the snapshot is taken where answers get their place, see ADR 8
            saved = world.task.snapshot()
            world.task.restore(saved)
    return world, telemetry


def last_of(world):
    return {d.id: sc.canonical(d.model_dump(mode="json")) for d in world.records(sc.Diagnosis)}


def replayed(world, telemetry, step):
    """The same telemetry with what was written down of the answers; nothing from outside."""
    again = World("recorded")
    placed = [message(e) for e in world.out if e.topic == sc.OBSERVATIONS]
    again.give(*placed)
    at, given = 0, 0
    end = world.task.through_ns - T
    while at * NS < end:
        at = min(at + step, end // NS)
        again.go(at, *(said(a, sc.ANOMALIES, a.end_ns) for a in telemetry if given <= a.end_ns - T < at * NS))
        given = at * NS
    return again
