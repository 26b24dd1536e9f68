"""Selectors: empty, null, wildcard and missing are refused by the policies alone, without any other check."""

from typing import Any

import pytest

from actions import NEUTRAL, Policies, Rule, Verbs, selector_fault

ALLOW = Policies([Rule(id="all", when="true", effect="permit", reason="ALL", text="t")])
EXACT = {"service": "checkout", "change": "c", "from_version": "v2", "to_version": "v1"}
BAD = ["", " ", "*", "?", "all", "EVERYTHING", "any", "null", "none", "cart*", None, [], {}, True]
BAD_TARGETS = [
    "", " ", "/", "//", "default", "default/service", "default/service/", "default//checkout", "default/service/*",
    "default/*/checkout", "*/service/checkout", "default/service/all", "default/service/any", "default/service/a b",
    "default/service/\u200b", "default/service/..", "default/service/-", " default/service/checkout", "a/b/c\n", None,
    7, [],
]  # fmt: skip


@pytest.mark.parametrize("target", BAD_TARGETS, ids=repr)
def test_the_policies_alone_refuse_a_target_that_is_not_one_entity(target: Any) -> None:
    got = ALLOW.evaluate(NEUTRAL | {"target": target})
    assert got.effect == "deny" and got.reason in ("SELECTOR_INVALID", "POLICY_ERROR")


@pytest.mark.parametrize("value", BAD, ids=repr)
def test_a_selector_that_does_not_choose_one_thing_is_refused(verbs: Verbs, value: Any) -> None:
    verb = verbs.get("gitops.revert")
    fault = selector_fault("default/service/checkout", EXACT | {"service": value}, verb)
    assert fault and "'service'" in fault


def test_a_selector_that_is_missing_is_refused_and_a_whole_change_is_not(verbs: Verbs) -> None:
    verb = verbs.get("gitops.revert")
    assert "'service' is None" in str(selector_fault("default/service/checkout", {}, verb))
    assert selector_fault("default/service/checkout", EXACT, verb) is None
    assert ALLOW.evaluate(NEUTRAL).effect == "permit"


@pytest.mark.parametrize("target", ["default/instance/checkout/pod-1", "shop/node/ip-10-0-0-1.eu", "a/service/x:8080"])
def test_real_entities_pass(target: str) -> None:
    assert ALLOW.evaluate(NEUTRAL | {"target": target}).effect == "permit"
