"""The figures of the detection benchmark on cases whose answer is known."""

import csv
import json

import numpy as np
import pytest

from bench.detection import _figures as fig
from bench.detection import _nab, _peers, kpi2018, nab, smd
from bench.detection._series import Labelled, archives, events
from bench.detection._system import alarms, hour_explains, novel_alarms, thresholds, together
from bench.detection._vus import vus_pr
from schemas.core import NS


def labelled(n, *stretches, first=0, x=None):
    y = np.zeros(n, bool)
    for begin, end in stretches:
        y[begin:end] = True
    x = np.zeros((n, 1)) if x is None else x
    return Labelled("one", np.arange(n) * 60 * NS, x, y, first, 60 * NS)


def at(n, *windows):
    alarmed = np.zeros(n, bool)
    alarmed[list(windows)] = True
    return alarmed


def test_an_alarm_is_right_within_an_event_or_one_window_beside_it():
    one = labelled(100, (20, 30), (50, 60))
    c = fig.counts(one, at(100, 19, 40, 60, 70))
    assert (c.events, c.found, c.false) == (2, 2, 2) and fig.alarm_f1(c) == 2 * 2 / (2 + 2 + 2)


def test_an_event_found_after_delay_seven_counts_as_missed():
    one = labelled(100, (20, 40), (60, 80))
    c = fig.counts(one, at(100, 27, 68, 90))
    assert c.windows_in_time == 20 and fig.f1_delay7(c) == 2 * 20 / (20 + 1 + 40)


def test_an_event_weighs_the_logarithm_of_its_length():
    c = fig.counts(labelled(200, (0, 1), (50, 174)), at(200, 60))
    assert (c.weight, c.weight_found) == (1 + 4, 4)


def test_the_delay_runs_from_the_first_labelled_window():
    assert fig.delay_min(fig.counts(labelled(100, (20, 40)), at(100, 25))) == 5.0
    assert fig.delay_min(fig.counts(labelled(100, (20, 40)), at(100, 19))) == 0.0


def test_training_windows_do_not_count():
    c = fig.counts(labelled(100, (20, 40), first=50), at(100, 25, 30))
    assert (c.events, c.false, c.days) == (0, 0, 50 / 1440)


def test_what_is_three_times_rarer_than_lately_is_an_alarm_of_its_own_and_less_is_not():
    surprise = np.concatenate([[5.0, 4.0, 5.4, 6.0], np.zeros(20), [4.0]])
    assert np.flatnonzero(alarms(surprise, 3.0)).tolist() == [0, 3, 24]


def test_the_threshold_is_that_of_the_budget_and_sees_training_alone():
    rng = np.random.default_rng(0)
    one = labelled(400_000, first=288_000)
    score = rng.exponential(size=400_000) / np.log(10)
    late = score.copy()
    late[288_000:] = 100.0
    threshold = thresholds([one], [score])(1.0)
    assert thresholds([one], [late])(1.0) == threshold
    assert alarms(score, threshold)[288_000:].sum() / one.test_days == pytest.approx(1.0, rel=0.3)


def test_faults_in_training_hardly_move_the_threshold():
    rng = np.random.default_rng(1)
    one = labelled(144_000, first=144_000)
    score = rng.exponential(size=144_000) / np.log(10)
    ill = score.copy()
    ill[rng.integers(0, 144_000, 100)] = 12.0
    assert abs(thresholds([one], [ill])(0.1) - thresholds([one], [score])(0.1)) < 0.1


def test_the_exact_poisson_interval_is_garwoods():
    assert fig.poisson_interval(0) == pytest.approx([0.0, 3.689], abs=1e-3)
    assert fig.poisson_interval(10) == pytest.approx([4.795, 18.390], abs=1e-3)


def test_a_perfect_score_fills_the_surface_and_noise_fills_about_the_share_of_events():
    y, rng = labelled(20_000, (5_000, 5_300), (12_000, 12_200)).y, np.random.default_rng(1)
    noise = vus_pr(y, rng.random(20_000))
    assert vus_pr(y, y.astype(float)) > 0.9 and noise < 0.08


def test_smearing_nothing_but_a_shift_lowers_the_surface():
    y = labelled(5_000, (2_000, 2_100)).y
    assert vus_pr(y, np.roll(y, 300).astype(float)) < vus_pr(y, np.roll(y, 20).astype(float)) < vus_pr(y, y + 0.0)


def nab_score(windows, alarms_at, n=1000, profile="standard"):
    files = [labelled(n, *windows)]
    rows = _nab.rows_of(files, [at(n, *alarms_at).astype(float)])
    return _nab.at_threshold(rows, _nab.PROFILES[profile], 0.5)


def test_no_alarm_scores_zero_and_a_first_row_of_every_window_a_hundred():
    assert nab_score([(500, 600), (800, 900)], []) == 0.0
    assert nab_score([(500, 600), (800, 900)], [500, 800]) == pytest.approx(100.0)


def test_a_late_alarm_is_worth_less_and_one_in_probation_nothing():
    late = nab_score([(500, 600)], [590])
    assert 50.0 < late < nab_score([(500, 600)], [510]) < 100.0
    assert nab_score([(500, 600)], [10, 500]) == nab_score([(500, 600)], [500])


def test_an_alarm_right_behind_a_window_costs_less_than_one_far_from_any():
    near, far = nab_score([(500, 600)], [500, 605]), nab_score([(500, 600)], [500, 450])
    assert far < near < 100.0 and far == pytest.approx(100.0 - 11.0 / 2)


def test_the_sweep_is_the_best_of_all_thresholds():
    rng = np.random.default_rng(2)
    files = [labelled(1000, (400, 500), (700, 800)), labelled(800, (300, 380)), labelled(500)]
    rows = _nab.rows_of(files, [np.round(rng.random(len(one.y)), 2) for one in files])
    for profile in _nab.PROFILES.values():
        tried = [_nab.at_threshold(rows, profile, cut) for cut in np.arange(0, 1.01, 0.01)]
        assert _nab.sweep(rows, profile)[0] == pytest.approx(max(0.0, *tried))


def test_a_set_of_files_never_seen_is_measured(tmp_path):
    rng = np.random.default_rng(3)
    t = np.arange(20_000) * 60 + 1_500_000_000
    for name in ("a", "b"):
        x = np.sin(t / 86_400 * 2 * np.pi) + 5 + 0.1 * rng.standard_normal(len(t))
        y = np.zeros(len(t), np.uint8)
        x[15_000:15_010], y[15_000:15_010] = 50.0, 1
        half = {"train": slice(0, 10_000), "test": slice(10_000, None)}
        arrays = {p + k: v[s] for p, s in half.items() for k, v in (("", x), ("_label", y), ("_timestamp", t))}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    found = kpi2018.measure(tmp_path)
    assert found["events"] == found["found"] == 2
    assert {"f1_delay7", "event_f1_log", "false_alarms_per_series_day", "budget", "ci95", "chance"} <= set(found)
    assert archives(tmp_path)[0].first == 10_000 and kpi2018.table(found)


def test_files_of_the_numenta_layout_are_read(tmp_path):
    folder = tmp_path / "data" / "realThings"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(4)
    with (folder / "x.csv").open("w", newline="") as text:
        out = csv.writer(text)
        out.writerow(["timestamp", "value"])
        for i in range(2000):
            value = 10 + rng.standard_normal() + (80 if i == 1500 else 0)
            out.writerow(
                [str(np.datetime64("2020-01-01T00:00:00") + np.timedelta64(300 * i, "s")).replace("T", " "), value]
            )
    windows = {"realThings/x.csv": [["2020-01-06 00:00:00.000000", "2020-01-06 10:00:00.000000"]]}
    (tmp_path / "windows.json").write_text(json.dumps(windows))
    files, published = nab.load(tmp_path)
    assert published == {} and list(events(files[0].y)) == [(1440, 1561)]
    found = nab.measure(tmp_path)
    assert found["files"] == 1 and found["official"]["standard"] > 50 and found["peers_same_files"] == {}


def test_machines_are_measured_whatever_they_are_called_and_however_many_dimensions_they_have(tmp_path):
    rng = np.random.default_rng(4)
    for name, dimensions in (("box", 3), ("another one", 7)):
        train, test = 5 + rng.standard_normal((2000, dimensions)), 5 + rng.standard_normal((1500, dimensions))
        test[700:760] += 30
        label = np.zeros(1500)
        label[700:760] = 1
        np.savez(tmp_path / f"{name}.npz", train=train, test=test, test_label=label)
    (tmp_path / "box.interp.txt").write_text("701-760:1,2,3\n")
    found = smd.measure(tmp_path)
    assert (found["series"], found["events"], found["found"]) == (2, 2, 2) and found["delay_min"] == 0.0
    assert found["leading"] == {"events": 1, "named": 1.0, "chance": 1.0}
    assert smd.table(found)


def test_training_parts_that_are_silent_or_hardly_there_leave_a_threshold():
    for first in (0, 5, 3000):
        one, score = labelled(4000, (3500, 3510), first=first), np.zeros(4000)
        score[3500] = 9.0
        assert np.isfinite(thresholds([one], [score])(0.1))


def test_other_systems_are_given_the_first_series_as_they_are_and_judged_alike(monkeypatch, tmp_path):
    monkeypatch.setattr(_peers, "EACH", 3000)
    monkeypatch.setattr(_peers, "interpreter", lambda name: (None, f"no {name} here"))
    some = [labelled(4000, (3500, 3510), first=3000) for _ in range(3)]
    odd = [np.where(one.y, 9.0, 0.1) for one in some]
    found = _peers.compared(some, odd, 5.0, odd, per_day=0.5)
    assert found["series"] == 3 and found["windows"] == 12_000 and found["missing"] == "no detectors here"
    assert found["systems"]["tidegate"]["alarm_f1"] == found["systems"]["static_threshold"]["alarm_f1"] == 1.0
    assert _peers.table(found)


def test_what_a_series_said_n_times_is_n_plus_one_times_less_rare():
    surprise = np.zeros(1000)
    surprise[[100, 400, 700, 900]] = 3.0, 3.0, 4.0, 3.0
    assert novel_alarms(surprise, 0.5)[[100, 400, 700, 900]].round(2).tolist() == [3.0, 2.7, 4.0, 2.4]


def test_hours_explain_a_machine_with_a_daily_swing_and_not_one_without():
    rng, n = np.random.default_rng(1), 6 * 1440
    noise = rng.normal(size=(n, 5))
    swing = noise + 20 * np.sin(np.arange(n) * 2 * np.pi / 1440)[:, None]
    assert hour_explains(labelled(n, first=n, x=noise)) < 0.1 and hour_explains(labelled(n, first=n, x=swing)) > 0.7


def test_dimensions_together_are_as_improbable_as_the_few_far_out_or_the_many_a_little():
    one, many, none = together(np.array([[1e-6] + 9 * [0.5], 5 * [0.01] + 5 * [0.5], 10 * [0.5]]))
    assert one > 4 and many > 4 and none < 0.5
