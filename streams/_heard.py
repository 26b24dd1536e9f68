"""Who of a service still speaks when some of its series fall silent: a replica that is gone is no deaf service.

Counted only when a silence is found, of one signal: a service whose spans still come has no metrics all the same.
Series of instances are known by their numbers; the others are looked through by their definitions, at most `MOST` of
them, oldest first: what lies beyond is taken as silent.
"""

from collections import Counter
from collections.abc import Collection

import numpy as np
from pydantic_core import to_json as dumps

from schemas import SeriesDef
from streams._window_state import SIGNALS, WindowState

MOST = 20_000
Voice = tuple[str, str, str]
"""Tenant and plain name of a service, and a signal."""


def heard(state: WindowState, voices: Collection[Voice]) -> Counter[Voice]:
    """How many series of each of these services and signals are expected to go on."""
    found: Counter[Voice] = Counter()
    for signal in sorted({signal for *_, signal in voices}):
        services = {(tenant, service) for tenant, service, of in voices if of == signal}
        for service, count in _heard(state, services, SIGNALS.index(signal)).items():
            found[(*service, signal)] = count
    return found


def _heard(state: WindowState, services: Collection[tuple[str, str]], signal: int) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    speaking = np.flatnonzero(state.voices().is_expected & (state.signal == signal))
    owner = np.full(len(state.registry), -1, np.int32)
    owner[: len(state.successors.owner)] = state.successors.owner
    instances = state.successors.instances
    counts = np.bincount(owner[speaking][owner[speaking] >= 0], minlength=len(instances)).tolist()
    for instance, count in zip(instances, counts, strict=True):
        if count and (instance.tenant, instance.service) in services:
            found[instance.tenant, instance.service] += count
    open_ = {service: _named(*service) for service in services if not found[service]}
    for row in speaking[owner[speaking] < 0][:MOST].tolist() if open_ else ():
        text = state.registry.definition_text(row)
        found.update(service for service, names in open_.items() if all(name in text for name in names))
    return found


def _named(tenant: str, service: str) -> tuple[bytes, bytes]:
    """How both stand in the text of a definition."""
    return b'"tenant":%b' % dumps(tenant), b'"service":%b' % dumps(service)


def voice_of(series: SeriesDef) -> Voice:
    return series.tenant, series.service, series.signal
