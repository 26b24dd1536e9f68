"""What holds for every verb in the folder; a new file there is tested here without an edit, but for its sample."""

import pytest
from support.gateway import PLUGINS, TRUST, VERBS, permitted, request
from support.verbs import SAMPLES

from actions import ParametersInvalid, digest_of
from actions._contract import Capacity, Parameters
from actions._executor import Reading
from actions._gateway import check_change, check_target, differing, effect_of
from actions._permit import OpenedPermit, open_permit

every = pytest.mark.parametrize("name", [plugin.name for plugin in PLUGINS])
NOTHING = [None, "", " ", "*", ".*", "%", "all", [], {}]


def change_of(name, **more):
    sample = SAMPLES[name]
    return VERBS.change(name, sample.target, sample.parameters | more, "r")


def reading(name, state=None, **more):
    told = {"uid": "u", "version": "1", "token": "1", "capacity": Capacity(4, 4)} | more
    return Reading(state=SAMPLES[name].state if state is None else state, **told)


def judged(name, at):
    change = change_of(name)
    verb, effect = VERBS.get(name), effect_of(VERBS, change, "do")
    opened = open_permit(permitted(request(change)).permit)
    assert isinstance(opened, OpenedPermit)
    return check_target(TRUST, verb, effect, opened.permit, at).reason


@every
def test_it_says_all_that_the_contract_wants(name):
    verb = VERBS.get(name)
    assert name in SAMPLES, f"add a sample of {name} to tests/support/verbs.py"
    assert verb.risk in ("none", "low", "medium", "high") and verb.owner and verb.version and name.count(".") == 1
    assert verb.effect_class in ("conditional", "keyed", "naturally_idempotent", "unsafe")
    assert issubclass(verb.parameters, Parameters) and set(verb.selectors) <= set(verb.parameters.model_fields)
    assert 0 < verb.evidence_limit_s <= 3600 and 0 <= verb.settle_s <= 3600 and 0 <= verb.capacity_floor <= 1
    assert verb.selectors and verb.target_kinds and SAMPLES[name].target.split("/")[1] in verb.target_kinds


@every
def test_it_says_absolute_values_so_that_twice_is_once(name):
    effect, before = effect_of(VERBS, change_of(name), "do"), reading(name)
    assert effect.sets and effect.expects.items() <= before.state.items()
    after = reading(name, {**before.state, **effect.sets})
    assert differing(effect, before) and not differing(effect, after)


@every
def test_its_undo_restores_what_it_expected_and_the_undo_of_the_undo_is_itself(name):
    change, verb = change_of(name), VERBS.get(name)
    assert (change.undo_verb is not None) == verb.is_reversible == change.is_reversible
    if change.undo_verb is None:
        assert effect_of(VERBS, change, "do").sets
        return
    there, back = effect_of(VERBS, change, "do"), effect_of(VERBS, change, "undo")
    assert (there.expects, there.sets) == (back.sets, back.expects)
    again = VERBS.change(change.undo_verb, change.target, change.undo_parameters, "r")
    assert (again.undo_verb, again.undo_parameters) == (name, change.parameters)


@every
def test_in_a_state_that_fits_it_may_be_done_and_in_one_that_it_made_already_not(name):
    assert judged(name, reading(name)) == "MAY_WRITE"
    after = {**SAMPLES[name].state, **effect_of(VERBS, change_of(name), "do").sets}
    assert judged(name, reading(name, after)) == "ALREADY_SO"


@every
def test_it_takes_no_capacity_where_nobody_knows_how_much_there_is(name):
    verb, change = VERBS.get(name), change_of(name)
    if verb.taken(verb.parameters.model_validate(change.parameters), SAMPLES[name].state) > 0:
        assert verb.capacity_floor > 0
        assert judged(name, reading(name, capacity=None)) == "BELOW_FLOOR"
        assert judged(name, reading(name, capacity=Capacity(1, 4))) == "BELOW_FLOOR"


@every
@pytest.mark.parametrize("value", NOTHING, ids=repr)
def test_a_selector_that_is_absent_or_means_many_is_refused_by_the_gateway_alone(name, value):
    for field in VERBS.get(name).selectors:
        told = {key: item for key, item in SAMPLES[name].parameters.items() if key != field}
        for parameters in (told, told | {field: value}):
            change = change_of(name).model_copy(update={"parameters": parameters})
            change = change.model_copy(update={"digest": digest_of(change)})
            assert check_change(TRUST, VERBS, change, "do", change.target).reason == "SELECTOR_INVALID"


@every
def test_its_sample_is_let_through_by_the_gateway(name):
    change = change_of(name)
    assert check_change(TRUST, VERBS, change, "do", change.target).reason == "MAY_WRITE"


@every
@pytest.mark.parametrize("kind", ["team", "region"])
def test_it_is_for_the_kinds_of_targets_that_it_names(name, kind):
    change = VERBS.change(name, f"default/{kind}/checkout", SAMPLES[name].parameters, "r")
    assert check_change(TRUST, VERBS, change, "do", change.target).reason == "SELECTOR_INVALID"


@every
def test_a_parameter_that_it_does_not_know_is_refused(name):
    with pytest.raises(ParametersInvalid):
        change_of(name, more="x")
