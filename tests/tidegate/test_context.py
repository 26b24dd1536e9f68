"""The context store in a file, and `tidegate context` on a real run."""

import json

import pytest
from support.context_rules import NOW, RULES, entry
from typer.testing import CliRunner

import schemas as sc
from tidegate import _demo, _run
from tidegate._context import SqliteStore, open_store
from tidegate._context_records import documents, entries_of
from tidegate._errors import RunError
from tidegate._labels import Place, Told
from tidegate._run import Kept
from tidegate.cli import app

DOCUMENTS = {
    "postmortems/2026-03-checkout.md": "# Checkout refused cards\nservice: checkout\nA deploy broke the card check.",
    "owners/checkout.md": "# Team payments\nOn call: payments@example.org, then the head of trade.",
    "runbooks/checkout.md": "# Checkout fails\nservice: checkout\nRevert the last deploy.",
    "slos/checkout.yaml": "title: 99.9 % of orders\nservice: checkout\n",
    "slos/notes.docx": "not read",
}


def call(*words):
    answer = CliRunner().invoke(app, [*words, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.output.splitlines()[-1])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_file_holds_to_the_rule(rule, tmp_path):
    with SqliteStore(tmp_path / "context.sqlite") as store:
        rule(store)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A run with a label, and a store fed from it and from documents."""
    place = tmp_path_factory.mktemp("context")
    run, store = place / "run", place / "context.sqlite"
    _demo.demo(7, run, quiet=True)
    for name, text in DOCUMENTS.items():
        file = place / "documents" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    name = next(iter(_run.read(run).diagnoses))
    call("label", name, "--cause", "checkout", "--family", "change", "--by", "ada", "--run", str(run))
    words = ("context", "build", "--store", str(store), "--run", str(run), "--documents", str(place / "documents"))
    assert call(*words) == call(*words)
    return run, str(store)


def test_changes_past_incidents_and_documents_are_found_by_their_words(built):
    _, store = built
    found = call("context", "search", "checkout", "--store", store)["found"]
    assert {"change", "incident", "postmortem", "owner", "runbook", "slo"} <= {one["kind"] for one in found}
    told = call("context", "search", "said", "ada", "--store", store, "--kind", "incident")["found"]
    assert len(told) == 1 and "cause checkout change (said by ada)" in told[0]["body"]
    assert not call("context", "search", "docx", "--store", store)["found"]


def test_the_status_says_how_fresh_it_is_and_whose_owner_is_not_known(built):
    told = call("context", "status", "--store", built[1])
    assert told["kinds"]["change"]["newest_age_s"] > 0 and told["kinds"]["owner"]["newest_age_s"] is None
    owned = told["coverage"]["owner"]
    assert 0 < owned["share"] < 1 and "checkout" not in owned["missing"] and len(owned["missing"]) > 1


def test_the_briefing_tells_of_postmortems_owners_and_runbooks_of_the_services(built):
    run, store = built
    told = call("brief", "--run", str(run), "--context", store)
    lines = {part["title"]: " | ".join(line["text"] for line in part["lines"]) for part in told["sections"]}
    assert "postmortem: Checkout refused cards" in lines["Seen before"]
    assert all(word in lines["Look further"] for word in ("runbook: Checkout fails", "slo: 99.9 % of orders"))
    assert "owner: Team payments" in lines["Impact"]
    without = call("brief", "--run", str(run))
    assert any("were not searched" in line["text"] for part in without["sections"] for line in part["lines"])


def test_calendar_and_alerts_of_others_are_entries_as_well():
    freeze = sc.CalendarEntry(id="f", kind="freeze", title="Year end", start_ns=NOW, end_ns=NOW + 1, services=["cart"])
    ticket = sc.Alert(id="t", entity_id="default/service/cart", service="cart", kind="ticket", state="resolved",
                      name="INC7", title="Cart is slow", at_ns=NOW, said_ns=NOW, system="servicenow")  # fmt: skip
    found = entries_of(Told(Kept({}, {}, [], [], {}, [], {"f": freeze}, {"t": ticket}), []))
    assert [(one.kind, one.service, one.title) for one in found] == [
        ("calendar", "cart", "Year end"), ("alert", "cart", "Cart is slow"),
    ]  # fmt: skip


def test_it_is_fed_from_the_topics_that_it_names(built):
    assert set(Place(built[0]).read((sc.CALENDAR, sc.ALERTS)).kept.changes)


def test_a_store_that_is_none_or_not_there_is_a_sentence(tmp_path):
    (tmp_path / "text").write_text("no database, but long enough to be taken for the head of one" * 20)
    for name, code in (("text", "CONTEXT_UNREADABLE"), ("nowhere", "RUN_UNREADABLE")):
        with pytest.raises(RunError) as said:
            open_store(str(tmp_path / name), must_exist=True)
        assert said.value.code == code
    with pytest.raises(RunError, match="is no folder of documents"):
        documents(tmp_path / "nowhere")


def test_a_store_of_another_format_is_refused(tmp_path):
    with SqliteStore(tmp_path / "c") as store:
        store.feed([entry("a")], [], NOW)
        store._db.execute("UPDATE meta SET value = '9' WHERE name = 'format'")
    with pytest.raises(RunError, match="format 9"):
        SqliteStore(tmp_path / "c")
