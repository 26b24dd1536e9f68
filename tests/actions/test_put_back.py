"""A ledger that is an old copy: the gateway finds out, and it is believed again once what it forgot counts no more."""

from support.act import stand


def test_an_old_copy_of_the_ledger_fences_and_reads_before_it_acts():
    async def scene(world):
        world.gateway.epochs["t/service/a"] = 7
        world.gateway.marks["t/service/a"] = {("sha256:lost", 0): 1}
        await world.ask()
        await world.wait(900)
        return world

    world = stand(scene)
    assert world.ledger.target("t/service/a").blocked == "UNKNOWN_MARK"
    assert not world.gateway.effects and world.gateway.epochs["t/service/a"] > 7


def test_an_old_copy_that_forgot_a_target_altogether_only_advises_for_an_hour_also_after_a_restart():
    async def scene(world):
        world.gateway.newest = [("t/service/forgotten", 3)]
        world.gateway.epochs["t/service/forgotten"] = 3
        await world.ask()
        await world.wait(10)
        await world.restart()
        await world.ask("t/service/b")
        await world.wait(3000)
        assert not world.gateway.effects and world.ledger.target("t/service/forgotten").epoch > 3
        await world.wait(700)
        await world.ask("t/service/c")
        await world.wait(900)
        return world

    world = stand(scene)
    assert [target for _, target, _ in world.gateway.effects] == ["t/service/c"]
    assert ["old copy" in page.text for page in world.people.pages].count(True) == 1
    assert set(world.reasons) >= {"LEDGER_PUT_BACK"}


def test_a_ledger_that_gave_every_epoch_out_is_no_old_copy():
    async def scene(world):
        for target in ("t/service/a", "t/service/b"):
            await world.ask(target)
            await world.wait(400)
        return world

    assert stand(scene).worker.safety.put_back_ns == 0
