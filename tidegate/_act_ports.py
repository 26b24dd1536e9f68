"""The worker's ports under asyncio: the clock, its tasks, the kill switch from three places, and the way to people."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from actions import EVERYTHING, ORDER, Ledger, Notice, Watch, is_revoked, order_of, stopped
from schemas import Control, RecordInvalid, why
from schemas.core import NS
from schemas.signatures import verify


class SystemClock:
    def now_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, ns: int) -> None:
        await asyncio.sleep(ns / NS)


class Tasks:
    """What runs beside the loops. The first fault ends the process: `failed` holds it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    @property
    def running(self) -> int:
        return len(self._tasks)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            self.failed.set_result(error)


class Orders:
    """Satisfies `KillSwitch`: all signed orders of the local file, the ledger and the control topic, taken together.

    Any of them suffices to stop. The state is fresh as long as the file or the ledger can be read; a file that is
    missing or holds anything but orders of somebody who may give them is a place that cannot be read. `heard`: verified
    orders that the ledger does not keep yet; the worker's process keeps them. signer: id of the key that signs our
    permits; once that is revoked, everything is stopped here.
    """

    def __init__(
        self,
        file: Path,
        ledger: Ledger,
        keys: Mapping[str, Ed25519PublicKey],
        supervisor: Path | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        signer: str = "",
    ) -> None:
        self.signer, self._looked_ns = signer, 0
        self._file, self._ledger, self._keys, self._now_ns = file, ledger, keys, now_ns
        self._supervisor = supervisor
        self._in_file: list[Control] = []
        self.heard: dict[str, Control] = {}
        self.fault = ""

    async def read(self) -> Watch:
        return self.look()

    def look(self) -> Watch:
        now_ns = self._now_ns()
        try:
            self._in_file = [
                self._verified(Control.from_bytes(line, strict=True))
                for line in self._file.read_bytes().splitlines()
                if line
            ]
            self.fault, self._looked_ns = "", now_ns
        except (OSError, RecordInvalid) as error:
            self.fault = f"{self._file}: {why(error)}"
        kept = [Control.from_bytes(body) for _, body in self._ledger.kept(ORDER)]
        self._looked_ns = now_ns
        orders = [order for one in (*self._in_file, *self.heard.values(), *kept) if (order := order_of(one))]
        scopes = stopped(orders)
        if is_revoked(scopes, self.signer):
            scopes |= {EVERYTHING}  # no gateway believes us any more
        return Watch(scopes, self._looked_ns, self._supervised(now_ns))

    def hear(self, control: Control) -> bool:
        """An order from outside. False: it is no order of this kind, or nobody's who may give one."""
        try:
            self._verified(control)
        except RecordInvalid:
            return False
        if order_of(control) is None:
            return False
        self.heard[control.id] = control
        return True

    def unkept(self) -> list[Control]:
        """Orders that the ledger does not hold yet, from the file as well."""
        known = {name for name, _ in self._ledger.kept(ORDER)}
        orders = {one.id: one for one in (*self._in_file, *self.heard.values()) if order_of(one)}
        return [one for id, one in orders.items() if ORDER + id not in known]

    def _verified(self, control: Control) -> Control:
        verify(control, self._keys)
        return control

    def _supervised(self, now_ns: int) -> int:
        if self._supervisor is None:
            return now_ns
        try:
            return self._supervisor.stat().st_mtime_ns
        except OSError:
            return 0


class Hooks:
    """Satisfies `People`: every notice goes to the standard error and to each address; one that takes it is enough.

    escalation: addresses that are told as well, by level. The request holds the notice as JSON and its id as
    `Idempotency-Key`, so a repeat can be told apart.
    """

    def __init__(
        self, urls: tuple[str, ...], timeout_s: float = 5.0, escalation: tuple[tuple[str, ...], ...] = ()
    ) -> None:
        self._urls, self._timeout_s, self._escalation = urls, timeout_s, escalation
        self._log = structlog.get_logger()
        self._said: str = ""

    async def tell(self, notice: Notice) -> bool:
        if notice.id != self._said:
            told = {"id": notice.of or notice.id, "urgency": notice.urgency, "group": notice.group,
                    "action_id": notice.action_key}  # fmt: skip
            self._log.warning("people notified", text=notice.text, **told)
            self._said = notice.id
        urls = dict.fromkeys([*self._urls, *(url for level in self._escalation[: notice.level] for url in level)])
        if not urls:
            return True
        results = await asyncio.gather(*(asyncio.to_thread(self._post, url, notice) for url in urls))
        return any(results)

    def _post(self, url: str, notice: Notice) -> bool:
        body = json.dumps(notice._asdict()).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": notice.id}
        request = urllib.request.Request(url, body, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                return 200 <= int(answer.status) < 300
        except (OSError, urllib.error.URLError, ValueError):
            return False
