"""Budgets of false discoveries by team: which team a row is of, and which of its windows are discoveries.

Each team's series are judged by themselves, so what a noisy one spends is not missing to another, and each may state
its own share. Services that no team named have one budget together. How a budget works: `_fdr.py`.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from detectors._fdr import FdrLedger, FdrRule, discoveries
from schemas import SeriesDef
from schemas.core import I64, WindowBlock

UNKNOWN = -1
I16 = NDArray[np.int16]


class Teams:
    """rule: for the windows of one width."""

    def __init__(self, rule: FdrRule) -> None:
        self._teams = rule.teams
        names = ["", *sorted(set(rule.teams.values()))]
        self._numbers = {name: number for number, name in enumerate(names)}
        self._rules = [rule.of(name) for name in names]
        self._keys = ["", *(f"/{hashlib.sha256(name.encode()).hexdigest()[:16]}" for name in names[1:])]

    def numbers(self, known: I16, block: WindowBlock, defs: Mapping[int, SeriesDef]) -> I16:
        """Number of the team by row, with the rows of the block in it; -1 where nothing defined the series yet."""
        top = int(block.rows.max(initial=-1)) + 1
        if top > len(known):
            known = np.concatenate([known, np.full(top - len(known), UNKNOWN if self._teams else 0, np.int16)])
        for position in np.flatnonzero(known[block.rows] == UNKNOWN).tolist():
            definition = defs.get(int(block.series[position]))
            if definition is not None:
                known[block.rows[position]] = self._numbers[self._teams.get(definition.service, "")]
        return known

    def discoveries(
        self, ledgers: dict[str, FdrLedger], width_s: int, team: I16, judged: Sequence[I64],
        small: Sequence[tuple[float, int]], end_ns: int,
    ) -> list[bool | None]:  # fmt: skip
        """Which of the small p are discoveries; None where their team asks for no share.

        team: (n,) by position in the block. judged: positions that each detector looked at. small: p and position.
        """
        count = np.zeros(len(self._rules), np.int64)
        for positions in judged:
            if len(self._rules) == 1:
                count[0] += len(positions)
            else:
                count += np.bincount(np.maximum(team[positions], 0), minlength=len(count))
        p = np.array([one for one, _ in small])
        of = np.maximum(team[[position for _, position in small]], 0) if small else np.zeros(0, np.int64)
        upto: list[float | None] = [None] * len(self._rules)
        for number, rule in enumerate(self._rules):
            if rule.share and count[number]:
                ledger = ledgers.setdefault(f"{width_s}{self._keys[number]}", FdrLedger())
                upto[number] = discoveries(ledger, p[of == number], int(count[number]), end_ns, rule)
        bars = [upto[number] for number in of.tolist()]
        return [None if bar is None else one <= bar for one, bar in zip(p.tolist(), bars, strict=True)]
