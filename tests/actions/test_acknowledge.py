"""A page that nobody acknowledges goes further up until somebody does, through restarts."""

import pytest
from support.act import ACT, NS, Stand, replace
from support.virtual_loop import run as run_virtually

from actions import Notice
from actions._acknowledge import NoPage, acknowledged, waiting
from actions._ledger import Transaction
from actions._telling import notice_row

WAIT_S = 900


def stand(scene, wait_s=WAIT_S):
    async def whole():
        world = Stand(settings=replace(ACT, acknowledge_ns=wait_s * NS))
        await world.begin()
        await scene(world)
        await world.kill_it()
        return world

    return run_virtually(whole())


async def said(world, urgency="page", id="n1"):
    now = world.worker.now
    notice = Notice(id, urgency, f"g:{id}", "the cause is known: deploy 4521", "", now)
    await world.worker.commit(Transaction(now, outbox=(notice_row(notice),)))


def test_what_lies_unread_for_eight_hours_has_gone_all_the_way_up():
    async def scene(world):
        await said(world)
        await world.wait(8 * 3600)

    told = stand(scene).people.told
    assert [notice.level for notice in told] == list(range(8 * 3600 // WAIT_S))
    assert {notice.of for notice in told[1:]} == {"n1"} and len({notice.id for notice in told}) == len(told)
    assert told[-1].text.startswith("nobody has acknowledged this for 465 minutes: the cause is known")


def test_what_a_person_has_taken_goes_no_further_and_the_audit_log_says_who():
    async def scene(world):
        await said(world)
        await world.wait(WAIT_S + 60)
        await world.worker.commit(acknowledged(world.ledger, "n1", "idp#ada", world.worker.now))
        await world.wait(8 * 3600)
        with pytest.raises(NoPage):
            acknowledged(world.ledger, "n1", "idp#ada", world.worker.now)

    world = stand(scene)
    assert [notice.level for notice in world.people.told] == [0, 1] and not waiting(world.ledger)
    assert b"page_acknowledged" in b"".join(leaf.leaf for leaf in world.ledger.contents().leaves)


def test_a_worker_that_died_meanwhile_forgets_nobody():
    async def scene(world):
        await said(world)
        await world.wait(60)
        await world.kill_it()
        await world.begin()
        await world.wait(WAIT_S)

    assert [notice.level for notice in stand(scene).people.told] == [0, 1]


def test_while_nobody_can_be_reached_nothing_waits_and_nothing_is_lost():
    async def scene(world):
        world.people.is_away = True
        await said(world)
        await world.wait(2 * WAIT_S)
        assert not waiting(world.ledger)
        world.people.is_away = False
        await world.wait(WAIT_S // 2)

    world = stand(scene)
    assert [notice.level for notice in world.people.told] == [0] and len(waiting(world.ledger)) == 1


@pytest.mark.parametrize(("urgency", "wait_s"), [("notify", WAIT_S), ("page", 0)])
def test_what_needs_nobody_waits_for_nobody(urgency, wait_s):
    async def scene(world):
        await said(world, urgency)
        await world.wait(3600)

    world = stand(scene, wait_s)
    assert len(world.people.told) == 1 and not waiting(world.ledger)
