"""The simulated plant: real bytes and the production code of the rooms on a virtual clock, without threads or waiting.

Two plants: a shop whose days `demo` plays (`shop`, `days`, `truth`), and targets that fall ill and are acted upon while
everything around them fails (`run_seeds`). Pure and seeded, no clock and no global randomness.
"""

from simulation._bugs import Bug, Found, hunt, planted
from simulation._catalogue import catalogue
from simulation._faults import KINDS, Level, draw_faults
from simulation._oracle import Violation
from simulation._runs import Sum, run_seed, run_seeds, shrink
from simulation._shop import shop, truth
from simulation._shop_day import Day, Deploy
from simulation._shop_days import days
from simulation._world import Outcome
from simulation.shop_days.bad_deploy import BadDeploy

__all__ = [
    "KINDS",
    "BadDeploy",
    "Bug",
    "Day",
    "Deploy",
    "Found",
    "Level",
    "Outcome",
    "Sum",
    "Violation",
    "catalogue",
    "days",
    "draw_faults",
    "hunt",
    "planted",
    "run_seed",
    "run_seeds",
    "shop",
    "shrink",
    "truth",
]
