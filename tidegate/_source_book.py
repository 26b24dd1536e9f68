"""What a gateway remembers of its senders since it started: when each spoke, how much, in how many of ten minutes.

In memory only: it answers "does anything arrive", not what did in the past; that is in the ledger and in the log.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.core import NS
from tidegate._principals import Principal

MINUTES = 10
_MINUTE_NS = 60 * NS
_MOST = 10_000
_MOST_SCHEMAS, OTHERS = 20, "<other>"


class Heard(NamedTuple):
    """One sender. last_ns: when it was last kept. per_minute: messages, mean of the last ten minutes or since it came.

    completeness: share of these minutes in which it spoke, 0 to 1.
    """

    source: str
    tenant: str
    trust: int
    last_ns: int
    messages: int
    bytes: int
    per_minute: float
    completeness: float
    usual_s: float | None
    """Mean seconds between its messages; None after only one."""
    schemas: dict[str, int]
    """How often the bodies that were looked at, one a minute, named which `schema_url`; empty string: none."""


@dataclass(slots=True)
class _Page:
    who: Principal
    first_ns: int
    last_ns: int = 0
    messages: int = 0
    bytes: int = 0
    minutes: dict[int, int] = field(default_factory=dict)
    schemas: dict[str, int] = field(default_factory=dict)
    looked_ns: int = -_MINUTE_NS


class SourceBook:
    """Any number of threads may write and read; of more than 10,000 senders the longest silent are forgotten."""

    def __init__(self) -> None:
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self._lock = threading.Lock()

    def heard(self, source: str, who: Principal, size: int, now_ns: int) -> None:
        """A message of so many bytes was kept."""
        with self._lock:
            page = self._pages.setdefault(source, _Page(who, now_ns))
            self._pages.move_to_end(source)
            while len(self._pages) > _MOST:
                self._pages.popitem(last=False)
            page.who, page.last_ns = who, now_ns
            page.messages, page.bytes = page.messages + 1, page.bytes + size
            minute = now_ns // _MINUTE_NS
            page.minutes[minute] = page.minutes.get(minute, 0) + 1
            for old in [m for m in page.minutes if m <= minute - MINUTES]:
                del page.minutes[old]

    def looks(self, source: str, now_ns: int) -> bool:
        """Whether it is time again to see which schemas a sender that was heard names; then it counts as done."""
        with self._lock:
            page = self._pages.get(source)
            if page is None or now_ns - page.looked_ns < _MINUTE_NS:
                return False
            page.looked_ns = now_ns
            return True

    def names(self, source: str, schemas: Mapping[str, int]) -> None:
        """A body of a sender named these schemas; beyond 20 they are one."""
        with self._lock:
            page = self._pages.get(source)
            if page is None:
                return
            for url, n in schemas.items():
                known = url if url in page.schemas or len(page.schemas) < _MOST_SCHEMAS else OTHERS
                page.schemas[known] = page.schemas.get(known, 0) + n

    def rows(self, now_ns: int, tenant: str | None = None) -> list[Heard]:
        """By source; of one tenant if one is named."""
        with self._lock:
            pages = [(name, page, dict(page.minutes), dict(page.schemas)) for name, page in sorted(self._pages.items())]
        found, now = [], now_ns // _MINUTE_NS
        for name, page, minutes, schemas in pages:
            if tenant not in (None, page.who.tenant):
                continue
            span = min(max(now - page.first_ns // _MINUTE_NS + 1, 1), MINUTES)
            spoken = {minute: n for minute, n in minutes.items() if now - span < minute <= now}
            found.append(Heard(
                name, page.who.tenant, page.who.trust, page.last_ns, page.messages, page.bytes,
                round(sum(spoken.values()) / span, 2), round(len(spoken) / span, 2),
                round((page.last_ns - page.first_ns) / NS / (page.messages - 1), 1) if page.messages > 1 else None,
                schemas,
            ))  # fmt: skip
        return found
