"""New log template: lines that the service never wrote in all the lines we know of. Why by share: `_templates_rate.py`.

Laplace's rule of succession for clumps of lines: after n of them without one, the next has it with 1 / (n + 2).
"""

from detectors._contract import State
from detectors._shares import upper
from detectors._templates_rate import TemplateRate, scores
from schemas import AnomalyKind
from schemas.core import Scores, WindowBlock


class TemplateNew(TemplateRate):
    """p of so many lines of something never seen; needs any history of the service's lines, be it one minute."""

    kind = "template_new"
    anomaly: AnomalyKind = "template_new"

    def score(self, state: State, block: WindowBlock) -> Scores:
        part = self.part(state, block)
        return scores(block, part, upper(part), self.is_new(state) & (part.k > 0))


PLUGIN = TemplateNew
