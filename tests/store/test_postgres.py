"""PostgreSQL: what is its own. Several nodes, lost connections, conflicts, settings that must not be trusted."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import bindparam, select, text, update

from policy.enrollment import Submitted
from store import approvals, audit, jobs
from store import postgres as engine
from store.audit import AuditEvent
from store.database import DatabaseRefused, StorageFailed, Transaction
from store.migrations.guards import GUARDS_0001
from store.open import open_database
from store.postgres import CONNECTIONS, PostgresDatabase
from store.schema import blocked_keys
from store.statements import Statement
from tests.common.postgres import PostgresServer, postgres_url
from tests.common.world import make_world
from tests.store.units import NOW, is_there, put, putting

pytestmark = pytest.mark.postgres

TOUCH = Statement(
    update(blocked_keys).where(blocked_keys.c.spki_sha256 == bindparam("key")).values(blocked_at=5)
)
SEE = Statement(select(blocked_keys.c.reason))


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database."""
    return postgres_url(request)


@pytest.fixture
async def postgres(url: str) -> AsyncIterator[PostgresDatabase]:
    """One node on it."""
    async for node in opened(url):
        yield node


@pytest.fixture
async def other(url: str) -> AsyncIterator[PostgresDatabase]:
    """Another."""
    async for node in opened(url):
        yield node


async def opened(url: str) -> AsyncIterator[PostgresDatabase]:
    database = await open_database(url, upgrade=False)
    assert isinstance(database, PostgresDatabase)
    yield database
    await database.close()


@pytest.fixture
async def connection(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that is nobody's."""
    made = await asyncpg.connect(url)
    yield made
    await made.close()


async def cut_off(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Break every other connection to this database."""
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def test_who_counts_votes_is_not_overtaken(url: str, other: PostgresDatabase) -> None:
    async with make_world(url) as world:
        outcome = await world.ask("a.example")
        assert isinstance(outcome, Submitted)
        approval_id = outcome.approval_id
        assert approval_id is not None
        order: list[str] = []
        first_holds = asyncio.Event()

        async def first(tx: Transaction) -> None:
            await approvals.lock(tx, approval_id)
            first_holds.set()
            await asyncio.sleep(0.1)
            order.append("first")

        async def second(tx: Transaction) -> None:
            await approvals.lock(tx, approval_id)
            order.append("second")

        one = asyncio.ensure_future(world.write(first))
        await first_holds.wait()
        await asyncio.gather(one, other.write(second))
        assert order == ["first", "second"]


async def test_a_worker_does_not_wait_for_another_s_rows(url: str) -> None:
    async with make_world(url) as world:
        for name in ("a.example", "b.example"):
            await world.ask(name, profile="default")
        holding, go_on = asyncio.Event(), asyncio.Event()

        async def hold(tx: Transaction) -> list[jobs.ClaimedJob]:
            got = await jobs.claim(tx, "slow", world.now, world.now, 1)
            holding.set()
            await go_on.wait()
            return got

        slow = asyncio.ensure_future(world.write(hold))
        await holding.wait()
        try:
            quick = await asyncio.wait_for(
                world.write(lambda tx: jobs.claim(tx, "quick", world.now, world.now, 5)), 5
            )
        finally:
            go_on.set()
        assert len(quick) == 1
        assert {job.job_id for job in quick}.isdisjoint({job.job_id for job in await slow})


async def test_a_word_reaches_every_node(postgres: PostgresDatabase, other: PostgresDatabase) -> None:
    async def announce(tx: Transaction) -> None:
        for topic in ("a", "b", "a"):
            tx.announce(topic)

    with other.signals.expect("a") as a, other.signals.expect("b") as b, postgres.signals.expect("b") as own:
        await postgres.write(announce)
        await asyncio.wait_for(asyncio.gather(a, b, own), 5)


async def test_a_broken_link_is_replaced(
    postgres: PostgresDatabase,
    connection: "asyncpg.Connection[asyncpg.Record]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "_RELISTEN_SECONDS", 0.01)
    await asyncio.gather(*[postgres.write(putting(str(number))) for number in range(20)])
    await cut_off(connection)
    with contextlib.suppress(StorageFailed):
        await postgres.write(putting("meanwhile"))
    await postgres.write(putting("afterwards"))
    assert await is_there(postgres, "afterwards")
    # The listener too: words arrive again.
    for _ in range(500):
        await postgres.write(lambda tx: _announce(tx, "again"))
        if await postgres.signals.wait("again", 0.02):
            break
    else:
        pytest.fail("nothing is heard any more")


async def _announce(tx: Transaction, topic: str) -> None:
    tx.announce(topic)


async def test_a_link_that_breaks_inside_the_work(
    postgres: PostgresDatabase, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async def work(tx: Transaction) -> None:
        await audit.append(tx, NOW, "a", AuditEvent.CA_CREATED, "lost")
        await put(tx, "a")
        await cut_off(connection)

    for _ in range(3):
        with pytest.raises(StorageFailed):
            await postgres.write(work)
    await postgres.write(lambda tx: audit.append(tx, NOW, "a", AuditEvent.CA_CREATED, "kept"))
    assert await postgres.read(audit.verify) == 1
    assert not await is_there(postgres, "a")
    assert await postgres.single.all(SEE) == []


async def test_a_commit_that_is_refused(
    postgres: PostgresDatabase, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Then nobody knows where the connection's chain stands: it is left, and the next one begins another."""
    await connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'too late' USING ERRCODE = 'check_violation'; END $$;"
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON blocked_keys DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )

    async def work(tx: Transaction) -> None:
        await audit.append(tx, NOW, "a", AuditEvent.CA_CREATED, "lost")
        await put(tx, "a")

    await postgres.write(lambda tx: audit.append(tx, NOW, "a", AuditEvent.CA_CREATED, "kept"))
    with pytest.raises(DatabaseRefused, match="too late"):
        await postgres.write(work)
    await postgres.write(lambda tx: audit.append(tx, NOW, "a", AuditEvent.CA_CREATED, "kept"))
    assert await postgres.read(audit.verify) == 2
    assert not await is_there(postgres, "a")


async def test_those_who_wait_for_each_other_are_run_again(
    postgres: PostgresDatabase, other: PostgresDatabase
) -> None:
    for key in ("a", "b"):
        await postgres.write(putting(key))
    both = asyncio.Barrier(2)
    runs = 0

    async def work(tx: Transaction, first: str, second: str) -> None:
        nonlocal runs
        runs += 1
        await tx.execute(TOUCH, key=first)
        if runs <= 2:
            await both.wait()
        await tx.execute(TOUCH, key=second)

    await asyncio.gather(
        postgres.write(lambda tx: work(tx, "a", "b")), other.write(lambda tx: work(tx, "b", "a"))
    )
    assert runs == 3


async def test_endless_conflicts_end(postgres: PostgresDatabase) -> None:
    runs = 0

    async def conflict(_: Transaction) -> None:
        nonlocal runs
        runs += 1
        raise asyncpg.SerializationError("again")

    with pytest.raises(StorageFailed, match="too busy"):
        await postgres.write(conflict)
    assert runs == 5


async def test_a_refusal_is_believed_the_second_time(postgres: PostgresDatabase) -> None:
    runs = 0

    async def refused(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        await put(tx, "a")
        await tx.execute(Statement(text("INSERT INTO blocked_keys VALUES ('a', 'r', 1, NULL)")))

    with pytest.raises(DatabaseRefused, match="pk_blocked_keys"):
        await postgres.write(refused)
    assert runs == 2


async def test_a_column_that_changes_its_type_under_a_prepared_statement(
    postgres: PostgresDatabase, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await postgres.write(putting("a"))
    for type_ in ("varchar(99)", "text"):
        assert await postgres.read(lambda tx: tx.all(SEE)) == [("test",)]
        await connection.execute(f"ALTER TABLE blocked_keys ALTER COLUMN reason TYPE {type_}")
        assert await postgres.read(lambda tx: tx.all(SEE)) == [("test",)]
        assert await postgres.single.all(SEE) == [("test",)]
        assert await postgres.write(lambda tx: tx.all(SEE)) == [("test",)]


async def test_durability_is_not_for_the_operator_to_trade_away(
    url: str, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    show = Statement(text("SELECT current_setting('synchronous_commit')"))
    for configured, used in (("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")):
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {configured}")
        async for node in opened(url):
            assert await node.single.one(show) == (used,)
            assert await node.write(lambda tx: tx.one(show)) == (used,)


async def test_when_every_connection_is_busy(
    postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_PATIENCE_SECONDS", 0.05)
    go_on = asyncio.Event()

    async def hold(tx: Transaction) -> None:
        await tx.all(SEE)
        await go_on.wait()

    holders = [asyncio.ensure_future(postgres.write(hold)) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0)
    with pytest.raises(StorageFailed, match="busy"):
        await postgres.write(putting("a"))
    go_on.set()
    await asyncio.gather(*holders)
    await postgres.write(putting("a"))


async def test_a_row_that_is_held_too_long(
    url: str, connection: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine._SETTINGS, "lock_timeout", "50")
    async for node in opened(url):
        await node.write(putting("a"))
        async with connection.transaction():
            await connection.execute("UPDATE blocked_keys SET blocked_at = 7")
            with pytest.raises(StorageFailed, match="lock"):
                await node.write(lambda tx: tx.execute(TOUCH, key="a"))
        assert await node.write(lambda tx: tx.execute(TOUCH, key="a")) == 1


async def test_guards_do_not_look_at_temporary_tables(
    postgres: PostgresDatabase, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await postgres.write(putting("a"))
    await connection.execute("CREATE TEMP TABLE audit (LIKE public.audit)")
    row = "VALUES ('c', $1, 1, 'a', 'b', 'c', '{}', $2, 'forged')"
    await connection.execute(f"INSERT INTO audit {row}", 1, "x")
    with pytest.raises(asyncpg.CheckViolationError, match="hangs on the one before"):
        await connection.execute(f"INSERT INTO public.audit {row}", 2, "forged")


async def test_no_table_that_keeps_its_rows_can_be_emptied(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    keeping = {guard.table for guard in GUARDS_0001 if guard.name == f"{guard.table}_no_delete"}
    assert {"audit", "jobs", "certificates", "approvals"} <= keeping
    for table in keeping:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(f"TRUNCATE {table} CASCADE")


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(StorageFailed, match="cannot connect"):
        await open_database("postgresql://nobody@/nothing?host=/nonexistent")


async def test_a_database_that_is_not_there(postgres_server: PostgresServer) -> None:
    with pytest.raises(StorageFailed, match="missing"):
        await open_database(postgres_server.url("missing"))


async def test_a_server_that_crashes_and_comes_back(crashable_server: PostgresServer) -> None:
    crashable_server.execute("CREATE DATABASE crashing")
    database = await open_database(crashable_server.url("crashing"))
    answered: list[str] = []

    async def call(caller: int) -> None:
        for number in range(1000):
            await database.write(putting(f"{caller}-{number}"))
            answered.append(f"{caller}-{number}")

    calls = asyncio.gather(*[call(caller) for caller in range(12)], return_exceptions=True)
    while len(answered) < 100:
        await asyncio.sleep(0.01)
    crashable_server.stop(signal.SIGQUIT)
    assert {type(outcome) for outcome in await calls} == {StorageFailed}
    with pytest.raises(StorageFailed):
        await database.read(lambda tx: tx.all(SEE))
    crashable_server.start()
    there = await database.read(lambda tx: tx.all(Statement(select(blocked_keys.c.spki_sha256))))
    assert {(name,) for name in answered} <= set(there)
    await database.write(putting("afterwards"))
    assert await database.read(audit.verify) == 0
    await database.close()
