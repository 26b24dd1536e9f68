"""Vanished log template: its share of the service's lines is improbably small. See `_templates_rate.py`."""

from detectors._contract import State
from detectors._shares import lower
from detectors._templates_rate import TemplateRate, is_whole, scores
from schemas import AnomalyKind
from schemas.core import Scores, WindowBlock

LEAST_EXPECTED = 3.0
"""Lines; below, silence says nothing."""


class TemplateVanished(TemplateRate):
    """p of at most so many lines, where at least 3 are expected at this load."""

    kind = "template_vanished"
    anomaly: AnomalyKind = "template_vanished"

    def score(self, state: State, block: WindowBlock) -> Scores:
        part = self.part(state, block)
        return scores(
            block, part, lower(part), (part.expected >= LEAST_EXPECTED) & ~self.is_new(state) & is_whole(block)
        )


PLUGIN = TemplateVanished
