"""The gateway: every check stands alone, and one attempt has one answer through any crash."""

import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gateway import (
    NOW,
    OTHER,
    PARAMETERS,
    PLUGINS,
    TARGET,
    TRUST,
    VERBS,
    Bench,
    Shelf,
    permitted,
    request,
    watch,
)

from actions import Verbs, digest_of
from actions._contract import Capacity
from actions._executor import Mark, Written
from actions._gateway import Kept, Known, Name, check, check_change, is_plain, request_digest
from actions._gateway_desk import LANDING_NS
from actions._gateway_store import NEWEST, Attempt, ModelGatewayStore, SqliteGatewayStore
from actions._gateway_wire import dump_dry_run, load_dry_run
from actions._machine_errors import LedgerFault
from actions._ports import DryRun, ProbeRequest, Unavailable
from schemas import ProposedChange
from schemas.core import NS

CHANGE = VERBS.change("gitops.revert", TARGET, PARAMETERS, "r")
PROBE = ProbeRequest("sha256:a", 0, CHANGE, TARGET, 4)
MINE = Name("sha256:a", 0, "do", 3)


def reason(told=None, *, known=Known(), seen=None, trust=TRUST, verbs=VERBS, now_ns=NOW):  # noqa: B008
    return check(trust, verbs, known, watch() if seen is None else seen, told or permitted(), now_ns)[0].reason


def changed(change=CHANGE, **fields):
    """The change with other fields and a digest that fits, as a broken or hostile catalogue would build it."""
    other = change.model_copy(update=fields)
    return other.model_copy(update={"digest": digest_of(other)})


def test_a_kill_switch_that_covers_it_closes_the_gateway():
    for scope in ("all", "verb:gitops.revert", "service:checkout", f"target:{TARGET}"):
        assert reason(seen=watch(scope)) == "KILLED"
    assert reason(seen=watch("verb:flag.off", "service:cart", "target:default/service/cart")) == "MAY_WRITE"


def test_without_news_of_the_kill_switch_for_five_seconds_nothing_is_written():
    assert reason(seen=watch(age_s=5)) == "MAY_WRITE"
    assert reason(seen=watch(age_s=5.1)) == "KILL_STATE_OLD"
    assert reason(seen=watch(age_s=-5.1)) == "KILL_STATE_OLD"
    assert check(TRUST, VERBS, Known(), None, permitted(), NOW)[0].reason == "KILL_STATE_OLD"


@pytest.mark.parametrize("more", [{}, {"direction": "undo"}])
def test_a_revoked_key_opens_nothing_not_even_an_undo_and_the_next_key_does(more):
    told, next_key = request(**more), Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
    trust = replace(TRUST, keys={**TRUST.keys, "decide-2": next_key.public_key().public_bytes_raw()})
    revoked = watch("key:decide-1")
    assert reason(permitted(told, is_under_kill=True), seen=revoked, trust=trust) == "KEY_REVOKED"
    assert reason(permitted(told, kid="decide-2", key=next_key), seen=revoked, trust=trust) == "MAY_WRITE"


def test_after_a_kill_only_an_undo_that_the_plan_allows_goes_on():
    undo = request(direction="undo")
    assert reason(permitted(undo, is_under_kill=True), seen=watch("all")) == "MAY_WRITE"
    assert reason(permitted(undo), seen=watch("all")) == "KILLED"


def test_an_epoch_below_the_fence_is_refused_and_each_epoch_carries_one_attempt():
    assert reason(known=Known(4)) == "STALE_EPOCH"
    assert reason(known=Known(3)) == "MAY_WRITE"
    assert reason(known=Known(3, Name("sha256:b", 0, "do", 3))) == "EPOCH_USED"


def test_old_evidence_is_refused_at_the_limit_of_the_verb_or_of_the_gateway():
    old = permitted(request(evidence_ns=NOW - 181 * NS))
    assert reason(old) == "OLD_EVIDENCE"
    assert reason(trust=replace(TRUST, evidence_limit_ns=20 * NS)) == "OLD_EVIDENCE"
    assert reason(permitted(request(direction="undo", evidence_ns=0))) == "MAY_WRITE"


def test_a_change_whose_digest_is_not_its_own_is_refused():
    other = CHANGE.model_copy(update={"parameters": PARAMETERS | {"to_version": "v1"}})
    assert reason(permitted(request(other))) == "OTHER_DIGEST"


def test_what_is_not_within_its_scope_is_refused_and_by_default_nothing_is():
    assert reason(trust=replace(TRUST, scopes=())) == "OUT_OF_SCOPE"
    assert reason(trust=replace(TRUST, scopes=("default/service/check",))) == "OUT_OF_SCOPE"
    assert reason(trust=replace(TRUST, scopes=(TARGET,))) == "MAY_WRITE"


def test_a_verb_unknown_here_or_without_executor_or_of_another_class_is_refused():
    assert reason(verbs=Verbs([])) == "UNKNOWN_VERB"
    assert reason(verbs=Verbs(PLUGINS)) == "NO_EXECUTOR"
    assert reason(permitted(request(effect_class="keyed"))) == "EFFECT_CLASS"
    assert reason(permitted(request(changed(parameters=PARAMETERS | {"more": "x"})))) == "PARAMETERS_INVALID"
    assert check_change(TRUST, VERBS, changed(undo_verb=None), "undo", TARGET).reason == "NO_UNDO"


def test_a_conditional_write_needs_the_version_that_was_looked_at():
    assert reason(permitted(request(expected_version=""))) == "VERSION_MOVED"
    assert Bench().apply(permitted(request(expected_version=""))) == ("not_applied", "VERSION_MOVED")


def test_an_unsafe_verb_needs_a_person_even_with_a_permit():
    class Unsafe(type(VERBS.get("gitops.revert"))):  # type: ignore[misc]
        effect_class = "unsafe"

    verbs = Verbs([Unsafe], ["gitops.revert"])
    told = request(effect_class="unsafe")
    assert reason(permitted(told), verbs=verbs) == "UNSAFE_UNAPPROVED"
    assert reason(permitted(told, approved_by=1), verbs=verbs) == "MAY_WRITE"


BAD = ["", " ", "*", "default/service/*", "default/service/all", "default/service/", "default//checkout", "checkout",
       "default/service/a b", "default/service/a%", "default/service/.*", "default/service/a,b",
       "default/service/null"]  # fmt: skip


@pytest.mark.parametrize("target", BAD)
def test_a_target_that_is_empty_or_means_many_is_refused_by_the_gateway_alone(target):
    change = CHANGE.model_copy(update={"target": target})
    change = change.model_copy(update={"digest": digest_of(change)})
    assert check_change(TRUST, VERBS, change, "do", target).reason == "SELECTOR_INVALID"


@pytest.mark.parametrize("value", [None, "", " ", "*", ".*", "a*", "all", "a,b", [], {}, ["checkout"], True, -1])
def test_a_parameter_that_selects_everything_is_refused_by_the_gateway_alone(value):
    change = changed(parameters=PARAMETERS | {"service": value})
    assert check_change(TRUST, VERBS, change, "do", TARGET).reason == "SELECTOR_INVALID"
    missing = changed(parameters={k: v for k, v in PARAMETERS.items() if k != "service"})
    assert check_change(TRUST, VERBS, missing, "do", TARGET).reason == "SELECTOR_INVALID"


@given(st.text(max_size=12))
def test_a_plain_target_has_no_pattern_in_it(text):
    assert not (is_plain(f"default/service/{text}") and set(text) & set("*?[]{}|,;%$ \\'\"\n"))


def test_an_effect_happens_once_and_the_answer_stays_the_same():
    bench = Bench()
    assert [bench.apply().result for _ in range(3)] == ["applied"] * 3
    assert bench.shelf.writes == 1 and bench.shelf.state == {"version": "v41"}
    bench.clock.ns += 3600 * NS
    bench.again()
    assert bench.apply().result == "applied" and bench.shelf.writes == 1


def test_a_step_that_was_sent_before_under_another_epoch_is_looked_at_and_not_sent_again():
    bench = Bench()
    bench.apply()
    again = permitted(request(epoch=9, expected_version="2"))
    assert bench.apply(again) == ("lost", "SENT_BEFORE") and bench.shelf.writes == 1
    assert bench.fence(10) and bench.probe(PROBE) == "applied"


def test_a_step_that_was_refused_before_may_be_sent_under_a_later_epoch():
    bench = Bench()
    bench.kill.scopes = ("all",)
    bench.apply()
    bench.kill.scopes = ()
    assert bench.apply(permitted(request(epoch=4))).result == "applied"


def test_a_refusal_stays_a_refusal_even_when_its_cause_is_gone():
    bench = Bench()
    bench.kill.scopes = ("all",)
    assert bench.apply() == ("not_applied", "KILLED")
    bench.kill.scopes = ()
    assert bench.apply() == ("not_applied", "KILLED") and not bench.shelf.writes


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (request()._replace(permit=b"{}"), "MALFORMED"),
        (permitted(kid="decide-9"), "KEY_UNKNOWN"),
        (permitted(key=OTHER), "BAD_SIGNATURE"),
        (permitted(audience="elsewhere"), "WRONG_AUDIENCE"),
        (request()._replace(permit=permitted(request(plan_digest="sha256:q")).permit), "OTHER_REQUEST"),
    ],
)
def test_what_nobody_proved_leaves_no_answer_behind(told, reason):
    bench = Bench()
    assert bench.apply(told) == ("not_applied", reason)
    assert bench.apply().result == "applied"


def test_the_same_key_with_another_content_is_refused():
    bench = Bench()
    bench.apply()
    other = permitted(request(VERBS.change("gitops.revert", TARGET, PARAMETERS | {"to_version": "v40"}, "r")))
    assert bench.apply(other) == ("not_applied", "KEY_REUSED")
    assert bench.apply().result == "applied", "the answer of the first stays"


def test_the_same_key_at_another_target_fences_nothing_there():
    bench, elsewhere = Bench(), "default/service/cart"
    bench.apply()
    bench.apply(permitted(request(VERBS.change("gitops.revert", elsewhere, PARAMETERS, "r"))))
    assert bench.store.known(elsewhere, Name("k", 0, "do", 1)).epoch == 0


def test_a_target_that_moved_since_it_was_looked_at_is_not_written():
    bench = Bench()
    bench.shelf.somebody_sets(version="v43")
    assert bench.apply() == ("not_applied", "VERSION_MOVED")


def test_a_target_in_another_state_or_already_so_is_not_written():
    assert Bench(Shelf({"version": "v40"})).apply().reason == "NOT_AS_EXPECTED"
    assert Bench(Shelf({"version": "v41"})).apply().reason == "ALREADY_SO"


def test_a_write_that_would_change_something_else_than_the_dry_run_showed_is_refused():
    bench = Bench()
    dry = bench.dry_run(CHANGE)
    assert isinstance(dry, DryRun) and '"v42"' in dry.diff and not bench.shelf.writes
    assert bench.apply(permitted(request(dry_run_digest="sha256:other"))).reason == "OTHER_DRY_RUN"
    told = request(epoch=4, dry_run_digest=dry.digest, expected_version=dry.target_version)
    assert bench.apply(permitted(told)).result == "applied"


def test_a_dry_run_of_what_is_not_allowed_is_final_and_of_what_is_away_is_not():
    bench = Bench(scopes=())
    assert bench.dry_run(CHANGE) == Unavailable("OUT_OF_SCOPE", True)
    bench = Bench()
    bench.shelf.is_away = True
    assert bench.dry_run(CHANGE) == Unavailable("TARGET_AWAY", False)


def test_a_kill_while_the_target_is_read_stops_the_write():
    bench = Bench()
    read = bench.shelf.read

    async def slowly(effect):
        bench.kill.scopes = ("all",)
        return await read(effect)

    bench.shelf.read = slowly
    assert bench.apply() == ("not_applied", "KILLED") and not bench.shelf.writes


def test_a_permit_that_runs_out_while_the_target_is_read_stops_the_write():
    bench = Bench()
    read = bench.shelf.read

    async def slowly(effect):
        bench.clock.ns += 21 * NS
        return await read(effect)

    bench.shelf.read = slowly
    assert bench.apply() == ("not_applied", "EXPIRED") and not bench.shelf.writes


@pytest.mark.parametrize(("loses", "found"), [("before", "not_applied"), ("after", "applied"), ("late", "not_applied")])
def test_a_lost_answer_stays_lost_and_fence_and_read_find_the_truth(loses, found):
    bench = Bench()
    bench.shelf.loses = loses
    assert bench.apply().result == "lost"
    bench.again()
    assert bench.apply().result == "lost" and bench.shelf.writes <= 1
    assert bench.fence(4) and bench.probe(PROBE) == found
    if bench.shelf.late:
        assert bench.shelf.land(*bench.shelf.late).outcome == "refused"
    assert bench.probe(PROBE) == found


@pytest.mark.parametrize(("loses", "found"), [("", "applied"), ("before", "unreadable"), ("after", "unreadable")])
def test_of_a_system_that_can_only_be_told_nothing_is_claimed_beyond_its_answer(loses, found):
    bench = Bench(Shelf({"version": None}, keeps_mark=False, fences=False))
    bench.desk.verbs = Verbs([Told], ["gitops.revert"])
    bench.shelf.loses = loses
    bench.shelf.land = lambda *told: Written("written")
    bench.apply()
    bench.clock.ns += LANDING_NS
    assert bench.fence(4) and bench.probe(PROBE) == found


def test_a_fence_that_cannot_reach_a_doubtful_target_is_not_one():
    bench = Bench()
    bench.shelf.loses, bench.shelf.is_away = "late", False
    bench.apply()
    bench.shelf.is_away = True
    assert not bench.fence(4) and bench.probe(PROBE) == "unreadable"
    bench.shelf.is_away = False
    assert bench.fence(4)


def test_a_target_that_cannot_be_fenced_is_waited_for():
    bench = Bench(Shelf(fences=False))
    bench.shelf.loses = "late"
    bench.apply()
    assert not bench.fence(4)
    bench.clock.ns += LANDING_NS
    assert bench.fence(4)


def test_after_the_fence_an_older_attempt_is_refused_though_its_permit_holds():
    bench = Bench()
    assert bench.fence(5) and not bench.fence(4)
    assert bench.apply() == ("not_applied", "STALE_EPOCH") and not bench.shelf.writes


def test_an_undo_is_written_only_over_our_own_mark():
    bench = Bench()
    undo = permitted(request(direction="undo", epoch=5))
    assert bench.apply(undo).reason == "NOT_OUR_MARK"
    bench.shelf.mark, bench.shelf.state = Mark("sha256:a", 0, "do", 3), {"version": "v41"}
    undo = permitted(request(direction="undo", epoch=6))
    assert bench.apply(undo).result == "applied" and bench.shelf.state == {"version": "v42"}
    assert bench.probe(PROBE) == "not_applied"


class Keyed(type(VERBS.get("gitops.revert"))):  # type: ignore[misc]
    effect_class = "keyed"


def test_a_target_that_knows_keys_says_itself_whether_an_undo_is_ours():
    bench = Bench(Shelf({"version": "v41"}))
    bench.desk.verbs = Verbs([Keyed], ["gitops.revert"])
    undo = permitted(request(direction="undo", epoch=5, expected_version=""))
    assert bench.shelf.mark is None and bench.apply(undo).result == "applied"


def test_what_somebody_changed_after_us_is_foreign_and_not_undone():
    bench = Bench()
    bench.apply()
    bench.shelf.somebody_sets(version="v44")
    assert bench.probe(PROBE) == "foreign"
    assert bench.apply(permitted(request(direction="undo", epoch=5))).reason == "NOT_OUR_MARK"


class Taking(type(VERBS.get("gitops.revert"))):  # type: ignore[misc]
    capacity_floor = 0.8

    def taken(self, parameters, state):
        return 2

    def limit(self, parameters, state):
        return "too many" if state.get("crowd") else None


@pytest.mark.parametrize(
    ("capacity", "floors", "result"),
    [(Capacity(10, 10), {}, "applied"), (Capacity(9, 10), {}, "BELOW_FLOOR"), (None, {}, "BELOW_FLOOR"),
     (Capacity(10, 10), {TARGET: 9}, "BELOW_FLOOR"), (Capacity(10, 10), {TARGET: 8}, "applied")],
)  # fmt: skip
def test_capacity_is_never_taken_below_the_floor_nor_where_nobody_knows_it(capacity, floors, result):
    bench = Bench(floors=floors)
    bench.desk.verbs = Verbs([Taking], ["gitops.revert"])
    bench.shelf.capacity = capacity
    answer = bench.apply()
    assert result in answer


def test_a_limit_of_the_verb_is_held_at_the_write():
    bench = Bench(Shelf({"version": "v42", "crowd": 1}))
    bench.desk.verbs = Verbs([Taking], ["gitops.revert"])
    assert bench.apply() == ("not_applied", "OVER_LIMIT")


class Told(type(VERBS.get("gitops.revert"))):  # type: ignore[misc]
    def expects(self, parameters):
        return {}


NAMES = st.builds(
    Name, st.sampled_from(["a", "b"]), st.integers(0, 1), st.sampled_from(["do", "undo"]), st.integers(1, 4)
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), NAMES, st.sampled_from(["begun", "applied", "not_applied"])),
        st.tuples(st.just("settle"), NAMES, st.sampled_from(["applied", "not_applied", "lost"])),
        st.tuples(st.just("fence"), st.integers(1, 6)),
        st.tuples(st.just("open")),
    ),
    max_size=14,
)


@given(STEPS)
@settings(deadline=None)
def test_the_store_on_disk_and_the_one_in_memory_know_the_same(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("gateway") / "store"
    real, model = SqliteGatewayStore(path), ModelGatewayStore()
    for told in steps:
        if told[0] == "open":
            real.close()
            real = SqliteGatewayStore(path)
        for store in (real, model):
            if told[0] == "keep":
                store.keep(Attempt(told[1], "t", Kept(told[2], "", "d"), b"e", "1", 5))
            elif told[0] == "settle":
                store.settle(told[1], told[2], "R")
        if told[0] == "fence":
            assert real.fence("t", told[1]) == model.fence("t", told[1])
    assert real.attempts("t") == model.attempts("t")
    assert real.newest() == model.newest()
    for name in (MINE, Name("a", 0, "do", 1), Name("b", 1, "undo", 4)):
        assert real.known("t", name) == model.known("t", name)
    real.close()


def test_a_dry_run_tells_of_the_newest_attempts_whatever_their_target_and_result():
    bench = Bench()
    for epoch in range(1, NEWEST + 3):
        name, kept = Name("k", 0, "do", epoch), Kept("not_applied" if epoch % 2 else "begun", "", "d")
        bench.store.keep(Attempt(name, f"t{epoch}", kept, b"e", "1", 5))
    told = bench.dry_run(CHANGE)
    assert load_dry_run(json.loads(json.dumps(dump_dry_run(told)))) == told
    assert told.newest == tuple((f"t{epoch}", epoch) for epoch in range(NEWEST + 2, 2, -1))


def test_a_store_that_failed_once_is_not_believed_again(tmp_path):
    store = SqliteGatewayStore(tmp_path / "store")
    store._db.execute("drop table attempt")
    for _ in range(2):
        with pytest.raises(LedgerFault):
            store.keep(Attempt(MINE, "t", Kept("begun", "", "d"), b"", "", 0))


def test_a_store_of_another_format_is_refused(tmp_path):
    store = SqliteGatewayStore(tmp_path / "store")
    store._db.execute("pragma user_version=9")
    store.close()
    with pytest.raises(LedgerFault, match="its format is 9"):
        SqliteGatewayStore(tmp_path / "store")


def test_what_a_request_asks_for_is_all_in_its_digest():
    told = request()
    other = told._replace(plan_digest="q"), told._replace(direction="undo"), told._replace(change=changed(runbook="s"))
    assert len({request_digest(one) for one in (told, *other)}) == 4
    assert request_digest(told._replace(until_ns=0, evidence_ns=0)) == request_digest(told)
    assert isinstance(told.change, ProposedChange)
