"""Host PCA: what the usual ways in which the gauges of one entity move together do not explain.

Dimensions of a host move together: load goes up, and with it processor, network and queues. The directions in which
they do are learned as principal components of the departures from hour and level (`host_residual.py`), one window at a
time, without a covariance matrix (candid covariance-free incremental PCA); only those count that explain more than one
dimension would by itself (Kaiser's rule), or few dimensions would have nothing left. What is left beside them is the
departure of the host; its square, dimension by dimension, is what each contributes, so the three that contribute most
carry it. p is that of its logarithm in the host's own history. Departures are clipped before they are learned from, or
a fault would be a component the next minute. 320 bytes a series. Opt-in; on public machines `host_residual` finds more
(docs/detectors.md), for one dimension's noise is spread over all.

Source: Weng, Zhang, Hwang, Candid Covariance-free Incremental Principal Component Analysis, IEEE PAMI 25(8), 2003, with
the amnesic mean of its section 2; squared prediction error: Jackson and Mudholkar, Technometrics 21(3), 1979.
"""

import numpy as np

from detectors._contract import State
from detectors.host_residual import Departures, HostResidual, Joined, departures
from schemas.core import F64, I64, NS, WindowBlock

COMPONENTS = 4
CLIP_Z = 4.0
AMNESIC = 2.0  # from the paper: weights the newest threefold
FORGET_H = 167.0
"""Time constant of a component, in hours of windows, once it was seen for longer."""
KAISER = 1.5  # a little above 1, so that chance alone makes no component
TRUSTED = 200.0
"""Windows before components are taken off."""
HOUR_NS = 3600 * NS


class HostPca(HostResidual):
    """As `host_residual`; each component is a column of loadings, one a series."""

    kind = "host_pca"
    version = "1"

    def initial(self, n: int) -> State:
        loadings = {f"loading_{k}": np.zeros(n) for k in range(COMPONENTS)}
        return {**super().initial(n), **loadings, "learned": np.zeros(n), "power": np.zeros(n)}

    def whole(self, state: State, part: Departures) -> Joined:
        """size: root of the mean squared residual of an entity; rank 0: the row that contributes most."""
        group = _groups(state["entity"])
        left = residuals(state, part.z, group)
        counts = np.bincount(group)
        size = np.sqrt(np.bincount(group, weights=left**2) / np.maximum(counts, 1))
        order = np.lexsort((-np.abs(left), group))
        rank = np.empty(len(left), np.int64)
        rank[order] = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
        return Joined(group, size, rank)

    def learn(self, state: State, block: WindowBlock) -> State:
        part = departures(state, block)
        group = _groups(state["entity"])
        seen = np.isfinite(block.mean) & (np.abs(np.nan_to_num(block.mean, nan=np.inf)) < 1e150) & (part.z != 0)
        any_seen = (np.bincount(group, weights=seen) > 0)[group]
        fresh = super().learn(state, block)
        n = state["learned"] + any_seen
        gain = np.maximum((1.0 + AMNESIC) / np.maximum(n, 1.0), (block.end_ns - block.start_ns) / (FORGET_H * HOUR_NS))
        gain = np.where(any_seen, np.minimum(gain, 1.0), 0.0)
        left = np.clip(part.z, -CLIP_Z, CLIP_Z)
        fresh["power"] = state["power"] + gain * (left**2 - state["power"])
        for k in range(COMPONENTS):
            loading = state[f"loading_{k}"]
            norm = _norm(loading, group)
            along = np.bincount(group, weights=left * loading)[group] / np.maximum(norm, 1e-12)
            target = np.where(norm > 1e-12, along * left, left)
            fresh[f"loading_{k}"] = (1.0 - gain) * loading + gain * target
            new = _norm(fresh[f"loading_{k}"], group)
            unit = fresh[f"loading_{k}"] / np.maximum(new, 1e-12)
            left = left - np.bincount(group, weights=left * unit)[group] * unit
        return {**fresh, "learned": n}


def residuals(state: State, z: F64, group: I64) -> F64:
    """What the components of each group leave of its departures z, float64 (n,), as unclipped as they are."""
    left = z.copy()
    counts = np.maximum(np.bincount(group), 1)
    power = (np.bincount(group, weights=state["power"]) / counts)[group]
    for k in range(COMPONENTS):
        loading = state[f"loading_{k}"]
        explains = _norm(loading, group)  # the length of a component is its variance
        unit = loading / np.maximum(explains, 1e-12)
        taken = left - np.bincount(group, weights=left * unit)[group] * unit
        left = np.where((state["learned"] >= TRUSTED) & (explains > KAISER * power), taken, left)
    return left


def _norm(loading: F64, group: I64) -> F64:
    return np.asarray(np.sqrt(np.bincount(group, weights=loading**2))[group])


def _groups(entity: I64) -> I64:
    alone = -1 - np.arange(len(entity), dtype=np.int64)
    return np.asarray(np.unique(np.where(entity < 0, alone, entity), return_inverse=True)[1], np.int64)


PLUGIN = HostPca
