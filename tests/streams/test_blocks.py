import numpy as np
import pytest
from support.windows import COLUMNS, START, definition, frame

from schemas.core import NS
from streams import Windower, WindowState
from streams._blocks import BlockGone


def closing(panes=3, n=8):
    windower, state = Windower("test"), WindowState()
    for k in range(panes):
        samples = [(i, START + k * 10 * NS, float(i + k)) for i in range(n)]
        windower.add(state, frame(samples, [definition(i) for i in range(n)]))
    return windower.close(state, START + panes * 10 * NS)


def test_a_part_of_a_block_has_the_columns_of_its_rows(monkeypatch):
    for few in (0, 100):
        monkeypatch.setattr("streams._blocks.FEW", few)
        for block in closing():
            at = np.array([5, 2])
            parts = [block.take(at), block.take(np.isin(block.rows, [2, 5]))]
            for name in COLUMNS:
                first, second = (getattr(part, name) for part in parts)
                assert np.array_equal(first[::-1], second, equal_nan=True)
                assert np.array_equal(getattr(block, name)[at], first, equal_nan=True)


def test_a_window_of_a_minute_is_the_sum_of_its_panes():
    minutes = [block.total.copy() for block in closing() if block.end_ns - block.start_ns == 60 * NS]
    assert minutes[-1][:2].tolist() == [0 + 1 + 2, 1 + 1]  # series 1 is cumulative: its increases


def test_what_was_not_read_of_a_block_in_time_is_gone_and_says_so():
    blocks = list(closing())
    with pytest.raises(BlockGone, match="read too late"):
        _ = blocks[0].total
    assert blocks[-1].total.sum() > 0
