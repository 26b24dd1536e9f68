"""The contract of a detector: arrays in, arrays out, for all series of a partition at once.

`score` first and learning nothing, *then* `learn`: a window is never judged by a baseline that has seen it. `p` is a
tail probability, so one threshold means the same for every detector. State is a dict of arrays whose first axis is
the series, so growing, snapshots and moving shards need no code in a detector.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from schemas import AnomalyKind, SeriesDef
from schemas.core import I64, Scores, WindowBlock

State = dict[str, NDArray[Any]]


class Detector(Protocol):
    """A plug-in in `detectors/`; its module says `PLUGIN = TheClass`, which is called without arguments.

    kind: its name. version: changes whenever its answers may. anomaly: the kind of anomaly it reports.
    window_s: 10, 60 or 120, the windows it wants (all slide by 10 s; it learns from tumbling ones only).

    It may also say:
    is_optional = True: it runs only where the settings name it, because it costs more than every series is worth.
    emit_p: from which p on its anomalies are worth a record, if that is weaker than what the pipeline says.
    accepts_by_trait = True: `accepts` looks at nothing but name, unit, signal, kind, temporality, is_event,
        is_histogram, bounds, trust and whether there is a denominator. Then it is asked once for all series that
        agree in those, else once for each.
    joins_entities = True: it judges all its series of an entity together. Its state has a column `entity`, int64 (n,),
        -1 where nobody said; it is filled when a series is first seen, with a number that is the entity's everywhere.
        If it is `Grouping`, `entity` is the number of the group; a column `role`, int64 (n,), says what each is in it.
    continuous: the level at which its p is uniform on noise, neither too small nor too large, once its tail is known.
        Most are on the safe side only; a tail taken as exponential is too large further out (docs/detectors.md).
    every_s: it wants only tumbling windows that begin at a multiple of this many seconds, because it looks at what
        takes hours and should cost little.
    It may be `Choosy` or `Quick`. Columns of a block are computed when they are read: read those that you need.
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


@runtime_checkable
class Choosy(Protocol):
    """A detector that tells cheaply which rows cannot matter."""

    def may_matter(self, state: State, block: WindowBlock, p: float) -> I64:
        """Positions int64, ascending: all rows whose p may be below `p`, perhaps others too; learns nothing.

        Only those are scored then, so `score` must answer a row the same whatever other rows are there.
        """
        ...


@runtime_checkable
class Grouping(Protocol):
    """A detector that joins series by more than their entity; asked once, when a series is first seen."""

    def group(self, series: SeriesDef) -> str:
        """The same text for all series that are judged together."""
        ...

    def role(self, series: SeriesDef) -> int:
        """What the series is in its group; 0 or more."""
        ...


@runtime_checkable
class Quick(Protocol):
    """A detector that has compiled code."""

    def use_kernels(self) -> None:
        """Compiled code may be used from now on, for the same answers. Raises ModuleNotFoundError without numba."""
        ...


def grow(detector: Detector, state: State, n: int) -> State:
    """The state with room for n series, old rows unchanged; no-op if it has them."""
    have = len(next(iter(state.values())))
    if have >= n:
        return state
    fresh = detector.initial(n - have)
    return {name: np.concatenate([column, fresh[name]]) for name, column in state.items()}
