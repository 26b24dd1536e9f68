"""Moves traffic with Envoy's runtime: one key holds the share of the canary, in per cent.

The admin interface sets keys in its own layer and has no conditional write, so the value is absolute (a repeat is
harmless) and the gateway is the only writer of a target. Value and mark are set in one call. Envoy forgets this layer
when it starts anew; the share is then what its file says, the mark is gone, and a probe says so.
Source: Envoy's documentation of the runtime and of the admin interface, /runtime and /runtime_modify.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, urlencode

from pydantic import Field

from actions._contract import Capacity
from actions._executor import Capabilities, Effect, ExecutorSettings, Mark, Reading, TargetAway, Written, read_mark
from actions.executors._http import Answered, call
from schemas import Json


class EnvoySettings(ExecutorSettings):
    admin: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """URL of the admin interface; keep it on a network where only the gateway can reach it."""
    services: dict[str, str] = {}
    """URL by name of the service, where each has a proxy of its own."""
    ca_file: Path | None = None


class Envoy:
    kind = "envoy"
    settings: type[ExecutorSettings] = EnvoySettings
    verbs = ("traffic.shift",)
    capabilities: ClassVar[Mapping[str, Capabilities]] = {"traffic.shift": Capabilities(False, True, False, False)}
    permissions: ClassVar[Mapping[str, tuple[Mapping[str, Json], ...]]] = {
        "traffic.shift": ({"http": ["GET /runtime", "POST /runtime_modify"]},)
    }
    set_up = ""

    def __init__(self, settings: EnvoySettings) -> None:
        self._settings = settings

    def read(self, effect: Effect) -> Reading:
        admin, key = self._place(effect)
        answer = self._call("GET", f"{admin}/runtime?format=json")
        if not answer.is_ok:
            raise TargetAway(f"{admin} answers {answer.status}: {answer.body[:100]!r}")
        try:
            entries = answer.json()["entries"]
            value = entries.get(key, {}).get("final_value", "")
            mark = read_mark(entries.get(_mark_key(key), {}).get("final_value", "").replace(" ", "/"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TargetAway(f"{admin} does not answer as Envoy does: {error}") from error
        if not str(value).isdecimal():
            raise TargetAway(f"{key} is {value!r}, not a share in per cent", is_absent=True)
        share = int(value)
        held = f"{share} {mark.text() if mark else ''}"
        return Reading(f"{admin} {key}", held, held, {"percent": share}, mark, Capacity(100 - share, 100))

    def check(self, effect: Effect, reading: Reading) -> str | None:
        return None

    def write(self, effect: Effect, mark: Mark, reading: Reading) -> Written:
        try:
            admin, key = self._place(effect)
        except TargetAway as error:
            return Written("refused", error.code, str(error))
        values = {key: effect.sets["percent"], _mark_key(key): mark.text().replace("/", " ")}
        answer = self._call("POST", f"{admin}/runtime_modify?{urlencode(values, quote_via=quote)}")
        if answer.is_lost or answer.status >= 500:
            return Written("lost", f"HTTP_{answer.status}")
        return Written("written") if answer.is_ok else Written("refused", f"HTTP_{answer.status}")

    def fence(self, effect: Effect, epoch: int) -> None:
        return None

    def _place(self, effect: Effect) -> tuple[str, str]:
        admin = self._settings.services.get(str(effect.parameters["service"]), self._settings.admin).rstrip("/")
        if not admin:
            raise TargetAway(f"no Envoy is set for {effect.target}", is_absent=True)
        return admin, str(effect.parameters["runtime_key"])

    def _call(self, method: str, url: str) -> Answered:
        return call(method, url, timeout_s=self._settings.timeout_s, ca_file=self._settings.ca_file)


def _mark_key(key: str) -> str:
    return f"tidegate.mark.{hashlib.sha256(key.encode()).hexdigest()[:16]}"


PLUGIN = Envoy
