"""Burst of a known log template: its share of the service's lines is improbably large. See `_templates_rate.py`."""

from detectors._contract import State
from detectors._shares import upper
from detectors._templates_rate import TemplateRate, is_whole, scores
from schemas import AnomalyKind
from schemas.core import Scores, WindowBlock


class TemplateBurst(TemplateRate):
    """p of at least so many lines, for templates that were seen before."""

    kind = "template_burst"
    anomaly: AnomalyKind = "template_burst"

    def score(self, state: State, block: WindowBlock) -> Scores:
        part = self.part(state, block)
        return scores(block, part, upper(part), ~self.is_new(state) & is_whole(block))


PLUGIN = TemplateBurst
