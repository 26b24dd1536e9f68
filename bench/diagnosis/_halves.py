"""One half of the incidents fits, the other is scored, and the other way round; and what was fitted on one set alone.

For whoever will run `--train D2 --data D` on data that nobody here has seen: the same path, on a split of what is here
by a hash of the incident. The last part fits on Nezha alone and scores the other sets, as it is with a new system.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from bench.diagnosis._fit import train
from bench.diagnosis._score import Said, pooled, trained_set
from bench.diagnosis._sets import Found

SOURCE = "nezha_tt"


def halves(sets: Mapping[str, Found]) -> dict[str, Any]:
    """Figures by direction, then by set."""
    first, second = ({name: _half(found, part) for name, found in sets.items()} for part in (0, 1))
    others = {name: found for name, found in sets.items() if name != SOURCE}
    document = {"first_fits_second": _scored(first, second), "second_fits_first": _scored(second, first)}
    if SOURCE in sets and others:
        document["nezha_tt_fits_others"] = _scored({SOURCE: sets[SOURCE]}, others)
    return document


def _half(found: Found, part: int) -> Found:
    mine = [one for one in found.incidents if hashlib.sha256(one.id.encode()).digest()[0] % 2 == part]
    kept = {one.id for one in mine}
    known = {one.id for one in found.incidents}
    return Found(mine, [quiet for quiet in found.quiet if quiet.name in kept or quiet.name not in known])


def _scored(fits: Mapping[str, Found], scored: Mapping[str, Found]) -> dict[str, Any]:
    fitted = train({name: found for name, found in fits.items() if found.incidents}, list(scored))
    document: dict[str, Any] = {}
    said: list[Said] = []
    for name, found in scored.items():
        if found.incidents:
            one = fitted[name]
            document[name], mine = trained_set(found, one.model, one.curve, one.without)
            said += mine
    return document | {"pooled": pooled(said)}
