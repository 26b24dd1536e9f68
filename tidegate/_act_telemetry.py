"""What was measured before and after an action, asked of Prometheus in windows; and how much is ill at once.

The queries are the operator's, the only foreign text in them is the name of the service, quoted as a PromQL string.
A point that Prometheus does not have is a missing window, never a zero. Without peers the control is the own history:
the mean of the same windows one and seven days ago. Source: Prometheus HTTP API v1, "Range queries".
"""

import asyncio
import json
import math
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Literal

from actions import Illness, Indicator, Look, Seen, View, Window, service_of
from schemas.core import NS
from tidegate._act_settings import Measure

BEFORE_NS = 1800 * NS
ILL_NS = 900 * NS
_DAY_NS = 24 * 3600 * NS
_LATE_NS = 30 * NS
"""A scrape may come so late; younger windows are not complete yet."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")


class PrometheusTelemetry:
    """Satisfies `Telemetry`. What cannot be read is missing, and what is missing is inconclusive."""

    def __init__(
        self,
        url: str,
        measures: Sequence[Measure],
        window_s: int,
        view: View,
        services: int = 0,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._url, self._measures, self._window_ns = url.rstrip("/"), tuple(measures), window_s * NS
        self._view, self._services, self._now_ns = view, services, now_ns
        self.faults = 0

    async def read(self, look: Look) -> Seen:
        fault_ns = self._view.opened_ns(look.incident_id) or look.since_ns
        through_ns = self._now_ns() - _LATE_NS
        start_ns = (fault_ns - BEFORE_NS) // self._window_ns * self._window_ns
        service = service_of(look.target)
        if not self._url or not _NAME.fullmatch(service):
            return Seen((), fault_ns, through_ns)
        found = [await self._indicator(one, service, start_ns, look.until_ns) for one in self._measures]
        return Seen(tuple(found), fault_ns, through_ns)

    async def illness(self, target: str) -> tuple[Illness, ...]:
        """Of the fleet and of the target's service; sizes from the topology, or the settings where those say more.

        Where neither knows a size it is 0: then the strictest share holds, one at a time, and three ill are too many.
        """
        since_ns, service = self._now_ns() - ILL_NS, service_of(target)
        ill = self._view.ill(since_ns)
        foreseen = len(self._view.touched(since_ns) - ill)
        members = max(self._services, self._view.services_seen())
        replicas = self._view.replicas_seen(service)
        return Illness("fleet", len(ill), members, foreseen), Illness(f"service:{service}", 0, replicas)

    async def is_well(self, target: str, since_ns: int) -> bool:
        now = self._now_ns()
        return now - self._view.through_ns < ILL_NS and service_of(target) not in self._view.touched(since_ns)

    async def _indicator(self, one: Measure, service: str, start_ns: int, end_ns: int) -> Indicator:
        query = one.query.replace("{service}", service)
        target = await self._windows(query, start_ns, end_ns)
        kind: Literal["peers", "history"] = "peers" if one.control else "history"
        if one.control:
            control = await self._windows(one.control.replace("{service}", service), start_ns, end_ns)
        else:
            past = [await self._windows(query, start_ns - n * _DAY_NS, end_ns - n * _DAY_NS) for n in (1, 7)]
            control = tuple(_mean(pair, day) for day, pair in zip(target, zip(*past, strict=True), strict=True))
        return Indicator(one.name, one.unit, 1 if one.worse == "up" else -1, one.goal, target, control, kind)

    async def _windows(self, query: str, start_ns: int, end_ns: int) -> tuple[Window, ...]:
        step = self._window_ns
        starts = range(start_ns, end_ns - step + 1, step)
        values = await asyncio.to_thread(self._ask, query, (start_ns + step) / NS, end_ns / NS)
        return tuple(
            Window(start, start + step, found := values.get((start + step) // NS, math.nan), float(found == found))
            for start in starts
        )

    def _ask(self, query: str, start_s: float, end_s: float) -> dict[int, float]:
        """Values by the second at which their window ends; empty where nothing can be read."""
        asked = {"query": query, "start": start_s, "end": end_s, "step": self._window_ns // NS}
        request = urllib.request.Request(f"{self._url}/api/v1/query_range", urllib.parse.urlencode(asked).encode())
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                told: Any = json.load(answer)
            series = told["data"]["result"]
            points = series[0]["values"] if len(series) == 1 else []
            return {round(float(at)): float(value) for at, value in points}
        except (OSError, urllib.error.URLError, ValueError, KeyError, TypeError, IndexError):
            self.faults += 1
            return {}


def _mean(pair: tuple[Window, ...], day: Window) -> Window:
    """The window of today with the mean of what was there on the other days."""
    values = [one.value for one in pair if not math.isnan(one.value)]
    value = sum(values) / len(values) if values else math.nan
    return Window(day.start_ns, day.end_ns, value, 1.0 if values else 0.0)
