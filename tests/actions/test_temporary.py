"""Temporary changes: taken back once their target was well for as long, and when nothing holds that up."""

from support.act import NS, plan_of, stand, step_of


def test_a_temporary_change_is_taken_back_when_its_time_is_over():
    async def scene(world):
        await world.ask(plan=plan_of(step_of(), revert_after_ns=1800 * NS))
        await world.wait(4000)
        return world

    world = stand(scene)
    assert [what for _, _, what in world.gateway.effects] == ["do", "do"]
    assert world.states == ["succeeded", "succeeded"]


def test_a_temporary_change_stays_until_its_target_has_been_well_for_as_long():
    async def scene(world):
        await world.ask(plan=plan_of(step_of(), revert_after_ns=1800 * NS))
        world.telemetry.unwell_until_ns = world.clock.now_ns() + 3600 * NS
        await world.wait(3600 + 1700)
        assert [what for _, _, what in world.gateway.effects] == ["do"]
        await world.wait(1500)
        return world

    world = stand(scene)
    assert [what for _, _, what in world.gateway.effects] == ["do", "do"] and not world.people.pages


def test_people_hear_of_a_temporary_change_that_cannot_be_taken_back_for_a_day():
    async def scene(world):
        await world.ask(plan=plan_of(step_of(), revert_after_ns=1800 * NS))
        world.telemetry.unwell_until_ns = world.clock.now_ns() + 36 * 3600 * NS
        await world.wait(26 * 3600)
        return world

    world = stand(scene)
    assert ["still there" in page.text for page in world.people.pages] == [True]


def test_a_temporary_change_is_not_asked_back_while_everything_is_only_advice():
    """What only advises would be the end of it, and the change would stay for ever."""

    async def scene(world):
        await world.ask(plan=plan_of(step_of(), revert_after_ns=1800 * NS))
        await world.wait(900)
        world.worker.safety.put_back_ns = world.clock.now_ns()
        await world.wait(3500)
        assert [what for _, _, what in world.gateway.effects] == ["do"]
        await world.wait(600)
        return world

    world = stand(scene)
    assert [what for _, _, what in world.gateway.effects] == ["do", "do"] and not world.people.pages
