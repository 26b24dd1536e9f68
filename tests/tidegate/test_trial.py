"""A model on trial from settings to diagnoses: taken back in a live run by labels, kept for later replays."""

import pytest

import schemas as sc
from diagnosis import Trial
from schemas.core import NS
from simulation import BadDeploy, shop
from streams import MemoryLog
from tidegate import _as_of, _pipeline
from tidegate._replay import Run, replay
from tidegate._settings import Settings

START_NS = 1_767_268_800 * NS


@pytest.fixture(scope="module")
def messages():
    log, found = MemoryLog(), []
    for emit in shop(5, START_NS, 420, fault=BadDeploy(at_s=240, error_ratio=0.5, innocent_s=60), rate=10):
        log.append([emit], writer="shop")
        found.append(log.read([emit.topic], log.last() - 1, 1)[0].message)
    run = replay(found, _pipeline.build(Settings(), last="watch"), keep=(*sc.TOPICS,))
    return [m for m in run.messages if m.topic in (sc.ANOMALIES, sc.CHANGES, sc.TOPOLOGY, sc.CALENDAR, sc.ALERTS)]


@pytest.fixture
def settings(tmp_path):
    """A candidate to which nothing but busy memory says anything."""
    known = _pipeline.load_weights(None)
    weights = {name: 0.0 for name in known.weights} | {"metric_memory": 1.0}
    file = tmp_path / "candidate.json"
    file.write_bytes(known.model_copy(update={"weights": weights}).to_bytes())

    def told(share):
        return Settings.model_validate({"diagnosis": {"trial": {"weights": str(file), "share": share}}})

    return told


def diagnosed(messages, settings) -> Run:
    return replay(messages, _pipeline.build(settings, first="diagnose"))


def test_what_the_candidate_would_say_changes_nothing_where_it_has_no_share(messages, settings):
    assert diagnosed(messages, settings(0.0)).digest == diagnosed(messages, Settings()).digest


def test_with_the_whole_share_it_speaks_and_the_diagnosis_says_which_weights(messages, settings):
    plain, tried = diagnosed(messages, Settings()), diagnosed(messages, settings(1.0))
    assert plain.diagnoses.keys() == tried.diagnoses.keys()
    for id, said in tried.diagnoses.items():
        assert said.versions["ranker"] != plain.diagnoses[id].versions["ranker"]


def test_a_run_says_what_is_on_trial_and_a_replay_as_of_then_has_it(messages, settings, tmp_path):
    pipeline = _pipeline.build(settings(1.0))
    assert any(isinstance(stage, Trial) for stage in pipeline.stages) and pipeline.versions["trial"]
    _as_of.write(_as_of.kept(settings(1.0)), tmp_path)
    (tmp_path / "candidate.json").unlink()
    with _as_of.settings_of(tmp_path) as again:
        assert again.diagnosis.trial.share == 1.0
        assert _pipeline.build(again).versions["trial"] == pipeline.versions["trial"]


def test_limits_of_forecasts_are_kept_for_a_replay_as_of_then(tmp_path):
    told = Settings.model_validate({"forecasts": {"limits": [{"service": "a", "metric": "b", "most": 1}]}})
    _as_of.write(_as_of.kept(told), tmp_path)
    with _as_of.settings_of(tmp_path) as again:
        assert again.forecasts == told.forecasts
