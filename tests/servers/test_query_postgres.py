"""The query of PostgreSQL activity on a real server: who waits for whom, read without being able to write."""

import asyncio
import threading

import psycopg
import pytest
from support.postgres import alone

from diagnosis import Context, Onset, QueryFailed
from diagnosis.queries.postgres import Postgres
from tidegate._investigate_readers import PostgresReader


@pytest.fixture(scope="module")
def server():
    with alone() as found:
        yield found


def asked(server, service):
    query = Postgres()
    answer = asyncio.run(
        query.run(Onset(service=service, onset_ns=1, end_ns=2), "default",
                  Context(postgres=PostgresReader(server.place)))
    )  # fmt: skip
    return {finding.kind: finding.now for finding in answer.findings}


def test_a_session_that_waits_for_a_lock_is_seen_and_nothing_else_is(server):
    holder = psycopg.connect(server.place, application_name="batch")
    waiter = psycopg.connect(server.place, application_name="cart", autocommit=True)
    holder.execute("CREATE TABLE IF NOT EXISTS held (n int)")
    holder.commit()
    holder.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
    waiting = threading.Thread(target=lambda: waiter.execute("SELECT * FROM held"), daemon=True)
    waiting.start()
    for _ in range(100):
        if (told := asked(server, "cart"))["asked_lock_waits"]:
            break
    assert told["asked_lock_waits"] == 1 and asked(server, "batch")["asked_lock_waits"] == 0
    holder.rollback()
    waiting.join(10)
    holder.close()
    waiter.close()


def test_the_reader_cannot_write(server):
    with pytest.raises(QueryFailed, match="POSTGRES_REFUSED"):
        asyncio.run(PostgresReader(server.place).rows("CREATE TABLE more (n int)"))


def test_a_server_that_is_not_there_is_a_failure_with_a_code():
    with pytest.raises(QueryFailed, match="POSTGRES_UNREACHABLE"):
        asyncio.run(PostgresReader("postgresql://x@127.0.0.1:9/x").rows("SELECT 1"))
