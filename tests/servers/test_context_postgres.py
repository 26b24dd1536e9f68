"""The context store in a real PostgreSQL holds to what it holds to in a file."""

import pytest
from support.context_rules import NOW, RULES, entry
from support.postgres import alone

from tidegate._context import open_store
from tidegate._errors import RunError


@pytest.fixture(scope="module")
def server():
    with alone() as found:
        yield found


@pytest.fixture
def store(server):
    with open_store(server.place) as found:
        yield found
    server.run("DROP TABLE tidegate_context_entry, tidegate_context_service, tidegate_context_meta")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_postgresql_holds_to_the_rule(rule, store):
    rule(store)


def test_what_cannot_be_written_whole_is_not_written(store):
    with pytest.raises(RunError):
        store.feed([entry("a", body="disk"), entry("b")._replace(at_ns=1 << 70)], [], NOW)
    assert store.search("disk") == []


def test_two_may_feed_and_read_at_once(server, store):
    with open_store(server.place) as other:
        store.feed([entry("a", body="disk")], [], NOW)
        other.feed([entry("a", body="disk"), entry("b", body="disk")], [], NOW)
        assert len(store.search("disk")) == 2


def test_a_server_that_is_not_there_is_a_sentence_without_the_password(server):
    with pytest.raises(RunError) as said:
        open_store("postgresql://tidegate:secret@127.0.0.1:1/postgres")
    assert said.value.code == "CONTEXT_UNREADABLE" and "secret" not in str(said.value)
