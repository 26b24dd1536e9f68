"""A change that is aimed at nothing or at everything cannot be made as a record, whatever comes after."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ProposedChange, RecordInvalid

GOOD = {
    "verb": "v", "target": "default/service/checkout", "parameters": {"service": "checkout", "count": 0},
    "is_reversible": False, "runbook": "r", "digest": "d",
}  # fmt: skip


def made(**more):
    return ProposedChange.from_bytes(json.dumps(GOOD | more).encode())


def test_an_exact_change_is_a_record():
    assert made().target == "default/service/checkout"


@pytest.mark.parametrize(
    "target", ["", " ", "*", "default/service/*", "default/*/checkout", "default/service/ch?ckout", "default/service/",
               "default//checkout", "checkout", "default/service", None, [], {}],
)  # fmt: skip
def test_a_target_that_is_empty_null_or_a_wildcard_is_no_record(target):
    with pytest.raises(RecordInvalid):
        made(target=target)


def test_a_missing_target_is_no_record():
    with pytest.raises(RecordInvalid, match="target"):
        ProposedChange.from_bytes(json.dumps({k: v for k, v in GOOD.items() if k != "target"}).encode())


@pytest.mark.parametrize("value", [None, "", "  ", "*", "**", ".*", "^.*$", "%", "?", [], {}, [None], [""], {"a": ""}])
@pytest.mark.parametrize("where", ["parameters", "undo_parameters"])
def test_a_parameter_that_says_nothing_or_everything_is_no_record(where, value):
    with pytest.raises(RecordInvalid, match=r"is empty|is a wildcard"):
        made(**{where: {"service": "checkout", "selector": value}})


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.integers() | st.booleans() | st.from_regex(r"[a-z0-9-]+\Z")))
def test_plain_values_are_not_refused(parameters):
    assert made(parameters=parameters).parameters == parameters
