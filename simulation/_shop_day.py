"""What a day in the shop is: who is changed, which requests go another way, what gauges and lines say besides.

A day is one file in `simulation/shop_days/` with `PLUGIN = TheClass`; what it leaves out stays as on a quiet day. Times
are seconds since the shop began. All of it is a function of its arguments, so the same seed gives the same bytes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from schemas import ChangeKind
from schemas.core import F64, I64
from simulation._shop_plan import Call, Log


@dataclass(frozen=True, slots=True)
class Deploy:
    """A new version of a service; instances change over one after the other, `roll_s` apart, the first at once."""

    at_s: float
    title: str
    service: str
    version: str
    roll_s: float = 15.0
    kind: ChangeKind = "deploy"
    """Other kinds than a deploy change no version of the program: `version` is that of the configuration."""


class Entry(NamedTuple):
    """What the calendar knows of this day, for all services."""

    kind: Literal["maintenance", "peak", "freeze", "business"]
    title: str
    from_s: float
    to_s: float


class Way(NamedTuple):
    """Some requests that reach a service go another way.

    share: seconds (n,) and slots (n,) of the instances that serve -> share of those requests, 0 to 1, (n,). Ways take
    their shares one after the other. change: what becomes of a tree of calls; one left alone is not concerned.
    """

    service: str
    share: Callable[[F64, I64], F64]
    change: Callable[[Call], Call]
    is_new_only: bool = False
    """Only what the version serves that was deployed today."""


class Gauge(NamedTuple):
    """One reading; it stands in for the shop's own of that name."""

    name: str
    unit: str
    value: float


class Line(NamedTuple):
    """A log line of no request."""

    at_s: float
    log: Log


@dataclass(frozen=True, slots=True)
class Day:
    """A quiet day, and what others change of it."""

    kind: ClassVar[str] = "quiet"
    about: ClassVar[str] = "nothing happens"
    """One line for a list."""
    begins: ClassVar[str] = "nothing happens"
    """What happens at `at_s`, for people."""
    lasts_s: ClassVar[float] = 300.0
    """How long after `at_s` there is something to see."""
    noises: ClassVar[int] = 0
    """How many standard normal numbers `gauges` is given."""
    services: ClassVar[Mapping[str, str]] = {}
    """More services than the shop's, with their versions; no request reaches them."""

    at_s: float = 900.0

    @property
    def deploys(self) -> tuple[Deploy, ...]:
        return ()

    @property
    def calendar(self) -> tuple[Entry, ...]:
        return ()

    @property
    def cause(self) -> tuple[str, str, str] | None:
        """What people call it, the service and the kind of fault; None where nothing is broken."""
        return None

    @property
    def ways(self) -> tuple[Way, ...]:
        return ()

    def rate(self, at_s: float) -> float:
        """Traffic over that of a quiet day."""
        return 1.0

    def gauges(self, service: str, slot: int, at_s: float, noise: F64) -> Iterable[Gauge]:
        """What an instance reads besides, every ten seconds; noise: float64 (noises,)."""
        return ()

    def lines(self, service: str, slot: int, from_s: float, to_s: float) -> Iterable[Line]:
        """What an instance logs besides, in [from_s, to_s)."""
        return ()

    def is_heard(self, service: str, at_s: float) -> bool:
        """Whether the metrics of its instances of that time arrive."""
        return True

    def lost_spans(self, service: str, at_s: F64) -> F64:
        """Share of the spans of a service that end then and never arrive, (n,)."""
        return np.zeros(len(at_s))


def since(at_s: float, share: float, *, over_s: float = 0.0, slots: Iterable[int] = ()) -> Callable[[F64, I64], F64]:
    """A share from `at_s` on, grown to within `over_s`; slots: of those instances only, else of all.

    >>> since(10, 0.5, over_s=10)(np.array([5.0, 15.0, 30.0]), np.array([0, 0, 0])).tolist()
    [0.0, 0.25, 0.5]
    """
    only = tuple(slots)

    def shares(at: F64, slot: I64) -> F64:
        grown = np.clip((at - at_s) / over_s, 0.0, 1.0) if over_s > 0 else (at >= at_s).astype(float)
        found: F64 = share * (grown * np.isin(slot, only) if only else grown)
        return found

    return shares
