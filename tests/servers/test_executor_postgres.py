"""The executor of PostgreSQL on a real server, with the credentials that it needs and no more."""

import psycopg
import pytest
from support.effects import (
    check_a_moved_target_is_left_alone,
    check_done_once_and_undone,
    check_what_somebody_changed_since_is_not_undone,
)
from support.gateway import VERBS
from support.postgres import alone
from support.rigs import Rig

from actions._executor import Mark, TargetAway
from actions._gateway import effect_of
from actions.executors.postgres import SET_UP, Postgres, PostgresSettings

DO, UNDO = Mark("sha256:a", 0, "do", 3), Mark("sha256:a", 0, "undo", 4)
TARGET = "default/service/orders-db"


@pytest.fixture(scope="module")
def server():
    with alone() as one:
        one.run("create role gateway login createrole")
        one.run("grant pg_signal_backend, pg_read_all_stats to gateway")
        one.run("create role orders login connection limit 20")
        one.run("create role other login connection limit 20")
        one.run("grant orders to gateway with admin option, inherit false, set false")
        one.run(SET_UP)
        one.run("grant usage on schema tidegate to gateway; grant select, insert, update on tidegate.mark to gateway")
        yield one


@pytest.fixture
def hands(server):
    server.run("alter role orders connection limit 20")
    server.run("truncate tidegate.mark")
    told = {"services": {"orders-db": place(server, "gateway")}, "roles": ("orders", "other", "tidegate")}
    return Postgres(PostgresSettings(**told))


def place(server, user):
    return f"postgresql://{user}@127.0.0.1:{server.port}/postgres"


def resize(direction="do", to=24, role="orders"):
    told = {"role": role, "from_limit": 20, "to_limit": to}
    return effect_of(VERBS, VERBS.change("postgres.pool_resize", TARGET, told, "r"), direction)


def limit(server):
    return server.run("select rolconnlimit from pg_roles where rolname = 'orders'")[0][0]


def test_a_limit_is_set_with_our_mark_and_set_back(server, hands):
    before = hands.read(resize())
    assert before.state == {"connection_limit": 20, "used": 0, "max_connections": 30} and before.mark is None
    assert hands.write(resize(), DO, before).outcome == "written" and limit(server) == 24
    after = hands.read(resize())
    assert after.mark == DO and after.version != before.version
    assert hands.write(resize("undo"), UNDO, after).outcome == "written" and limit(server) == 20
    assert hands.read(resize()).mark == UNDO and hands.read(resize()).version == before.version


def test_what_a_dba_has_set_since_does_not_carry_our_mark_and_is_not_overwritten(server, hands):
    before = hands.read(resize())
    hands.write(resize(), DO, before)
    server.run("alter role orders connection limit 22")
    reading = hands.read(resize())
    assert reading.mark is None and reading.state["connection_limit"] == 22
    assert hands.write(resize(), DO, before)[:2] == ("refused", "CONFLICT") and limit(server) == 22


def test_a_write_that_comes_after_the_fence_is_refused(server, hands):
    before = hands.read(resize())
    hands.fence(resize(), 4)
    assert hands.write(resize(), DO, before)[:2] == ("refused", "STALE_EPOCH") and limit(server) == 20
    later = Mark("sha256:b", 0, "do", 4)
    assert hands.write(resize(), later, hands.read(resize())).outcome == "written"


def test_a_fence_waits_for_the_write_that_is_under_way(server, hands):
    hands.fence(resize(), 3)
    with psycopg.connect(place(server, "gateway")) as under_way:
        under_way.execute("select 1 from tidegate.mark for update")
        quick = Postgres(PostgresSettings(dsn=place(server, "gateway"), timeout_s=2, roles=("orders",)))
        with pytest.raises(TargetAway, match="timeout"):
            quick.fence(resize(), 4)
    hands.fence(resize(), 4)


def test_a_role_that_is_not_ours_to_resize_is_refused_by_the_server(server, hands):
    told = resize(role="other")
    assert hands.write(told, DO, hands.read(told))[:2] == ("refused", "42501")
    assert server.run("select count(*) from tidegate.mark where mark <> ''") == [(0,)]
    with pytest.raises(TargetAway):
        hands.read(resize(role="tidegate"))


def test_a_role_that_is_not_in_the_settings_is_absent(server):
    with pytest.raises(TargetAway) as refused:
        Postgres(PostgresSettings(dsn=place(server, "gateway"))).read(resize())
    assert refused.value.code == "TARGET_ABSENT"


def terminate(connection):
    pid, start = connection.execute(
        "select pid, to_char(backend_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        " from pg_stat_activity where pid = pg_backend_pid()"
    ).fetchone()
    connection.commit()
    told = {"pid": pid, "backend_start": start}
    return effect_of(VERBS, VERBS.change("postgres.terminate_backend", TARGET, told, "r"), "do")


def test_exactly_one_backend_is_ended_and_never_a_later_one_of_the_same_number(server, hands):
    with psycopg.connect(place(server, "orders")) as one, psycopg.connect(place(server, "orders")) as two:
        effect = terminate(one)
        later = effect._replace(parameters={**effect.parameters, "backend_start": "2026-01-01T00:00:00.000000Z"})
        assert hands.read(later).state["is_connected"] is False
        reading = hands.read(effect)
        assert reading.state == {"is_connected": True, "backend_type": "client backend", "is_superuser": False}
        assert hands.write(effect, DO, reading).outcome == "written"
        assert hands.read(effect).state["is_connected"] is False and hands.read(effect).mark == DO
        with pytest.raises(psycopg.OperationalError):
            one.execute("select 1")
        assert two.execute("select 1").fetchone() == (1,)


def test_a_backend_of_a_superuser_is_seen_as_one(server, hands):
    with psycopg.connect(place(server, "tidegate")) as one:
        assert hands.read(terminate(one)).state["is_superuser"] is True


def test_a_server_that_dies_in_the_middle_is_lost_and_one_that_says_no_is_not(server, hands, monkeypatch):
    before = hands.read(resize())
    for query, outcome in (
        ("select pg_terminate_backend(pg_backend_pid())", ("lost", "CONNECTION")),
        ("select 1/0", ("refused", "22012")),
    ):
        monkeypatch.setattr("actions.executors.postgres._do", lambda db, effect, query=query: db.execute(query))
        assert hands.write(resize(), DO, before)[:2] == outcome and limit(server) == 20


@pytest.fixture
def rig(server):
    opened = []

    def parameters(verb):
        if verb == "postgres.pool_resize":
            return {"role": "orders", "to_limit": 24}
        opened.append(psycopg.connect(place(server, "orders")))
        return dict(terminate(opened[-1]).parameters)

    def moved(verb):
        if verb == "postgres.pool_resize":
            server.run("alter role orders connection limit 22")
        else:
            server.run(f"select pg_terminate_backend({opened[-1].info.backend_pid}, 3000)")

    def prepare(verb):
        server.run("alter role orders connection limit 20")
        server.run("truncate tidegate.mark")

    told = {"services": {"orders-db": place(server, "gateway")}, "roles": ("orders",)}
    yield Rig(Postgres(PostgresSettings(**told)), moved, parameters, prepare)
    for one in opened:
        one.close()


@pytest.mark.parametrize("verb", Postgres.verbs)
def test_each_verb_is_done_once_through_the_gateway_and_undone_as_it_was(rig, verb):
    check_done_once_and_undone(rig, verb)


@pytest.mark.parametrize("verb", Postgres.verbs)
def test_a_target_that_somebody_moved_is_left_alone(rig, verb):
    check_a_moved_target_is_left_alone(rig, verb)


def test_what_a_dba_has_changed_since_is_not_undone(rig):
    check_what_somebody_changed_since_is_not_undone(rig, "postgres.pool_resize")


def test_a_server_that_is_away_is_away_and_nothing_was_sent(hands):
    gone = Postgres(PostgresSettings(dsn="postgresql://gateway@127.0.0.1:1/postgres", timeout_s=2, roles=("orders",)))
    reading = hands.read(resize())
    with pytest.raises(TargetAway) as refused:
        gone.read(resize())
    assert refused.value.code == "TARGET_AWAY"
    assert gone.write(resize(), DO, reading)[:2] == ("refused", "CONNECTION")
