"""The network around inventory is cut: no call of it arrives. Itself it is well, and idle."""

from dataclasses import dataclass
from typing import ClassVar

from simulation.shop_days.network_partition import NetworkPartition


@dataclass(frozen=True, slots=True)
class NetworkCut(NetworkPartition):
    """As the partition, but every call is lost."""

    kind: ClassVar[str] = "network_cut"
    about: ClassVar[str] = "no call of inventory arrives; inventory itself is well, and idle"
    begins: ClassVar[str] = "the network around inventory is cut"

    lost: float = 1.0
    late: float = 0.0


PLUGIN = NetworkCut
