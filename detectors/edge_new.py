"""New edge: a service is called by one that never called it before.

Laplace's rule of succession: of all windows in which the callee was known, a new caller appeared in so many; the next
one has one with (those + 1) / (windows + 2). Callers of its first half hour are how it began, not news. Said once for
each edge. Opt-in: it is a fact for people, and no evidence of a cause by itself.
"""

import numpy as np

from detectors._contract import State
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, Bool, Scores, WindowBlock

BEGAN = 30.0
"""Windows of a callee in which whoever calls has called all along."""
MOST = 1e6


class EdgeNew:
    """On requests by caller and callee, from spans; the edges of one callee are judged together."""

    kind = "edge_new"
    version = "1"
    accepts_by_trait = True
    joins_entities = True
    anomaly: AnomalyKind = "edge_new"
    window_s = 60
    is_optional = True
    emit_p = 0.02
    """Weaker than usual: after an hour one new caller is as rare as it can be."""

    def accepts(self, series: SeriesDef) -> bool:
        return series.name == "edge.requests" and series.kind == "count"

    def initial(self, n: int) -> State:
        return {"entity": np.full(n, -1, np.int64), "age": np.zeros(n), "late": np.zeros(n)}

    def score(self, state: State, block: WindowBlock) -> Scores:
        """p in (0, 1], 1 for every edge that was seen before; residual: the requests of a new one."""
        fresh = _calls(block) & (state["age"] == 0)
        known, late = _of_callee(state)
        told = fresh & (known >= BEGAN)
        p = np.where(told, (late + 1.0) / (known + 2.0), 1.0)
        zero = np.where(told, 0.0, np.nan)
        return Scores(np.clip(p, 1e-300, 1.0), zero, np.where(told, block.total, np.nan), told.astype(np.int8))

    def learn(self, state: State, block: WindowBlock) -> State:
        fresh = _calls(block) & (state["age"] == 0)
        known, _ = _of_callee(state)
        age = np.where(state["age"] > 0, np.minimum(state["age"] + 1.0, MOST), fresh.astype(np.float64))
        return {**state, "age": age, "late": np.where(fresh & (known >= BEGAN), 1.0, state["late"])}


def _calls(block: WindowBlock) -> Bool:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(block.total) & (block.total > 0))


def _of_callee(state: State) -> tuple[F64, F64]:
    """Windows since the callee was first called, and callers that came later than that."""
    alone = -1 - np.arange(len(state["entity"]), dtype=np.int64)
    _, group = np.unique(np.where(state["entity"] < 0, alone, state["entity"]), return_inverse=True)
    group = np.asarray(group, np.int64)
    known = np.zeros(int(group.max(initial=-1)) + 1)
    np.maximum.at(known, group, state["age"])
    return known[group], np.asarray(np.bincount(group, weights=state["late"])[group], np.float64)


PLUGIN = EdgeNew
