"""Verbs: what may be done is declared, exact and undoable, or it is refused."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions import ParametersInvalid, SelectorInvalid, UnknownVerb, Verbs, checked_target, digest_of, service_of
from schemas import ProposedChange

TARGET = "default/service/checkout"
REVERT = {"service": "checkout", "change": "chg-1", "from_version": "v42", "to_version": "v41"}


def test_the_undo_of_a_revert_is_the_revert_of_the_revert(verbs: Verbs) -> None:
    change = verbs.change("gitops.revert", TARGET, REVERT, "r")
    assert change.undo_verb == "gitops.revert"
    assert change.undo_parameters == REVERT | {"from_version": "v41", "to_version": "v42"}


def test_an_unknown_verb_is_refused_and_the_nearest_is_named(verbs: Verbs) -> None:
    with pytest.raises(UnknownVerb, match=r"unknown verb 'gitops.rever'. Did you mean 'gitops.revert'\?$"):
        verbs.change("gitops.rever", TARGET, REVERT, "r")


def test_an_executor_of_a_verb_that_nobody_declares_is_refused() -> None:
    with pytest.raises(UnknownVerb, match="Known verbs: none"):
        Verbs([], executors=["gitops.revert"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"service": ""}, "'service'"),
        ({"more": "x"}, "'more'"),
        ({"to_version": None}, "'to_version'"),
        ({"to_version": 41}, "'to_version'"),
        ({"to_version": "v42"}, "are both 'v42'"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_name(verbs: Verbs, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParametersInvalid, match=message):
        verbs.change("gitops.revert", TARGET, REVERT | change, "r")


@pytest.mark.parametrize(
    "target",
    ["", " ", "*", "default/service/*", "default/*/checkout", "default/service/check?ut", "default/service/all",
     "default/service/ANY", "default/service/", "/service/checkout", "default//checkout", "checkout", "default/service",
     "default/service/a\nb", " default/service/a", "default/service/a "],
)  # fmt: skip
def test_a_target_that_is_empty_or_means_many_is_refused(verbs: Verbs, target: str) -> None:
    with pytest.raises(SelectorInvalid) as refused:
        verbs.change("gitops.revert", target, REVERT, "r")
    assert refused.value.code == "SELECTOR_INVALID"


@given(st.text(max_size=20))
def test_a_target_is_refused_or_passed_unchanged_and_then_names_a_service(target: str) -> None:
    with contextlib.suppress(SelectorInvalid):
        assert checked_target(target) == target and service_of(target) and not set("*?") & set(target)


FIELDS: dict[str, Any] = {
    "verb": "notify.owner", "target": "default/service/cart", "parameters": REVERT | {"change": "chg-2"},
    "undo_verb": None, "undo_parameters": {}, "is_reversible": False, "runbook": "other",
    "revert_after_s": 600,
}  # fmt: skip


def test_the_digest_covers_every_field(verbs: Verbs) -> None:
    change = verbs.change("gitops.revert", TARGET, REVERT, "r")
    assert change.digest == digest_of(change)
    assert FIELDS.keys() == ProposedChange.model_fields.keys() - {"digest"}
    for field, value in FIELDS.items():
        assert digest_of(change.model_copy(update={field: value})) != change.digest


def test_a_change_said_to_be_irreversible_has_no_undo(verbs: Verbs) -> None:
    change = verbs.change("gitops.revert", TARGET, REVERT, "r", irreversible=True)
    assert (change.is_reversible, change.undo_verb, change.undo_parameters) == (False, None, {})
