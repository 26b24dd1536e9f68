"""The context store in a file, and `tidegate context` on a real run."""

import pytest
from support.cli import call
from support.context_rules import NOW, RULES, entry

import schemas as sc
from simulation import BadDeploy, shop
from streams import MemoryLog
from tidegate import _demo, _pipeline, _replay, _run
from tidegate._context import SqliteStore, open_store
from tidegate._context_documents import documents, load_book
from tidegate._context_records import entries_of
from tidegate._errors import RunError
from tidegate._labels import Place, Told
from tidegate._run import Kept
from tidegate._settings import Settings

DOCUMENTS = {
    "postmortems/2026-03-checkout.md": "# Checkout refused cards\nservice: checkout\nA deploy broke the card check.",
    "owners/checkout.md": "# Team payments\nOn call: payments@example.org, then the head of trade.",
    "runbooks/checkout.md": "# Checkout fails\nservice: checkout\nRevert the last deploy.",
    "slos/checkout.yaml": "title: 99.9 % of orders\nservice: checkout\n",
    "slos/notes.docx": "not read",
}


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


STATED = {
    "owners/checkout.yaml": "service: checkout\nowner: Team payments\nescalation: [pay@example.org, head of trade]\n"
                            "business: [orders_per_minute]\n",
    "slos/checkout.yaml": "service: checkout\nobjectives:\n  - {of: error_ratio, most: 0.001, title: 99.9 %}\n",
    "owners/cart.md": "# Team shop\n",
}  # fmt: skip


def folder_of(place, texts):
    for name, text in texts.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return place


def test_a_folder_a_store_and_a_kept_book_say_the_same_of_services(tmp_path):
    folder = folder_of(tmp_path / "know", STATED)
    book = load_book(str(folder))
    cart, checkout = book.services
    assert (cart.owner, cart.objectives, checkout.owner) == ("Team shop", [], "Team payments")
    assert (checkout.escalation[0], checkout.objectives[0].most) == ("pay@example.org", 0.001)
    with SqliteStore(tmp_path / "context.sqlite") as store:
        store.feed(documents(folder), [], NOW)
    (tmp_path / "book.json").write_bytes(book.to_bytes())
    assert load_book(str(tmp_path / "context.sqlite")) == load_book(str(tmp_path / "book.json")) == book
    assert load_book("") is None


@pytest.mark.parametrize("text", ["owner: [a", "owner: {a: 1}", "objectives: [{of: luck, most: 1}]", "business: 7"])
def test_what_an_owner_cannot_mean_is_a_sentence_with_the_name_of_the_document(tmp_path, text):
    with pytest.raises(RunError, match=r"owners/x\.yaml") as said:
        documents(folder_of(tmp_path, {"owners/x.yaml": text}))
    assert said.value.code == "DOCUMENT_UNREADABLE"


def test_a_demo_that_knows_owners_and_objectives_says_whose_the_incident_is_and_what_customers_lose(tmp_path):
    folder = folder_of(tmp_path / "know", STATED)
    pipeline = _pipeline.build(Settings.model_validate({"diagnosis": {"services": str(folder)}}))
    run = _replay.replay(stretch(), pipeline)
    (said,) = {i.id: i for i in run.incidents.values()}.values()
    missed = said.customer_impact[0]
    assert (said.owner, said.business) == ("Team payments", []) and said.escalation
    assert (missed.service, missed.of) == ("checkout", "error_ratio") and 0.1 < missed.observed <= 1 and missed.requests
    (plain,) = _replay.replay(stretch(), _pipeline.build(Settings())).incidents.values()
    assert (plain.owner, plain.customer_impact, plain.business) == (None, None, None)
    assert plain.severity < said.severity and plain.opened_ns == said.opened_ns


def stretch():
    log, messages = MemoryLog(), []
    for emit in shop(5, NOW, 420, fault=BadDeploy(at_s=240, error_ratio=0.5, innocent_s=60), rate=10):
        log.append([emit], writer="shop")
        messages.append(log.read([emit.topic], log.last() - 1, 1)[0].message)
    return messages
