"""Outcomes in, better numbers out: what is fitted here the rooms receive as records."""

from learning._ranker import Case, Evaluation, evaluate, fit_ranker, leave_group_out, ranks_of

__all__ = ["Case", "Evaluation", "evaluate", "fit_ranker", "leave_group_out", "ranks_of"]
