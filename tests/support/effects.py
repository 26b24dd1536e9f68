"""What must hold of every verb done by its executor through the gateway; `rig` is a fixture (see support/rigs.py)."""

import asyncio

from support.gateway import KEY, NOW, VERBS, Bench, request
from support.verbs import SAMPLES

from actions._gateway import effect_of
from actions._permit import mint
from actions._ports import DryRun, ProbeRequest


class Direct:
    """Hands that call the executor at once, and count its writes."""

    def __init__(self, executor):
        self.executor, self.writes = executor, 0

    def capabilities(self, verb):
        return self.executor.capabilities[verb]

    async def read(self, effect):
        return self.executor.read(effect)

    async def check(self, effect, reading):
        return self.executor.check(effect, reading)

    async def write(self, effect, mark, reading):
        self.writes += 1
        return self.executor.write(effect, mark, reading)

    async def fence(self, effect, epoch):
        self.executor.fence(effect, epoch)


class Doing:
    """One verb at one rig."""

    def __init__(self, rig, verb):
        self.rig, self.verb = rig, verb
        rig.prepare(verb)
        sample = SAMPLES[verb]
        self.change = VERBS.change(verb, sample.target, sample.parameters | rig.parameters(verb), "r")
        self.hands = Direct(rig.executor)
        self.bench = Bench(shelf=self.hands)

    def state(self):
        effect = effect_of(VERBS, self.change, "do")
        reading = self.rig.executor.read(effect)
        return {field: reading.state.get(field) for field in effect.sets}

    def dry_run(self):
        return self.bench.dry_run(self.change)

    def apply(self, **more):
        plain = request(self.change, **({"expected_version": ""} | more))
        told = plain._replace(permit=mint(plain, audience="shop", now_ns=NOW, nonce="0" * 32, kid="decide-1", key=KEY))
        answer = self.bench.apply(told)
        self.rig.after()
        return answer

    def probe(self, epoch):
        target = self.change.target
        assert asyncio.run(self.bench.desk.fence(target, epoch))
        return self.bench.probe(ProbeRequest("sha256:a", 0, self.change, target, epoch))


def check_done_once_and_undone(rig, verb):
    one = Doing(rig, verb)
    before, dry = one.state(), one.dry_run()
    assert isinstance(dry, DryRun), dry
    assert one.state() == before and one.hands.writes == 0, "a dry run changes nothing"
    told = {"expected_version": dry.target_version, "dry_run_digest": dry.digest}
    assert one.apply(**told).result == "applied"
    assert one.apply(**told).result == "applied" and one.hands.writes == 1, "the same attempt again has no effect"
    effect = effect_of(VERBS, one.change, "do")
    keeps = rig.executor.capabilities[verb].keeps_mark
    if keeps:
        assert one.state() == dict(effect.sets) and one.probe(5) == "applied"
        again = one.apply(key="sha256:b", epoch=6, expected_version=one.dry_run().target_version)
        assert again.reason == "ALREADY_SO" and one.hands.writes == 1, "another one finds it so already"
    if one.change.undo_verb:
        assert one.apply(direction="undo", epoch=7).result == "applied"
        assert one.state() == before and one.probe(8) == "not_applied", "the undo restores what was"
        assert one.apply(direction="undo", epoch=9).result != "applied" and one.hands.writes == 2


def check_a_moved_target_is_left_alone(rig, verb):
    one = Doing(rig, verb)
    dry = one.dry_run()
    assert isinstance(dry, DryRun), dry
    rig.moved(verb)
    theirs = one.state()
    answer = one.apply(expected_version=dry.target_version)
    assert answer.result == "not_applied" and answer.reason == "VERSION_MOVED"
    assert one.state() == theirs and one.hands.writes == 0


def check_what_somebody_changed_since_is_not_undone(rig, verb):
    one = Doing(rig, verb)
    assert one.apply(expected_version=one.dry_run().target_version).result == "applied"
    rig.moved(verb)
    theirs = one.state()
    assert one.probe(5) == "foreign"
    answer = one.apply(direction="undo", epoch=7)
    assert answer.result == "not_applied" and one.state() == theirs
