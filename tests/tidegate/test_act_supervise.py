"""The dead man's hand: who touches the file, when it does not, and what happens then."""

import asyncio
import os
import threading
import time

import pytest
from support.act_place import gated_now, gateway_of, repository, run, settings_of, states, tell, until

from schemas.core import NS
from tidegate._act_supervise import Supervisor, run_supervisor
from tidegate._action_gateway_client import GatewayClient
from tidegate._errors import SettingsError


class People:
    def __init__(self):
        self.told = []

    async def tell(self, notice):
        self.told.append((notice.urgency, notice.text))
        return True


def supervisor(place, url):
    return Supervisor(place / "alive", url, GatewayClient(f"unix:{place / 'gw.sock'}", timeout_s=60), People())


def beside_a_worker(place, scene):
    """`scene(worker, its address)`, with a supervisor that has touched the file once."""
    (place / "alive").touch()

    async def inside(worker):
        address = f"http://127.0.0.1:{worker._listener.getsockname()[1]}"
        return await scene(worker, address)

    return run(place, inside, supervisor_file=str(place / "alive"))


def test_the_file_is_touched_only_while_worker_and_gateway_are_well(tmp_path):
    repository(tmp_path)
    touched = []

    async def scene(worker, address):
        one = supervisor(tmp_path, address)
        with gateway_of(tmp_path):
            touched.append(await one.look(NS))
        touched.append(await one.look(2 * NS))
        assert set(one.faults) == {"gateway"}

    beside_a_worker(tmp_path, scene)
    gone = supervisor(tmp_path, "http://127.0.0.1:9")
    touched.append(asyncio.run(gone.look(NS)))
    assert touched == [True, False, False] and set(gone.faults) == {"worker", "gateway"}


def test_people_hear_once_that_it_is_not_well_and_once_that_it_is_again(tmp_path):
    one = supervisor(tmp_path, "http://127.0.0.1:9")
    for second in (1, 5, 12, 20):
        asyncio.run(one.look(second * NS))
    assert [urgency for urgency, _ in one._people.told] == ["page"]
    one.faults = {}
    asyncio.run(one._tell(21 * NS))
    assert [urgency for urgency, _ in one._people.told] == ["page", "notify"]


def test_a_file_that_nobody_touches_leaves_advice_and_a_page(tmp_path):
    repository(tmp_path)

    async def scene(worker, address):
        worker._began_ns = 0
        old_s = time.time() - 11
        os.utime(tmp_path / "alive", (old_s, old_s))
        tell(tmp_path, gated_now())
        await until(lambda: states(worker) == ["advised"])
        (row,) = worker.ledger.ended(-1, 9)
        assert worker.worker.read(row.key).reason == "SUPERVISOR_SILENT"
        await until(lambda: ("people", "supervisor", 1) in worker.ledger.contents().told)

    with gateway_of(tmp_path):
        beside_a_worker(tmp_path, scene)


def test_as_a_process_it_goes_on_until_it_is_stopped_and_wants_to_be_told_which_file(tmp_path):
    with pytest.raises(SettingsError):
        run_supervisor(settings_of(tmp_path))
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    run_supervisor(settings_of(tmp_path, supervisor_file=str(tmp_path / "alive")), 0.1, stop=stop)
    assert not (tmp_path / "alive").exists()
