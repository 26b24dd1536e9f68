"""From a series that the windower made to those that sources sent: the former is in no frame, the latter are."""

from collections.abc import Mapping

import numpy as np

from schemas import series_id
from schemas.core import U64
from streams import _means, _quantiles, _statuses


def made_of(tenant: str, entity_id: str, name: str, labels: Mapping[str, str]) -> U64:
    """Ids (n,) that the parts of a series of this name can have; none where the windower makes no such series.

    >>> made_of("default", "default/service/a", "x_seconds_mean", {}) == [
    ...     series_id("default", "default/service/a", name, {}) for name in ("x_seconds_sum", "x_seconds_count")
    ... ]
    array([ True,  True])
    """
    parts = (
        *_means.parts_of(name, labels), *_statuses.parts_of(name, labels), *_quantiles.parts_of(name, labels),
    )  # fmt: skip
    ids = [series_id(tenant, entity_id, part, of) for part, of in parts]
    return np.array(ids, np.uint64)
