"""The kill switch as a file of signed orders, one JSON object a line, read anew at every look.

A file works without Kafka, chat or identity provider, and stays through restarts. It has to be there (empty means: go
on), and every line has to be an order of somebody who may give one: a file that is missing, torn or changed is no news,
and without news of the last five seconds nothing is written. `resume` counts like `kill`: only signed.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from actions import Watch, order_of, stopped
from schemas import Control, RecordInvalid, why
from schemas.signatures import verify
from tidegate._errors import ActGatewayError


class KillFile:
    """Satisfies the `KillSwitch` port. keys: who may give orders. fault: why the last look saw nothing, or empty."""

    def __init__(self, path: Path, keys: Mapping[str, Ed25519PublicKey], now_ns: Callable[[], int]) -> None:
        self.path, self._keys, self._now_ns = path, keys, now_ns
        self._last, self.fault = Watch(frozenset(), 0, 0), ""

    async def read(self) -> Watch:
        """The newest state that could be read, with its time."""
        return self.look()

    def look(self) -> Watch:
        now_ns = self._now_ns()
        try:
            controls = [Control.from_bytes(line, strict=True) for line in self.path.read_bytes().splitlines() if line]
            for control in controls:
                verify(control, self._keys)
        except (OSError, RecordInvalid) as error:
            self.fault = f"{self.path}: {why(error)}"
            return self._last
        self.fault = ""
        orders = [order for order in map(order_of, controls) if order is not None]
        self._last = Watch(stopped(orders), now_ns, now_ns)
        return self._last

    def add(self, control: Control) -> None:
        """Append an order, durably. Raises RecordInvalid if its signature does not fit, ActGatewayError if it is no
        order of this kind or cannot be kept."""
        verify(control, self._keys)
        if order_of(control) is None:
            raise ActGatewayError(
                f"'{control.kind}' for '{control.scope}' stops nothing here", where=f"control {control.id}",
                todo="Give kill or resume, for all, verb:NAME, service:NAME, target:ID or key:ID",
            )  # fmt: skip
        try:
            with self.path.open("ab") as file:
                file.write(control.to_bytes() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ActGatewayError(f"the order cannot be kept: {why(error)}", where=str(self.path)) from error
