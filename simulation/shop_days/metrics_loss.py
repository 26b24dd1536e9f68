"""The bad deploy, while the metrics of a service that checkout calls no longer arrive, as when an agent hangs.

Its spans and lines arrive, so it is there; what its metrics would have shown nobody knows.
"""

from dataclasses import dataclass
from typing import ClassVar

from simulation.shop_days.bad_deploy import BadDeploy


@dataclass(frozen=True, slots=True)
class MetricsLoss(BadDeploy):
    """As the bad deploy, and from `before_s` before it on no metrics of `unheard` arrive."""

    kind: ClassVar[str] = "metrics_loss"
    about: ClassVar[str] = "the bad deploy, while the metrics of inventory do not arrive"
    begins: ClassVar[str] = "checkout 1.9.0 is deployed; nothing was heard of the metrics of inventory for a minute"

    unheard: str = "inventory"
    before_s: float = 60.0

    def is_heard(self, service: str, at_s: float) -> bool:
        return service != self.unheard or at_s < self.at_s - self.before_s


PLUGIN = MetricsLoss
