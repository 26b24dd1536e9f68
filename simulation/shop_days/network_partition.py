"""The network around inventory loses packets: calls of it take long on the way or never arrive.

Itself it is well: what reaches it, it serves at its usual speed, so to restart it would cure nothing. A lost packet is
sent again after 200 ms, the least that Linux waits (RFC 6298 says a second); a call lost altogether costs its caller
three seconds. Called from three sides: catalogue, cart and checkout.
"""

from dataclasses import dataclass
from typing import ClassVar

from simulation._shop_day import Day, Way, since
from simulation._shop_tree import delayed, unreachable

_SERVICE = "inventory"


@dataclass(frozen=True, slots=True)
class NetworkPartition(Day):
    """Half of the calls of inventory are sent again on the way, and one in twelve never arrives."""

    kind: ClassVar[str] = "network_partition"
    about: ClassVar[str] = "calls of inventory lose time or never arrive; inventory itself is well"
    begins: ClassVar[str] = "the network around inventory begins to lose packets"

    lost: float = 0.08
    late: float = 0.5
    """Shares of the calls, from `at_s` on."""

    @property
    def cause(self) -> tuple[str, str, str] | None:
        return "packets lost", _SERVICE, "network"

    @property
    def ways(self) -> tuple[Way, ...]:
        return (
            Way(_SERVICE, since(self.at_s, self.lost), lambda call: unreachable(call, _SERVICE, 3000.0)),
            Way(_SERVICE, since(self.at_s, self.late), lambda call: delayed(call, _SERVICE, 200.0)),
        )


PLUGIN = NetworkPartition
