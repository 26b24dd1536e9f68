"""The plant: targets with a true state that nobody in the house can see but by reading, acting and measuring.

A target has episodes of illness, each with the change that would end it, replicas, and a setting that changes write.
A change that is the cure ends its episode after a while; one that is not may do harm, which ends when it is taken
back. Every write that a target takes is kept with its time: that is the truth which the oracle judges by, and no line
of it comes from the ledger. How a target meets a repeat is its effect class: a conditional one compares versions, a
keyed one knows the key, an absolute one ends in the same setting, an unsafe one does it again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from schemas.core import NS

Class = Literal["conditional", "keyed", "naturally_idempotent", "unsafe"]
Way = Literal["do", "undo"]
FOREVER = 1 << 62


class Mark(NamedTuple):
    """What a write leaves on its target: whose it was."""

    key: str
    step: int


class Written(NamedTuple):
    """One write that a target took, as it truly happened."""

    at_ns: int
    target: str
    key: str
    step: int
    way: Way
    epoch: int
    setting: str
    was_healthy: int
    """Replicas that served, before it."""
    are_healthy: int
    """And after it."""
    replicas: int
    sent_ns: int
    """When it left for the target; a slow target takes it later."""
    kind: Class
    found: str
    """The setting that it overwrote."""


@dataclass(slots=True)
class Illness:
    """An episode in which `ratio` is added to the target's error ratio. `cure`: the setting that ends it, empty where
    there is none. It may also end by itself.
    """

    begin_ns: int
    ratio: float
    cure: str = ""
    end_ns: int = FOREVER
    cured_by: tuple[str, int] | None = None


BETWEEN = "by hand"
"""What a person sets between the gateway's look and its write; whoever writes without a condition cannot see it."""


@dataclass(slots=True)
class Target:
    """replicas: how many there are. setting: what the last write left. version: one more with
    every write, whoever wrote. settle_ns: how long a write takes until it shows.
    """

    id: str
    kind: Class
    base: float = 0.002
    replicas: int = 10
    settle_ns: int = 20 * NS
    setting: str = "as declared"
    version: int = 1
    mark: Mark | None = None
    way: Way = "do"
    epoch: int = 0
    illnesses: list[Illness] = field(default_factory=list)
    harms: dict[tuple[str, int], Illness] = field(default_factory=dict)
    away: dict[tuple[str, int], int] = field(default_factory=dict)
    """Replicas that changes have taken out of service, until they are back."""
    keys: set[tuple[str, int, Way]] = field(default_factory=set)

    @property
    def healthy(self) -> int:
        """Replicas that serve."""
        return max(0, self.replicas - sum(self.away.values()))

    def ratio(self, at_ns: int) -> float:
        """The true error ratio, 0 to 1."""
        ill = 0.0
        for one in self.illnesses:  # asked of every target at every look: no generator for each
            if one.begin_ns <= at_ns < one.end_ns:
                ill += one.ratio
        return min(1.0, self.base + ill)

    def is_ill(self, at_ns: int) -> bool:
        return any(one.begin_ns <= at_ns < one.end_ns for one in self.illnesses)


class Plant:
    """All targets and all writes. `harm`: error ratio that a change does which cures nothing, by its setting."""

    def __init__(self, targets: list[Target]) -> None:
        self.targets = {one.id: one for one in targets}
        self.written: list[Written] = []
        self.on_write: Callable[[Written], None] = lambda one: None
        self.harm: dict[str, float] = {}
        self.costs: dict[str, int] = {}
        """Replicas that a setting takes out of service."""

    def write(self, target_id: str, mark: Mark, way: Way, epoch: int, setting: str, now_ns: int, sent_ns: int) -> bool:
        """Take a write; False where the target itself knows that it has it already (keyed)."""
        target, name = self.targets[target_id], (mark.key, mark.step)
        if target.kind == "keyed" and (*name, way) in target.keys:
            return False
        target.keys.add((*name, way))
        was, left = target.healthy, target.setting
        target.setting, target.mark, target.way, target.epoch = setting, mark, way, epoch
        target.version += 1
        if way == "do":
            target.away[name] = self.costs.get(setting, 0)
            self._take_effect(target, name, setting, now_ns)
        else:
            target.away.pop(name, None)
            self._take_back(target, name, now_ns)
        one = Written(
            now_ns, target_id, *name, way, epoch, setting, was, target.healthy, target.replicas, sent_ns, target.kind,
            left,
        )  # fmt: skip
        self.written.append(one)
        self.on_write(one)
        return True

    def come_back(self, target_id: str, key: str, step: int) -> None:
        """The replicas that a change took are up again."""
        self.targets[target_id].away.pop((key, step), None)

    def overwrite(self, target_id: str, setting: str) -> None:
        """Somebody else changes the target: our mark is gone."""
        target = self.targets[target_id]
        target.setting, target.mark = setting, None
        target.version += 1

    def _take_effect(self, target: Target, name: tuple[str, int], setting: str, now_ns: int) -> None:
        shows_ns = now_ns + target.settle_ns
        for one in target.illnesses:
            if one.cure == setting and one.begin_ns <= now_ns and one.end_ns > shows_ns:
                one.end_ns, one.cured_by = shows_ns, name
        if harm := self.harm.get(setting):
            target.harms[name] = Illness(shows_ns, harm)
            target.illnesses.append(target.harms[name])

    def _take_back(self, target: Target, name: tuple[str, int], now_ns: int) -> None:
        shows_ns = now_ns + target.settle_ns
        if harm := target.harms.pop(name, None):
            harm.end_ns = min(harm.end_ns, shows_ns)
        for one in [one for one in target.illnesses if one.cured_by == name]:
            one.cured_by = None
            target.illnesses.append(Illness(shows_ns, one.ratio, one.cure))
