"""Other parameters for what waits: of which step, over the whole plan, and for as long as before."""

import pytest
from support.act_place import PERSON, gated_now
from support.gateway import PARAMETERS, VERBS

from actions import ActionsError
from actions._drive import open_action
from actions._override import override_of
from actions._plans import asked_of
from schemas import LaterStep

OTHER = PARAMETERS | {"service": "other"}


def waiting(*, steps=2, revert_after_s=None):
    """An action that reverts checkout and then another service."""
    event = gated_now()
    first, second = (
        VERBS.change("gitops.revert", f"default/service/{told['service']}", told, "r", revert_after_s=revert_after_s)
        for told in (PARAMETERS, OTHER)
    )
    then = [LaterStep(change=second, snapshot=event.snapshot, decision=event.decision)] if steps == 2 else []
    asked = asked_of(event.model_copy(update={"change": first, "then": then}), VERBS, "p", None)
    return open_action(asked.plan, 0, event.at_ns, origin=asked.origin).action


def other(action, parameters, person=PERSON):
    return override_of(action, parameters, person, VERBS, "p")


def test_a_parameter_of_one_step_leaves_the_other_as_it_is_and_makes_a_new_digest_of_the_whole_plan():
    action = waiting()
    asked = other(action, {"2.to_version": "v39"})
    before, after = (plan.steps for plan in (action.plan, asked.plan))
    assert after[0].change == before[0].change and after[1].change.parameters["to_version"] == "v39"
    assert asked.plan.digest != action.plan.digest and asked.plan.change_key != action.plan.change_key
    assert asked.origin.barred == (PERSON,) and asked.origin.overrides == action.key


def test_parameters_of_both_steps_may_be_chosen_and_everybody_who_chose_is_barred():
    first = other(waiting(), {"1.to_version": "v39", "2.to_version": "v38"}, "idp#cleo")
    again = open_action(first.plan, 0, 0, origin=first.origin).action
    second = other(again, {"1.to_version": "v37"})
    assert [step.change.parameters["to_version"] for step in second.plan.steps] == ["v37", "v38"]
    assert second.origin.barred == tuple(sorted(("idp#cleo", PERSON)))


@pytest.mark.parametrize(
    "wanted",
    [
        {"to_version": "v39"}, {"3.to_version": "v39"}, {"0.to_version": "v39"}, {"02.to_version": "v39"},
        {"2.": "v39"}, {"2.more": 1}, {"2.service": "*"}, {"2.to_version": OTHER["to_version"]}, {},
    ],
)  # fmt: skip
def test_what_does_not_say_which_step_or_fits_none_is_refused(wanted):
    with pytest.raises(ActionsError):
        other(waiting(), wanted)


def test_the_one_step_of_a_plan_needs_no_number():
    action = waiting(steps=1)
    assert other(action, {"to_version": "v39"}).plan.digest == other(action, {"1.to_version": "v39"}).plan.digest


@pytest.mark.parametrize(("steps", "name"), [(1, "to_version"), (2, "2.to_version")])
def test_what_is_for_a_while_stays_for_a_while_with_other_parameters(steps, name):
    action = waiting(steps=steps, revert_after_s=600)
    assert other(action, {name: "v39"}).plan.revert_after_ns == action.plan.revert_after_ns is not None
