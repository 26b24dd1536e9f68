"""The simulated plant: real bytes and the production code of the rooms on a virtual clock, without threads or waiting.

Two plants: a shop whose telemetry `demo` plays (`shop`, `truth`), and targets that fall ill and are acted upon while
everything around them fails (`run_seeds`). Pure and seeded, no clock and no global randomness.
"""

from simulation._bugs import Bug, Found, hunt, planted
from simulation._catalogue import catalogue
from simulation._faults import KINDS, Level, draw_faults
from simulation._oracle import Violation
from simulation._runs import Sum, run_seed, run_seeds, shrink
from simulation._shop import BadDeploy, Deploy, shop, truth
from simulation._world import Outcome

__all__ = [
    "KINDS",
    "BadDeploy",
    "Bug",
    "Deploy",
    "Found",
    "Level",
    "Outcome",
    "Sum",
    "Violation",
    "catalogue",
    "draw_faults",
    "hunt",
    "planted",
    "run_seed",
    "run_seeds",
    "shop",
    "shrink",
    "truth",
]
