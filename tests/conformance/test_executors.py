"""What holds for every executor in the folder; a new file there is tested here without an edit.

What each does to its system is in tests/actions/test_executor_NAME.py, tests/servers and tests/live.
"""

import importlib
import pkgutil

import pytest
from support.gateway import VERBS
from support.verbs import SAMPLES

import actions.executors
from actions._executor import Capabilities, ExecutorSettings, Mark, Reading, TargetAway, Written, read_mark
from actions._gateway import effect_of

FOUND = [
    importlib.import_module(f"actions.executors.{module.name}").PLUGIN
    for module in pkgutil.iter_modules(actions.executors.__path__)
    if not module.name.startswith("_")
]
every = pytest.mark.parametrize("plugin", FOUND, ids=lambda plugin: plugin.kind)


def effects(plugin):
    for name in plugin.verbs:
        sample = SAMPLES[name]
        yield effect_of(VERBS, VERBS.change(name, sample.target, sample.parameters, "r"), "do")


def test_every_verb_is_performed_by_exactly_one_executor():
    performed = [name for plugin in FOUND for name in plugin.verbs]
    assert sorted(performed) == VERBS.names
    assert len({plugin.kind for plugin in FOUND}) == len(FOUND)


@every
def test_it_says_of_each_verb_what_it_can_and_needs(plugin):
    assert issubclass(plugin.settings, ExecutorSettings) and plugin.settings().timeout_s <= 20
    assert set(plugin.capabilities) == set(plugin.permissions) == set(plugin.verbs)
    for name in plugin.verbs:
        assert isinstance(plugin.capabilities[name], Capabilities) and plugin.permissions[name]


@every
def test_a_conditional_verb_has_an_executor_that_writes_conditionally_marks_and_fences(plugin):
    for name in plugin.verbs:
        can = plugin.capabilities[name]
        if VERBS.get(name).effect_class == "conditional":
            assert can.is_conditional and can.keeps_mark and can.fences
        if VERBS.get(name).is_reversible:
            assert can.keeps_mark, "an undo is written over our mark only"


@every
def test_with_nothing_set_nothing_is_touched(plugin):
    hands = plugin(plugin.settings())
    for effect in effects(plugin):
        with pytest.raises(TargetAway):
            hands.read(effect)


@every
def test_a_write_never_raises_for_the_world(plugin):
    hands = plugin(plugin.settings())
    for effect in effects(plugin):
        state = dict(SAMPLES[effect.verb].state)
        reading = Reading("http://127.0.0.1:1/", "1", "1", state)
        written = hands.write(effect, Mark("k", 0, "do", 1), reading)
        assert isinstance(written, Written) and written.outcome == "refused" and written.reason


@pytest.mark.parametrize("text", ["", None, "x", "a/b/do/1", "k/0/again/1", "k/0/do/x", "k/-1/do/1", "k/٣/do/x"])
def test_a_foreign_mark_is_none(text):
    assert read_mark(text) is None


def test_a_mark_reads_as_it_was_written():
    for mark in (Mark("sha256:a", 0, "do", 3), Mark("a/b", 12, "undo", 99)):
        assert read_mark(mark.text()) == mark
