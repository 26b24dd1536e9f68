"""The bad deploy, while one span in twenty is lost on its way, as exporters do that are pressed by a surge.

Lost are spans of all services alike, from the deploy on; lines and metrics arrive.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from schemas.core import F64
from simulation.shop_days.bad_deploy import BadDeploy


@dataclass(frozen=True, slots=True)
class SpanLoss(BadDeploy):
    """As the bad deploy, and from `at_s` on `lost` of the spans never arrive."""

    kind: ClassVar[str] = "span_loss"
    about: ClassVar[str] = "the bad deploy, and from then on one span in twenty is lost"
    begins: ClassVar[str] = "checkout 1.9.0 is deployed and exporters begin to lose spans"

    lost: float = 0.05

    def lost_spans(self, service: str, at_s: F64) -> F64:
        return np.where(at_s >= self.at_s, self.lost, 0.0)


PLUGIN = SpanLoss
