"""Of what is called a discovery in a shift, at most the stated share is false."""

import numpy as np
import pytest

from detectors import Detect, FdrLedger, FdrRule, discoveries
from schemas import SeriesDef
from schemas.core import NS, Scores, WindowBlock

RULE = FdrRule(share=0.1, shift_s=3600.0)
MINUTE = 60 * NS


def shift(rng, n, faults=(), p_of_fault=1e-9, batches=60, rule=RULE):
    """False and all discoveries of one shift of n series; faults: (minute, how many series)."""
    ledger, false, every = FdrLedger(), 0, 0
    wrong = dict(faults)
    for at in range(batches):
        p = rng.random(n)
        ill = wrong.get(at, 0)
        p[:ill] = p_of_fault * rng.random(ill)
        upto = discoveries(ledger, p[p < 0.05], n, at * MINUTE + MINUTE - 1, rule)
        false += int((p[ill:] <= upto).sum())
        every += int((p <= upto).sum())
    return false, every


def test_if_nothing_is_wrong_few_shifts_have_any_discovery():
    rng, shifts = np.random.default_rng(1), 1500
    any_false = sum(shift(rng, 200)[1] > 0 for _ in range(shifts)) / shifts
    assert any_false <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / shifts)
    assert any_false >= 0.03  # and it is not so by finding nothing at all


@pytest.mark.parametrize(
    "faults", [[(5, 1)], [(20, 40)], [(at, 3) for at in range(0, 60, 5)], [(at, 20) for at in range(60)]],
    ids=["one", "many series", "many minutes", "all the time"],
)  # fmt: skip
def test_with_faults_the_share_of_false_discoveries_holds(faults):
    rng, shifts = np.random.default_rng(2), 400
    shares = [false / max(every, 1) for false, every in (shift(rng, 200, faults, 1e-4) for _ in range(shifts))]
    assert np.mean(shares) <= 0.1 + 3 * np.std(shares) / np.sqrt(shifts)


def test_a_clear_fault_is_found_however_many_series_there_are():
    rng = np.random.default_rng(3)
    assert all(shift(rng, 20_000, [(at, 1)], 1e-12)[1] >= 1 for at in range(5, 60, 7))


def test_what_many_series_show_is_found_at_a_weaker_p_than_what_one_shows():
    one, many = FdrLedger(), FdrLedger()
    at = 30 * MINUTE
    assert discoveries(one, np.full(1, 2e-5), 10_000, at, RULE) == 0
    assert discoveries(many, np.full(40, 2e-5), 10_000, at, RULE) == 2e-5


def test_a_discovery_pays_for_what_was_spent_and_a_new_shift_begins_anew():
    rich, poor, nothing = FdrLedger(), FdrLedger(), np.zeros(0)
    for ledger, second in ((rich, np.full(20, 1e-12)), (poor, nothing)):
        discoveries(ledger, nothing, 1000, 10 * MINUTE, RULE)
        discoveries(ledger, second, 1000, 11 * MINUTE, RULE)
    faint = np.array([1.5e-5])
    assert discoveries(rich, faint, 1000, 12 * MINUTE, RULE) > 0 == discoveries(poor, faint, 1000, 12 * MINUTE, RULE)
    assert discoveries(rich, faint, 1000, 61 * MINUTE, RULE) == 0


def test_the_ledger_does_not_grow():
    ledger, rng = FdrLedger(), np.random.default_rng(4)
    for at in range(5000):
        discoveries(ledger, rng.random(30) ** 3, 30, at * MINUTE, RULE)
    assert ledger.spent is not None and len(ledger.spent) == 9


class Told:
    """A detector whose p is the value itself."""

    kind, version, anomaly, window_s = "told", "1", "metric", 60

    def accepts(self, series):
        return True

    def initial(self, n):
        return {"windows": np.zeros(n)}

    def score(self, state, block):
        n = len(block.mean)
        return Scores(block.mean, np.zeros(n), np.ones(n), np.zeros(n, np.int8))

    def learn(self, state, block):
        return {"windows": state["windows"] + 1}


DEFS = {
    i: SeriesDef(id=f"{i:016x}", entity_id="default/service/s", service="s", name="cpu", unit="1") for i in range(100)
}


def window(at, value):
    n, ones = len(value), np.ones(len(value))
    return WindowBlock(
        start_ns=at * MINUTE, end_ns=(at + 1) * MINUTE, series=np.arange(n, dtype=np.uint64), rows=np.arange(n),
        total=value, mean=value, low=value, high=value, last=value, count=np.ones(n, np.int64), expected=ones,
        weight=ones, recorded=ones,
    )  # fmt: skip


def said(detect, state, at, p):
    _, found = detect.observe(state, window(at, np.concatenate([[p], np.full(99, 0.5)])), DEFS)
    return [one.is_discovery for one in found]


def test_anomalies_say_whether_they_are_discoveries_only_where_it_was_asked():
    with_budget, without = Detect([Told()], fdr=RULE), Detect([Told()])
    assert said(without, without.initial(), 30, 1e-9) == [None]
    assert said(with_budget, with_budget.initial(), 30, 1e-9) == [True]
    assert said(with_budget, with_budget.initial(), 30, 9e-4) == [False]


TEAMS = FdrRule(share=0.01, shift_s=3600.0, teams={"s": "shop", "t": "till"}, shares={"till": 0.04})
OF_TEAMS = {
    i: SeriesDef(id=f"{i:016x}", entity_id=f"default/service/{s}", service=s, name="cpu", unit="1")
    for i, s in enumerate("s" * 50 + "t" * 30 + "u" * 20)
}


def told(detect, state, at, small, defs=OF_TEAMS):
    """Whether each of these rows, with the p it has, is a discovery; all other p are a half."""
    p = np.full(100, 0.5)
    p[list(small)] = list(small.values())
    _, found = detect.observe(state, window(at, p), defs)
    return {int(one.series, 16): one.is_discovery for one in found}


def test_what_one_team_spends_or_finds_changes_nothing_for_another():
    alone, beside = Detect([Told()], fdr=TEAMS), Detect([Told()], fdr=TEAMS)
    first, second = alone.initial(), beside.initial()
    for at in range(10, 40):
        mine = {0: 1e-4 / (at - 9)}
        ill = {row: 1e-9 for row in range(50, 70)}
        noise = told(beside, second, at, mine | ill)
        assert told(alone, first, at, mine)[0] == noise[0] and all(noise[row] for row in ill)


def test_a_team_may_have_a_share_of_its_own_and_only_teams_may_have_one():
    detect = Detect([Told()], fdr=TEAMS)
    assert told(detect, detect.initial(), 30, {0: 3e-4, 50: 3e-4}) == {0: False, 50: True}
    only = Detect([Told()], fdr=FdrRule(share=0.0, shift_s=3600.0, teams={"t": "till"}, shares={"till": 0.4}))
    assert told(only, only.initial(), 30, {0: 1e-9, 50: 1e-9}) == {0: None, 50: True}


def test_the_budgets_of_teams_go_on_after_a_restart():
    detect = Detect([Told()], fdr=TEAMS)
    state = detect.initial()
    told(detect, state, 30, {0: 1e-9, 50: 1e-9})
    again = detect.load(detect.dump(state))
    assert told(detect, again, 31, {0: 1e-4, 50: 1e-4}) == told(detect, state, 31, {0: 1e-4, 50: 1e-4})
    assert sorted(again.ledgers) == sorted(state.ledgers) and len(state.ledgers) == 3


def test_the_budget_goes_on_after_a_restart():
    detect = Detect([Told()], fdr=RULE)
    state = detect.initial()
    detect.observe(state, window(30, np.full(100, 0.5)), DEFS)
    again = detect.load(detect.dump(state))
    assert said(detect, again, 31, 1e-4) == said(detect, state, 31, 1e-4) == [False]
    assert said(detect, detect.initial(), 31, 1e-4) == [True]
