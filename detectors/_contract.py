"""The contract of a detector: arrays in, arrays out, for all series of a partition at once.

`score` first and learning nothing, *then* `learn`: a window is never judged by a baseline that has seen it. `p` is a
tail probability, so one threshold means the same for every detector. State is a dict of arrays whose first axis is
the series, so growing, snapshots and moving shards need no code in a detector.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas import AnomalyKind, SeriesDef
from schemas.core import Scores, WindowBlock

State = dict[str, NDArray[Any]]


class Detector(Protocol):
    """A plug-in in `detectors/`; its module says `PLUGIN = TheClass`, which is called without arguments.

    kind: its name. version: changes whenever its answers may. anomaly: the kind of anomaly it reports.
    window_s: 10, 60 or 120, the windows it wants (all slide by 10 s; it learns from tumbling ones only). It may say
    `emit_p`: from which p on its anomalies are worth a record, if that is weaker than what the pipeline says.
    """

    kind: str
    version: str
    anomaly: AnomalyKind
    window_s: int

    def accepts(self, series: SeriesDef) -> bool:
        """Whether it looks at this series at all; a pure function of the definition."""
        ...

    def initial(self, n: int) -> State:
        """State of n series that nothing is known of; every array has first axis n."""
        ...

    def score(self, state: State, block: WindowBlock) -> Scores:
        """Score the window of every series of the block; state rows and block rows correspond; learns nothing."""
        ...

    def learn(self, state: State, block: WindowBlock) -> State:
        """Take the window into the baseline. The passed state is given up (its arrays may be reused)."""
        ...


def grow(detector: Detector, state: State, n: int) -> State:
    """The state with room for n series, old rows unchanged; no-op if it has them."""
    have = len(next(iter(state.values())))
    if have >= n:
        return state
    fresh = detector.initial(n - have)
    return {name: np.concatenate([column, fresh[name]]) for name, column in state.items()}
