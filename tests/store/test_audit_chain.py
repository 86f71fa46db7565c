"""The record: what was written is found to be whole, and every kind of tampering is found."""

import asyncio
from collections.abc import Iterable

import pytest
from sqlalchemy import text

from store import audit
from store.audit import AuditEvent, ChainBroken, verify
from store.chain import Chain
from store.database import Database, DatabaseRefused, Transaction
from store.migrations.guards import GUARDS_0001
from store.open import open_database
from tests.store.units import NOW

SUBJECTS = [f"subject {number}" for number in range(6)]


async def record(tx: Transaction, subject: str) -> None:
    await audit.append(tx, NOW, "somebody", AuditEvent.ROLE_GRANTED, subject, number=1, name="Zoë")


async def record_all(database: Database, subjects: Iterable[str]) -> None:
    for subject in subjects:
        await database.write(lambda tx, s=subject: record(tx, s))  # type: ignore[misc]


async def tamper(database: Database, *statements: str) -> None:
    """Run SQL as somebody would who can take the guards away."""
    async with database.engine.begin() as connection:
        for guard in GUARDS_0001:
            if guard.table == "audit":
                on = "" if database.engine.dialect.name == "sqlite" else " ON audit"
                await connection.execute(text(f"DROP TRIGGER {guard.name}{on}"))
        for statement in statements:
            assert (await connection.execute(text(statement))).rowcount > 0


async def test_what_was_written_holds(database: Database) -> None:
    assert await database.read(verify) == 0
    await record_all(database, SUBJECTS)
    assert await database.read(verify) == len(SUBJECTS)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET subject = 'another' WHERE subject = 'subject 2'",
        "UPDATE audit SET actor = 'nobody' WHERE subject = 'subject 2'",
        "UPDATE audit SET action = 'role.withdrawn' WHERE subject = 'subject 2'",
        "UPDATE audit SET detail = '{}' WHERE subject = 'subject 2'",
        "UPDATE audit SET at = at + 1 WHERE subject = 'subject 2'",
        # Letters moved from one field into the next
        "UPDATE audit SET actor = 'somebod', action = 'yrole.granted' WHERE subject = 'subject 2'",
        "UPDATE audit SET hash = prev_hash WHERE subject = 'subject 2'",
        "UPDATE audit SET prev_hash = hash WHERE subject = 'subject 2'",
        "DELETE FROM audit WHERE subject = 'subject 0'",
        "DELETE FROM audit WHERE subject = 'subject 3'",
        "UPDATE audit SET chain = 'a0' WHERE seq = 6",
        "UPDATE audit SET seq = seq + 1 WHERE seq = 6",
    ],
)
async def test_tampering_is_found(database: Database, statement: str) -> None:
    await record_all(database, SUBJECTS)
    await tamper(database, statement)
    with pytest.raises(ChainBroken):
        await database.read(verify)


async def test_rows_in_another_order_are_found(database: Database) -> None:
    await record_all(database, SUBJECTS)
    await tamper(
        database,
        "UPDATE audit SET seq = 99 WHERE subject = 'subject 2'",
        "UPDATE audit SET seq = 3 WHERE subject = 'subject 3'",
        "UPDATE audit SET seq = 4 WHERE subject = 'subject 2'",
    )
    with pytest.raises(ChainBroken, match="row 3"):
        await database.read(verify)


async def test_a_row_put_in_between_is_found(database: Database) -> None:
    await record_all(database, SUBJECTS)
    await tamper(
        database,
        "INSERT INTO audit SELECT chain, 7, at, actor, action, 'forged', detail, hash, hash FROM audit WHERE seq = 6",
    )
    with pytest.raises(ChainBroken, match="row 7"):
        await database.read(verify)


async def test_a_row_after_one_that_is_missing_hangs_on_nothing(database: Database) -> None:
    """Nor can the newest row be taken away unseen, while the process that wrote it goes on."""
    await record_all(database, SUBJECTS[:3])
    await tamper(database, "DELETE FROM audit WHERE seq = 3")
    await record_all(database, ["after"])
    with pytest.raises(ChainBroken):
        await database.read(verify)


async def test_the_guards_refuse_all_that(database: Database) -> None:
    await record_all(database, SUBJECTS)
    for statement, words in (
        ("UPDATE audit SET subject = 'x'", "append only"),
        ("DELETE FROM audit", "append only"),
        (
            "INSERT INTO audit SELECT chain, 9, at, actor, action, subject, detail, hash, hash FROM audit",
            "hangs",
        ),
        (
            "INSERT INTO audit SELECT chain, 7, at, actor, action, subject, detail, 'x', hash FROM audit",
            "hangs",
        ),
    ):
        with pytest.raises(Exception, match=words):
            async with database.engine.begin() as connection:
                await connection.execute(text(statement))
    assert await database.read(verify) == len(SUBJECTS)


async def test_two_that_write_have_a_chain_each(database_url: str, database: Database) -> None:
    other = await open_database(database_url)
    await asyncio.gather(*[record_all(which, SUBJECTS) for which in (database, other)])
    assert await database.read(verify) == 2 * len(SUBJECTS)
    await other.close()
    chains = await database.select(text("SELECT chain, count(*) FROM audit GROUP BY chain"))  # type: ignore[arg-type]
    assert sum(count for _, count in chains) == 2 * len(SUBJECTS)
    assert len(chains) >= 2


async def test_what_is_rolled_back_leaves_no_gap(database: Database) -> None:
    async def fail(tx: Transaction) -> None:
        await record(tx, "undone")
        await record(tx, "undone too")
        raise ValueError

    await record_all(database, SUBJECTS[:2])
    for _ in range(3):
        with pytest.raises(ValueError):  # noqa: PT011 - ours, from above
            await database.write(fail)
    await record_all(database, SUBJECTS[2:])
    assert await database.read(verify) == len(SUBJECTS)


async def test_many_at_once_each_on_one_chain(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PAGE", 7)
    await asyncio.gather(*[record_all(database, SUBJECTS) for _ in range(20)])
    assert await database.read(verify) == 20 * len(SUBJECTS)


async def test_a_chain_that_would_fork_is_refused(database: Database) -> None:
    await record_all(database, SUBJECTS[:1])

    async def fork(tx: Transaction) -> None:
        await record(tx, "one")
        tx.chain.rewind((tx.chain.seq - 1, tx.chain.head))
        await record(tx, "two")

    with pytest.raises(DatabaseRefused):
        await database.write(fork)
    await record_all(database, ["after"])
    assert await database.read(verify) == 2


def test_chains_have_names_of_their_own() -> None:
    assert len({Chain.start().id for _ in range(100)}) == 100
    assert len({Chain.start().head for _ in range(100)}) == 100
