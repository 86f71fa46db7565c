"""What every engine promises of a unit of work."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import bindparam, insert, select, update

from store import certificates
from store.database import Database, DatabaseRefused, StorageFailed, Transaction
from store.open import open_database
from store.schema import audit, blocked_keys, principals
from store.statements import Statement
from tests.store.units import BY, NOW, is_there, put, put_and_fail, putting

RENAME = Statement(update(blocked_keys).values(reason=bindparam("to")))
RAW = Statement(insert(blocked_keys).values(spki_sha256="raw", reason="r", blocked_at=1, blocked_by=None))
ALL = Statement(select(blocked_keys.c.spki_sha256))


async def test_what_is_written_can_be_read(database: Database) -> None:
    assert await database.write(putting("a")) == "a"
    assert await is_there(database, "a")
    assert await database.read(lambda tx: tx.all(ALL)) == [("a",)]
    assert await database.single.one(ALL) == ("a",)
    assert await database.single.all(ALL) == [("a",)]
    assert await database.select(select(blocked_keys.c.spki_sha256)) == [("a",)]


async def test_the_number_of_changed_rows(database: Database) -> None:
    await database.write(putting("a"))
    await database.write(putting("b"))
    assert await database.write(lambda tx: tx.execute(RENAME, to="x")) == 2


async def test_fixed_values_reach_the_database_as_they_are(database: Database) -> None:
    words = "it's; -- :a %s $1 ? \\ \u00e9"
    fixed = Statement(select(blocked_keys.c.spki_sha256).where(blocked_keys.c.reason == words))
    await database.write(lambda tx: certificates.block_key(tx, "a", words, NOW, BY))
    await database.write(lambda tx: certificates.block_key(tx, "b", words + ".", NOW, BY))
    assert await database.read(lambda tx: tx.all(fixed)) == [("a",)]


async def test_one_that_raises_is_undone_alone(database: Database) -> None:
    names = [f"good {number}" for number in range(40)]
    outcomes = await asyncio.gather(
        *[database.write(putting(name)) for name in names[:20]],
        database.write(lambda tx: put_and_fail(tx, "bad")),
        *[database.write(putting(name)) for name in names[20:]],
        return_exceptions=True,
    )
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [repr(error) for error in failed] == ["ValueError('bad')"]
    assert not await is_there(database, "bad")
    assert all([await is_there(database, name) for name in names])


async def test_one_that_is_alone_and_raises_is_undone(database: Database) -> None:
    with pytest.raises(ValueError, match="bad"):
        await database.write(lambda tx: put_and_fail(tx, "bad"))
    assert not await is_there(database, "bad")
    await database.write(putting("bad"))


async def test_the_database_s_own_refusal_has_a_name_and_no_values(database: Database) -> None:
    await database.write(putting("a-value"))
    again = Statement(
        insert(blocked_keys).values(spki_sha256="a-value", reason="r", blocked_at=1, blocked_by=None)
    )
    with pytest.raises(DatabaseRefused) as caught:
        await database.write(lambda tx: tx.execute(again))
    assert "blocked_keys" in str(caught.value)
    assert "a-value" not in str(caught.value)


async def test_a_guard_s_refusal_in_its_words(database: Database) -> None:
    row = Statement(
        insert(audit).values(
            chain="c", seq=2, at=1, actor="a", action="b", subject="c", detail="{}", prev_hash="x", hash="y"
        )
    )
    with pytest.raises(DatabaseRefused, match="audit: a row hangs on the one before it"):
        await database.write(lambda tx: tx.execute(row))


async def test_foreign_keys_are_checked(database: Database) -> None:
    grant = Statement(
        insert(principals.metadata.tables["principal_roles"]).values(principal_id="x", role="y")
    )
    with pytest.raises(DatabaseRefused):
        await database.write(lambda tx: tx.execute(grant))


async def test_a_database_error_passed_over_inside_does_not_commit_half_of_the_work(
    database: Database,
) -> None:
    """Either all that was reported done is there (SQLite undoes statements), or the write failed (PostgreSQL)."""

    async def stubborn(tx: Transaction) -> str:
        await put(tx, "before")
        with suppress(Exception):
            await tx.execute(RAW)
            await tx.execute(RAW)
        return "done"

    try:
        assert await database.write(stubborn) == "done"
    except DatabaseRefused:
        assert not await is_there(database, "before")
        assert not await is_there(database, "raw")
    else:
        assert await is_there(database, "before")
        assert await is_there(database, "raw")


async def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        await database.read(putting("a"))
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        await database.single.one(RAW)
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        await database.single.execute(RAW)
    assert not await is_there(database, "a")
    assert not await is_there(database, "raw")
    await database.write(putting("a"))


async def test_reading_sees_one_state(database: Database) -> None:
    """What is committed between two of its statements is not seen by the second."""
    await database.write(putting("a"))

    async def look_twice(tx: Transaction) -> list[int]:
        first = len(await tx.all(ALL))
        return [first, len(await tx.all(ALL))]

    writing = [asyncio.ensure_future(database.write(putting(str(n)))) for n in range(50)]
    while not all(task.done() for task in writing):
        first, second = await database.read(look_twice)
        assert first == second
        await asyncio.sleep(0)
    await asyncio.gather(*writing)


async def test_what_is_not_committed_is_not_seen(database: Database) -> None:
    seen: list[bool] = []

    async def look_meanwhile(tx: Transaction) -> None:
        await put(tx, "a")
        seen.append(await is_there(database, "a"))

    await database.write(look_meanwhile)
    assert seen == [False]


async def test_topics_are_sent_once_and_only_by_what_is_committed(database: Database) -> None:
    async def announce(tx: Transaction, *, fail: bool) -> None:
        tx.announce("topic")
        tx.announce("topic")
        if fail:
            raise ValueError

    with database.signals.expect("topic") as word:
        with pytest.raises(ValueError):  # noqa: PT011 - ours, from two lines above
            await database.write(lambda tx: announce(tx, fail=True))
        await asyncio.sleep(0.05)
        assert not word.done()
        await database.write(lambda tx: announce(tx, fail=False))
        await asyncio.wait_for(word, 5)


async def test_whoever_is_cancelled_leaves_the_others_alone(database: Database) -> None:
    tasks = [asyncio.ensure_future(database.write(putting(str(n)))) for n in range(30)]
    for _ in range(3):
        await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, asyncio.CancelledError):
            continue
        assert outcome == str(number)
        assert await is_there(database, str(number))
    assert sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes) <= 10
    await database.write(putting("afterwards"))


async def test_a_reader_that_is_cancelled_leaves_its_connection_in_order(database: Database) -> None:
    async def slow(tx: Transaction) -> None:
        for _ in range(200):
            await tx.all(ALL)

    for _ in range(30):
        task = asyncio.ensure_future(database.read(slow))
        await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await database.read(lambda tx: tx.all(ALL)) == []
    await database.write(putting("a"))
    assert await is_there(database, "a")


async def test_work_that_was_cancelled_from_inside_is_undone(database: Database) -> None:
    async def cancelled(tx: Transaction) -> None:
        await put(tx, "a")
        raise asyncio.CancelledError

    with pytest.raises((asyncio.CancelledError, StorageFailed)):
        await database.write(cancelled)
    assert not await is_there(database, "a")
    await database.write(putting("b"))
    assert await is_there(database, "b")


async def test_a_closed_database_says_so(database_url: str) -> None:
    database = await open_database(database_url)
    last = asyncio.ensure_future(database.write(putting("a")))
    await asyncio.sleep(0)
    await database.close()
    assert await last == "a"
    with pytest.raises(StorageFailed, match="closed"):
        await database.write(putting("b"))
    with pytest.raises(StorageFailed, match="closed"):
        await database.read(lambda tx: certificates.blocked(tx, "a"))


async def test_blocking_the_same_key_at_the_same_moment_is_no_failure(database: Database) -> None:
    """Looked for, not found, added: on PostgreSQL two may come that far, and the second finds it when run again."""
    await asyncio.gather(*[database.write(putting(str(n))) for n in range(10) for _ in range(6)])
    assert len(await database.read(lambda tx: tx.all(ALL))) == 10
