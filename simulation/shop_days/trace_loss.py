"""The bad deploy, while no spans of a service that checkout calls arrive any more, as when its exporter gives up.

Its metrics and lines arrive, so it is there; what its spans would have shown nobody knows. Unlike metrics, spans are
counted: none may mean that nobody called.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from schemas.core import F64
from simulation.shop_days.bad_deploy import BadDeploy


@dataclass(frozen=True, slots=True)
class TraceLoss(BadDeploy):
    """As the bad deploy, and from `before_s` before it on no spans of `unheard` arrive."""

    kind: ClassVar[str] = "trace_loss"
    about: ClassVar[str] = "the bad deploy, while the spans of inventory do not arrive"
    begins: ClassVar[str] = "checkout 1.9.0 is deployed; nothing was seen of the spans of inventory for four minutes"

    unheard: str = "inventory"
    before_s: float = 240.0

    def lost_spans(self, service: str, at_s: F64) -> F64:
        return np.where((service == self.unheard) & (at_s >= self.at_s - self.before_s), 1.0, 0.0)


PLUGIN = TraceLoss
