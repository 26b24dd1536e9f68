"""A new version of accounts finds fault with what it was always sent: 422 on one endpoint, no failure of its own.

Nothing answers 5xx, nothing is slower, and nobody logs an error: to watchers of failures the day is quiet.
"""

from dataclasses import dataclass
from typing import ClassVar

from simulation._shop_day import Day, Deploy, Way, since
from simulation._shop_tree import refusing

_SERVICE = "accounts"


@dataclass(frozen=True, slots=True)
class Silent422(Day):
    """At `at_s` accounts 4.7.0 is deployed; it answers `ratio` of what reaches it with 422."""

    kind: ClassVar[str] = "silent_422"
    about: ClassVar[str] = "a new version of accounts answers 422 on one endpoint; no failure, no line, no delay"
    begins: ClassVar[str] = "accounts 4.7.0 is deployed"

    ratio: float = 0.15

    @property
    def deploys(self) -> tuple[Deploy, ...]:
        return (Deploy(self.at_s, "deploy #310", _SERVICE, "4.7.0"),)

    @property
    def cause(self) -> tuple[str, str, str] | None:
        return "deploy #310", _SERVICE, "change"

    @property
    def ways(self) -> tuple[Way, ...]:
        return (
            Way(_SERVICE, since(self.at_s, self.ratio), lambda c: refusing(c, _SERVICE, 422), is_new_only=True),
        )  # fmt: skip


PLUGIN = Silent422
