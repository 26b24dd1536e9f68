"""A live investigation and its replay agree to the bit, whatever dies in between."""

import itertools
import random

import pytest
from support.inquire import ALIKE, T, World, anomaly, answer, last_of, live, message, opened, replayed, said, stage

import schemas as sc
from schemas.core import NS
from streams import Engine, MemoryLog


@pytest.mark.parametrize("seed", range(25))
def test_a_live_run_with_answers_at_random_moments_is_its_replay_to_the_bit(seed):
    world, telemetry = live(seed, crash=seed % 2 == 0)
    assert world.records(sc.Observation)
    for step in (3, 25, 700):
        assert last_of(replayed(world, telemetry, step)) == last_of(world)


def test_the_random_runs_show_every_kind_of_end():
    observations = [o for seed in range(25) for o in live(seed)[0].records(sc.Observation)]
    assert {o.status for o in observations} == {"answered", "failed", "timeout"}
    assert sum(o.status == "answered" for o in observations) >= 25


def test_a_replay_says_what_was_never_recorded():
    world, telemetry = live(3)
    world.out = [e for e in world.out if e.topic != sc.OBSERVATIONS]
    reasons = {u.reason for d in replayed(world, telemetry, 10).records(sc.Diagnosis) for u in d.unknown}
    assert reasons == {"PENDING", "NOT_RECORDED"}


@pytest.mark.parametrize("seed", range(5))
def test_every_incident_that_was_asked_about_ends_with_a_diagnosis_that_leaves_nothing_pending(seed):
    world, _ = live(seed)
    closed = {i.id for i in world.records(sc.Incident) if i.state == "closed"}
    final = {d.incident_id: d for d in world.records(sc.Diagnosis)}
    assert closed and closed <= set(final)
    assert all(u.reason != "PENDING" for i in closed for u in final[i].unknown)


def test_a_crash_in_mid_investigation_changes_nothing():
    one, two = opened(), opened()
    inquiry = one.records(sc.Inquiry)[0]
    for world, is_crashing in ((one, False), (two, True)):
        for at in (15, 30, 65, 90, 130, 400):
            world.go(at, *([said(answer(inquiry), sc.OBSERVATIONS, inquiry.asked_ns)] if at == 15 else []))
            if is_crashing:
                world.task.restore(world.task.snapshot())
    assert one.out == two.out


def test_after_a_restart_what_was_written_down_wins_over_the_answer_read_again():
    world = opened()
    snapshot = world.task.snapshot()
    inquiry = world.records(sc.Inquiry)[0]
    raw = said(answer(inquiry), sc.OBSERVATIONS, inquiry.asked_ns)
    world.go(10)
    world.go(35, raw)
    journal = [message(e) for e in world.out if e.topic == sc.OBSERVATIONS]
    world.go(100)
    again = World()
    again.task.restore(snapshot)
    again.give(*journal)
    for at in (7, 10, 35, 100):
        again.go(at, raw)
    assert last_of(again).items() <= last_of(world).items() and len(last_of(again)) == len(last_of(world)) - 1


def test_the_journal_in_one_log_does_not_hold_up_its_writer():
    log = MemoryLog(keep=sc.TOPICS)
    writers = {topic: ("other",) for topic in (sc.ANOMALIES, sc.CHANGES, sc.TOPOLOGY, sc.CALENDAR, sc.ALERTS)}
    engine = Engine(log, [stage()], outside=writers)
    world = World()
    messages = [said(a, sc.ANOMALIES, a.end_ns) for a in ALIKE]
    for at, extra in itertools.zip_longest((5, 65, 125, 200), [messages], fillvalue=[]):
        log.feed([*extra, *world.marks(at)], writer="outside")
        engine.run()
    reasons = [sc.read(m).reason for m in log.messages(sc.OBSERVATIONS)]
    assert reasons == ["NOT_ANSWERED"] * 4 and engine.runners[0].through_ns == T + 200 * NS


class Crashing:
    """The stage over topics without an order across them. It dies at any moment and goes on from its last snapshot.

    As a transport has to: while the stage listens for answers, a snapshot is kept before what it says goes out, and
    goes out again after a crash.
    """

    def __init__(self, rng, telemetry, *, is_careful=True):
        self.rng, self.is_careful = rng, is_careful
        self.logs = {
            topic: [] for topic in (sc.ANOMALIES, sc.CHANGES, sc.TOPOLOGY, sc.CALENDAR, sc.ALERTS, sc.OBSERVATIONS)
        }
        self.world, self.out, self.crashes = World(), [], 0
        for at in range(0, 625, 5):
            new = [a for a in telemetry if at - 5 <= a.end_ns / NS - T / NS < at]
            self.logs[sc.ANOMALIES] += [said(a, sc.ANOMALIES, a.end_ns) for a in new]
            for mark in self.world.marks(at):
                self.logs[mark.topic].append(mark)
        self.at = dict.fromkeys(self.logs, 0)
        self.saved = self.world.task.snapshot(), dict(self.at), []

    def run(self):
        while waiting := [topic for topic, log in self.logs.items() if self.at[topic] < len(log)]:
            topic = self.rng.choice(waiting)
            batch = self.logs[topic][self.at[topic] :][: self.rng.randint(1, 6)]
            self.at[topic] += len(batch)
            was_listening = self.is_listening()
            emits = self.world.task.take(batch)
            is_written = any(e.topic == sc.OBSERVATIONS for e in emits)
            if self.is_careful and (was_listening or self.is_listening() or is_written):
                self.saved = self.world.task.snapshot(), dict(self.at), emits
            dies = self.rng.random() < 0.08
            self.write(emits[: self.rng.randint(0, len(emits))] if dies else emits)
            if dies:
                self.crashes += 1
                self.world = World()
                self.world.task.restore(self.saved[0])
                self.at = dict(self.saved[1])
                self.write(self.saved[2])
            elif self.rng.random() < 0.1:
                self.saved = self.world.task.snapshot(), dict(self.at), []
            self.answer()
        return self

    def is_listening(self):
        return self.world.task.stage.is_listening(self.world.task.state)

    def write(self, emits):
        self.out += emits
        self.logs[sc.OBSERVATIONS] += [message(e) for e in emits if e.topic == sc.OBSERVATIONS]

    def answer(self):
        for emit in self.out:
            if emit.topic == sc.INQUIRIES and sc.record_type(message(emit)) == "inquiry" and self.rng.random() < 0.02:
                inquiry = sc.read(message(emit))
                strength = round(self.rng.random(), 3)
                self.logs[sc.OBSERVATIONS].append(
                    said(answer(inquiry, strength), sc.OBSERVATIONS, inquiry.asked_ns, source="tidegate/investigate")
                )

    def copies(self):
        """Of each diagnosis and of each placed answer all different versions that ever went out."""
        found = {}
        for emit in self.out:
            record = sc.read(message(emit))
            if isinstance(record, sc.Diagnosis | sc.Observation):
                found.setdefault(record.id, set()).add(emit.value)
        return found


def shaken(seed, **options):
    rng = random.Random(seed)
    telemetry = [anomaly(s, t, 10.0 ** -rng.randint(3, 9)) for t in range(10, 240, 10) for s in ("cart", "pay", "web")]
    return Crashing(rng, [*ALIKE, *telemetry], **options).run(), [*ALIKE, *telemetry]


@pytest.mark.parametrize("seed", range(15))
def test_a_stage_that_dies_at_any_moment_never_says_two_things_and_its_replay_says_the_same(seed):
    run, telemetry = shaken(seed)
    assert run.crashes and {len(versions) for versions in run.copies().values()} == {1}
    run.world.out = run.out
    assert last_of(replayed(run.world, telemetry, 20)) == last_of(run.world)


def test_a_transport_that_writes_before_it_has_a_snapshot_is_caught():
    assert any(len(v) > 1 for seed in range(15) for v in shaken(seed, is_careful=False)[0].copies().values())
