"""Outcomes in, better numbers out: what is fitted here the rooms receive as records."""

from learning._calibrate import (
    OWN_OUTCOMES,
    Outcome,
    Reliability,
    fit_calibration,
    reliability,
    risk_coverage,
    shrunk,
)
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
from learning._forecast_models import (
    MODELS,
    QUICK,
)
from learning._history import (
    Past,
    fit_history,
    with_patterns,
)
from learning._ranker import (
    PRIOR,
    Case,
    Evaluation,
    evaluate,
    fit_ranker,
    leave_group_out,
    ranks_of,
)

__all__ = [
    "Case",
    "Chosen",
    "Evaluation",
    "Event",
    "Fitted",
    "Grid",
    "Interval",
    "MODELS",
    "OWN_OUTCOMES",
    "Outcome",
    "PRIOR",
    "Past",
    "QUICK",
    "Reliability",
    "Rolled",
    "choose",
    "evaluate",
    "fit_calibration",
    "fit_history",
    "fit_ranker",
    "fitted",
    "horizon",
    "leave_group_out",
    "on_grid",
    "pinball",
    "ranks_of",
    "reliability",
    "risk_coverage",
    "roll",
    "shrunk",
    "with_patterns",
]
