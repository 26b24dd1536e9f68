"""Runbooks: their cases hold, and a mistake is found when they are loaded, with file, line and what to do."""

from typing import Any

import pytest

from actions import Parameters, RunbookError, Runbooks, Undo, Verbs, load_runbooks, run_runbook_cases
from schemas import Cause, Change

DEPLOY = "runbooks/error_spike_after_deploy.yaml"


class Drop:
    """A verb that cannot be undone."""

    name = "table.drop"
    parameters: type[Parameters] = Parameters
    risk: Any = "high"
    is_reversible = False
    effect_class: Any = "unsafe"
    permissions: tuple[str, ...] = ()
    owner = "nobody"

    def undo(self, parameters: Parameters) -> Undo | None:
        return None


DROP = """\
id: drop
title: t
when: {otherwise: true}
steps:
  - {id: drop, verb: table.drop, target: default/table/x}
safety: [never]
cases: [{name: n, given: {}, expect: [{verb: table.drop, target: default/table/x, parameters: {}}]}]
"""


def test_the_cases_of_all_shipped_runbooks_hold(runbook_texts: dict[str, str], verbs: Verbs) -> None:
    assert len(runbook_texts) >= 2 and run_runbook_cases(runbook_texts, verbs) == []


def test_a_case_that_does_not_hold_is_reported_with_its_line(runbook_texts: dict[str, str], verbs: Verbs) -> None:
    text = runbook_texts[DEPLOY].replace("to_version: v41}", "to_version: v40}")
    (failure,) = run_runbook_cases({DEPLOY: text}, verbs)
    assert failure.where.startswith(f"{DEPLOY}:") and failure.name == "a deploy with both versions known"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gitops.revert\n", "gitops.revrt\n", r":9: step 'revert': unknown verb 'gitops.revrt'. Did you mean 'gito"),
        ("${cause.change}", "${cause.chnge}", r":13: unknown reference '\$\{cause.chnge\}'. Did you mean"),
        ("${cause.change}", "x ${cause.change}", r":13: 'x \$\{cause.change\}' mixes text and references"),
        ("${change.entity_id}", "${all}", r":10: unknown reference '\$\{all\}'. Known references: cause.service,"),
        ("change: ${cause.change}", "chang: x", r":13: step 'revert': gitops.revert has no parameter 'chang'"),
        ("      change: ${cause.change}\n", "", r":8: step 'revert' does not say 'change', which gitops.revert needs"),
        ("priority: 10", "prioritee: 10", r":3: field 'prioritee'"),
        ("priority: 10", "priority: 10\npriority: 11", r":4: the key 'priority' is given twice"),
        ("title: A", "title: [A", r"not YAML"),
        ("[deploy, config]", "[deploy, cofig]", r":6: field 'when.change_kinds.1'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_and_line(
    runbook_texts: dict[str, str], verbs: Verbs, old: str, new: str, message: str
) -> None:
    text = runbook_texts[DEPLOY]
    assert old in text
    with pytest.raises(RunbookError, match=f"^{DEPLOY}.*{message}"):
        load_runbooks(runbook_texts | {DEPLOY: text.replace(old, new, 1)}, verbs)


def test_a_step_without_a_way_back_must_say_so() -> None:
    with pytest.raises(RunbookError, match=r"x.yaml:5: step 'drop' has no compensation .* add `irreversible: true`"):
        load_runbooks({"x.yaml": DROP}, Verbs([Drop]))


def test_what_cannot_be_undone_is_nothing_for_a_while() -> None:
    text = DROP.replace("target:", "irreversible: true, revert_after_s: 600, target:", 1)
    with pytest.raises(RunbookError, match=r"step 'drop' is to be taken back after a while, and table.drop cannot be"):
        load_runbooks({"x.yaml": text}, Verbs([Drop]))


def test_all_steps_are_temporary_or_none(runbook_texts: dict[str, str], verbs: Verbs) -> None:
    where = "runbooks/scale_out_at_peak.yaml"
    head, step, rest = runbook_texts[where].partition("  - id: scale")
    body, safety, end = rest.partition("safety:")
    text = head + step + body + step.replace("scale", "more") + body.replace("7200", "3600") + safety + end
    with pytest.raises(RunbookError, match="others are not, or not after the same time"):
        load_runbooks(runbook_texts | {where: text}, verbs)


def test_a_need_that_nothing_can_answer_is_a_mistake(runbook_texts: dict[str, str], verbs: Verbs) -> None:
    where = "runbooks/restart_on_memory_leak.yaml"
    text = runbook_texts[where].replace("service.deployment]", "service.deploymant]", 1)
    with pytest.raises(RunbookError, match=r"unknown reference .*deploymant.*Did you mean .*service.deployment"):
        load_runbooks(runbook_texts | {where: text}, verbs)


def test_a_step_that_says_it_is_irreversible_is_accepted() -> None:
    text = DROP.replace("target:", "irreversible: true, target:", 1)
    assert run_runbook_cases({"x.yaml": text}, Verbs([Drop])) == []


def test_exactly_one_runbook_is_the_last_resort(runbook_texts: dict[str, str], verbs: Verbs) -> None:
    with pytest.raises(RunbookError, match="0 runbooks say `otherwise: true`"):
        load_runbooks({DEPLOY: runbook_texts[DEPLOY]}, verbs)


def test_a_change_of_unknown_kind_does_not_fit(shipped_runbooks: Runbooks) -> None:
    cause = Cause(entity="a", entity_id="t/service/a", family="change", change="chg-1")
    assert shipped_runbooks.choose(cause, None).id == "hand_to_owner"


def test_the_order_of_files_does_not_matter(runbook_texts: dict[str, str], verbs: Verbs) -> None:
    deploy = Change(id="c", entity_id="t/service/a", service="a", kind="deploy", at_ns=1, title="d")
    cause = Cause(entity="a", entity_id="t/service/a", family="change", change="c")
    backwards = dict(reversed(runbook_texts.items()))
    assert load_runbooks(backwards, verbs).choose(cause, deploy).id == "error_spike_after_deploy"


SWITCH_AND_RUN = """\
id: copy_from_the_primary
title: t
when: {otherwise: true}
steps:
  - {id: switch, verb: flag.on, target: default/service/warehouse,
     parameters: {service: warehouse, flag: read-from-primary}}
  - {id: run, verb: kubernetes.run_job, target: default/service/warehouse, irreversible: true,
     parameters: {namespace: etl, cronjob: nightly-copy, run_id: "${incident.id}"}}
safety: [the primary bears it at night]
cases:
  - name: n
    given: {service: warehouse, family: data}
    expect:
      - {verb: flag.on, target: default/service/warehouse,
         parameters: {service: warehouse, flag: read-from-primary}}
      - {verb: kubernetes.run_job, target: default/service/warehouse,
         parameters: {namespace: etl, cronjob: nightly-copy, run_id: incident-1}}
"""


def test_switching_a_source_and_running_the_job_again_is_one_plan(verbs: Verbs) -> None:
    assert run_runbook_cases({"own.yaml": SWITCH_AND_RUN}, verbs) == []
