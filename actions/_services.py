"""What is known of a service beyond its telemetry: tier, compliance labels, what is for people alone, who is there.

It comes from settings and shapes decisions, so it is part of the versions of a run.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from actions._errors import PolicyError
from actions._machine_types import Mode
from actions._names import HumanClass, Tier
from schemas import Json
from schemas.core import NS

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(
    r"^(?P<first>[a-z]{3})(-(?P<last>[a-z]{3}))? (?P<from>\d\d):(?P<fm>[0-5]\d)-(?P<to>\d\d):(?P<tm>[0-5]\d)$"
)
_RANK: dict[Tier, int] = {"low": 0, "standard": 1, "critical": 2}
DAY_NS = 24 * 3600 * NS
SERVICE_FACTS: dict[str, str] = {
    "namespace": "Kubernetes namespace of the service",
    "deployment": "its Deployment there",
    "cronjob": "its CronJob there, which may be run once more",
    "replicas": "how many replicas that wants on an ordinary day",
    "replicas_raised": "how many it may want for a while",
    "pool_server": "entity id of the PostgreSQL server that it uses",
    "pool_role": "the role under which it connects",
    "pool_limit": "how many connections that role may have on an ordinary day",
    "pool_raised": "how many it may have for a while",
}
"""What only its owners know of a service, and exact changes need. They come from settings, never from telemetry."""


class Hours(NamedTuple):
    """A weekly stretch in UTC. days: 1 is Monday. Minutes of the day, the end not included; 24:00 is 1440."""

    days: frozenset[int]
    from_min: int
    to_min: int

    @classmethod
    def parse(cls, text: str) -> "Hours":
        """`mon-fri 08:00-18:00` or `sat 10:00-14:00`. Raises PolicyError.

        >>> Hours.parse("sat-sun 22:00-24:00").to_min
        1440
        """
        found = _HOURS.match(text)
        first, last = (found["first"], found["last"] or found["first"]) if found else ("", "")
        if not found or first not in _DAYS or last not in _DAYS:
            raise PolicyError(
                f"'{text}' is no weekly stretch of time", todo="Write it as `mon-fri 08:00-18:00`, in UTC"
            )
        begin, end = int(found["from"]) * 60 + int(found["fm"]), int(found["to"]) * 60 + int(found["tm"])
        if not 0 <= begin < end <= 1440:
            raise PolicyError(f"'{text}' does not end after it begins, within one day", todo="Split it at midnight")
        start, n = _DAYS.index(first), (_DAYS.index(last) - _DAYS.index(first)) % 7 + 1
        return cls(frozenset((start + i) % 7 + 1 for i in range(n)), begin, end)

    def holds(self, at_ns: int) -> bool:
        return weekday_of(at_ns) in self.days and self.from_min <= at_ns % DAY_NS // (60 * NS) < self.to_min


@dataclass(frozen=True, slots=True)
class ServiceProfile:
    """One service. human_only: changes to it are for people alone, and why. on_call: when somebody is there; no
    stretch means always. facts: what runbooks may refer to, by the names of `SERVICE_FACTS`.
    """

    tier: Tier = "standard"
    labels: frozenset[str] = frozenset()
    human_only: frozenset[HumanClass] = frozenset()
    on_call: tuple[Hours, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)

    def is_staffed(self, at_ns: int) -> bool:
        return not self.on_call or any(hours.holds(at_ns) for hours in self.on_call)


STRANGER = ServiceProfile()
"""A service of which nothing was said."""


def highest_tier(tiers: Iterable[Tier]) -> Tier:
    """The most demanding of them; standard if there are none."""
    return max(tiers, key=lambda tier: _RANK[tier], default="standard")


def mode_of(modes: Mapping[str, Mode], verb: str, tier: Tier) -> Mode:
    """What the most specific of `verb@tier`, `verb`, `@tier`, `*` says; `act` where nothing does.

    >>> mode_of({"*": "advise", "@low": "act"}, "restart", "low")
    'act'
    """
    for key in (f"{verb}@{tier}", verb, f"@{tier}", "*"):
        if key in modes:
            return modes[key]
    return "act"


def weekday_of(at_ns: int) -> int:
    """Day of the week of an event time in UTC; 1 is Monday (1970-01-01 was a Thursday).

    >>> weekday_of(0)
    4
    """
    return (at_ns // DAY_NS + 3) % 7 + 1


def hour_of(at_ns: int) -> int:
    """Hour of the day in UTC, 0 to 23."""
    return at_ns % DAY_NS // (3600 * NS)
