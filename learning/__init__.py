"""Outcomes in, better numbers out: what is fitted here the rooms receive as records."""

from learning._forecast import (
    Chosen,
    Event,
    Fitted,
    Grid,
    Interval,
    Rolled,
    choose,
    fitted,
    horizon,
    on_grid,
    pinball,
    roll,
)
from learning._forecast_models import MODELS, QUICK
from learning._ranker import Case, Evaluation, evaluate, fit_ranker, leave_group_out, ranks_of

__all__ = [
    "Case",
    "Chosen",
    "Evaluation",
    "Event",
    "Fitted",
    "Grid",
    "Interval",
    "MODELS",
    "QUICK",
    "Rolled",
    "choose",
    "evaluate",
    "fit_ranker",
    "fitted",
    "horizon",
    "leave_group_out",
    "on_grid",
    "pinball",
    "ranks_of",
    "roll",
]
