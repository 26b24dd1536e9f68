"""`tidegate act supervise`: the dead man's hand. It looks at worker and gateway and touches a file while both are well.

The worker takes nothing forward that the file is too old for (`SUPERVISED_NS`, 10 s), so whatever happens to this
process, to the machine's scheduler or to what it looks at ends in advice, not in action. The other way round it tells
people when the worker is gone, which the worker itself cannot. It runs under another user than the worker, which may
read the file and not write it.
"""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from actions import Notice
from schemas import record_id, why
from tidegate._act_ports import Hooks
from tidegate._action_gateway_client import GatewayClient
from tidegate._errors import SettingsError
from tidegate._settings import Settings
from tidegate._signals import stops

EVERY_S = 2.0
PATIENCE_S = 10.0
"""People are told when it was not well for so long: as long as the worker waits for a sign of life."""
_TIMEOUT_S = 3.0


class Supervisor:
    """`faults`: what is not well, by place; empty where the file was touched."""

    def __init__(self, file: Path, worker: str, gateway: GatewayClient, people: Hooks) -> None:
        self._file, self._worker, self._gateway, self._people = file, worker.rstrip("/"), gateway, people
        self._since_ns, self._is_told = 0, False
        self.faults: dict[str, str] = {}

    async def look(self, now_ns: int) -> bool:
        """One look; whether the file was touched."""
        found = {"worker": await asyncio.to_thread(self._of_worker)}
        if not await self._gateway.is_well():
            found["gateway"] = "it does not answer"
        self.faults = {place: fault for place, fault in found.items() if fault}
        if not self.faults:
            try:
                self._file.touch()
            except OSError as error:
                self.faults = {"file": f"{self._file}: {why(error)}"}
        await self._tell(now_ns)
        return not self.faults

    def _of_worker(self) -> str:
        try:
            with urllib.request.urlopen(f"{self._worker}/healthz", timeout=_TIMEOUT_S) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            return f"it says {error.code}"
        except (OSError, ValueError) as error:
            return f"it does not answer: {why(error)}"
        return "" if isinstance(told, dict) else "it says nothing that can be read"

    async def _tell(self, now_ns: int) -> None:
        """People hear of it once when it lasts, and once when it is over."""
        if not self.faults:
            if self._is_told:
                await self._say("notify", "worker and gateway are well again", now_ns)
            self._since_ns, self._is_told = 0, False
            return
        self._since_ns = self._since_ns or now_ns
        if not self._is_told and now_ns - self._since_ns >= PATIENCE_S * 1e9:
            text = "; ".join(f"{place}: {fault}" for place, fault in self.faults.items())
            self._is_told = await self._say("page", f"nothing acts by itself now: {text}", now_ns)

    async def _say(self, urgency: Literal["page", "notify"], text: str, now_ns: int) -> bool:
        id = record_id("notice", "supervisor", now_ns)
        return await self._people.tell(Notice(id, urgency, "supervisor", text[:400], "", now_ns))


def run_supervisor(
    settings: Settings,
    every_s: float = EVERY_S,
    *,
    stop: threading.Event | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> None:
    """Until a signal or `stop`. Raises SettingsError where no file is named."""
    act, stopping = settings.act, stop or threading.Event()
    if act.supervisor_file is None:
        raise SettingsError(
            "it is not said which file is touched", where="act.supervisor_file",
            todo="Name one that the worker reads and only this process writes",
        )  # fmt: skip
    gateway = GatewayClient(act.gateway, act.token(), timeout_s=_TIMEOUT_S)
    one = Supervisor(act.supervisor_file, f"http://127.0.0.1:{act.listen_port}", gateway, Hooks(act.people_url))

    async def work() -> None:
        while not stopping.is_set():
            await one.look(now_ns())
            await asyncio.sleep(every_s)

    with stops(stopping):
        asyncio.run(work())
