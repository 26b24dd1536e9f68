"""Compiled code made ready beforehand changes nothing but when it is loaded."""

from support.pipeline import recorded_shop

from tidegate._pipeline import build
from tidegate._replay import replay
from tidegate._settings import Settings
from tidegate._warm import warm


def test_warmed_stages_answer_as_cold_ones_and_remember_nothing() -> None:
    settings = Settings()
    warmed = build(settings)
    warm(warmed.stages, settings.streams.core())
    cold = replay(recorded_shop(), build(settings))
    found = replay(recorded_shop(), warmed)
    assert found.digest == cold.digest
    assert found.ledger.dump() == cold.ledger.dump()
