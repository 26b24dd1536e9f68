"""What every context store holds to, whatever keeps it: `check(store)` on an empty one."""

from schemas.core import NS
from tidegate._context import Entry, Keep

NOW = 1_800_000_000 * NS
HOSTILE = "\" OR 1=1 -- NEAR( * ) ' | & ! :* cart"


def entry(name, kind="incident", tenant="", service="cart", title="", body="", age_s=0):
    return Entry(name, kind, tenant, service, title or name, body, NOW - age_s * NS if age_s else 0)


def names(found):
    return [one.id for one in found]


def what_is_fed_again_is_there_once_and_says_the_newer(store):
    assert store.feed([entry("a", body="redis full"), entry("b", body="disk full")], [], NOW) == 2
    store.feed([entry("a", body="redis slow")], [], NOW + 60 * NS)
    assert names(store.search("slow")) == ["a"] and names(store.search("full")) == ["b"]
    assert store.status(NOW + 60 * NS)["kinds"]["incident"]["entries"] == 2


def any_word_is_enough_the_service_counts_most_and_no_operator_is_obeyed(store):
    store.feed([entry("in-text", service="mail", body="cart " + "x " * 40), entry("own", body="nothing"),
                entry("other", service="mail", body="redis.conf of cart-api_7")], [], NOW)  # fmt: skip
    assert names(store.search("cart"))[0] == "own" and len(store.search("cart nothing redis")) == 3
    assert set(names(store.search(HOSTILE))) == {"own", "in-text", "other"}
    assert names(store.search("conf")) == names(store.search("API")) == ["other"]
    assert store.search(" -- '") == [] and store.search("nowhere") == []


def a_tenant_sees_its_own_and_what_is_nobodys(store):
    store.feed([entry(t or "all", tenant=t, body="disk") for t in ("", "one", "two")], [], NOW)
    assert sorted(names(store.search("disk", tenant="one"))) == ["all", "one"]
    assert len(store.search("disk")) == 3


def kinds_and_services_narrow_it_and_the_newest_comes_first(store):
    store.feed([entry("old", "change", age_s=900, body="disk"), entry("new", "change", age_s=60, body="disk"),
                entry("book", "runbook", service="", body="disk"), entry("no", "change", service="mail", body="disk")],
               [], NOW)  # fmt: skip
    assert names(store.search("disk", kinds=["change"], service="cart")) == ["new", "old"]
    assert names(store.search("disk", kinds=["runbook"], service="cart")) == ["book"]
    assert len(store.search("disk", most=2)) == 2


def freshness_and_what_is_not_known_are_measured(store):
    store.feed([entry("c", "change", age_s=30), entry("o", "owner"), entry("s", "slo", tenant="two", service="cart")],
               [("one", "cart"), ("one", "mail")], NOW)  # fmt: skip
    told = store.status(NOW + 90 * NS)
    assert told["kinds"]["change"] == {
        "entries": 1, "newest_age_s": 120.0, "oldest_age_s": 120.0, "fed_age_s": 90.0,
    }  # fmt: skip
    assert told["kinds"]["owner"]["newest_age_s"] is None and told["services"] == 2
    assert told["coverage"]["owner"] == {"share": 0.5, "missing": ["mail"]}
    assert told["coverage"]["slo"]["share"] == 0.0  # it is another tenant's


def text_that_no_database_likes_is_kept(store):
    store.feed([entry("n", title="a\0b", body="caf\u00e9 \0 disk \U0001f600 it's 1e5")], [("t", "x\0")], NOW)
    assert names(store.search("disk")) == names(store.search("CAF\u00c9")) == names(store.search("1e5")) == ["n"]


DAY = 86_400


def what_is_old_is_forgotten_but_no_cause_that_somebody_said_and_no_document(store):
    old = 401 * DAY
    store.feed([entry("new", body="disk", age_s=399 * DAY), entry("old", body="disk", age_s=old),
                entry("known", body="disk cart code (said by ada)", age_s=old),
                entry("change", "change", body="disk", age_s=old),
                entry("book", "runbook", body="disk"), entry("doc", "postmortem", body="disk")], [], NOW)  # fmt: skip
    assert store.forget(Keep(400), NOW) == {"change": 1, "incident": 1}
    assert sorted(names(store.search("disk"))) == ["book", "doc", "known", "new"]
    assert store.forget(Keep(400), NOW) == {}


def of_too_many_the_newest_stay(store):
    store.feed([entry(f"e{n}", "alert", body="disk", age_s=n + 1) for n in range(30)], [], NOW)
    assert store.forget(Keep(400, 10), NOW) == {"alert": 20}
    assert sorted(names(store.search("disk"))) == sorted(f"e{n}" for n in range(10))


def a_document_that_people_no_longer_keep_is_forgotten_and_others_are_not(store):
    store.feed([entry(f"document/{t}/owners/{n}.md", "owner", body="disk") for t in "ab" for n in "xy"], [], NOW)
    assert store.forget(Keep(), NOW, {"document/a/": ["document/a/owners/x.md"]}) == {"owner": 1}
    assert len(store.search("disk")) == 3


RULES = [
    what_is_old_is_forgotten_but_no_cause_that_somebody_said_and_no_document, of_too_many_the_newest_stay,
    a_document_that_people_no_longer_keep_is_forgotten_and_others_are_not,
    what_is_fed_again_is_there_once_and_says_the_newer, a_tenant_sees_its_own_and_what_is_nobodys,
    any_word_is_enough_the_service_counts_most_and_no_operator_is_obeyed, text_that_no_database_likes_is_kept,
    kinds_and_services_narrow_it_and_the_newest_comes_first, freshness_and_what_is_not_known_are_measured,
]  # fmt: skip
