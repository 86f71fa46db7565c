"""SQLite: many units of work in one commit, and what happens when there is no commit."""

import asyncio
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from store import audit, certificates
from store import sqlite as engine
from store.audit import AuditEvent
from store.database import StorageFailed, Transaction
from store.sqlite import SqliteDatabase, connect, run
from tests.common.world import sqlite_url
from tests.store.units import NOW, is_there, put, put_and_fail, putting


def statements_of(database: SqliteDatabase) -> list[str]:
    """What the writing connection runs from now on."""
    seen: list[str] = []
    database._writer.set_trace_callback(seen.append)
    return seen


@contextmanager
def no_file_grows() -> Iterator[None]:
    """No file of this process may become longer: what a full disk is to SQLite, at whatever it writes next."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_the_mode_that_durability_hangs_on(sqlite: SqliteDatabase) -> None:
    for connection in (sqlite._writer, sqlite._reader):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA trusted_schema").fetchone() == (0,)


async def test_those_who_ask_together_share_a_commit(sqlite: SqliteDatabase) -> None:
    seen = statements_of(sqlite)
    await asyncio.gather(*[sqlite.write(putting(str(number))) for number in range(200)])
    assert seen.count("COMMIT") == 1
    assert seen.count("BEGIN IMMEDIATE") == 1


async def test_those_who_ask_during_a_commit_share_the_next(sqlite: SqliteDatabase) -> None:
    seen = statements_of(sqlite)

    async def call(caller: int) -> None:
        for number in range(20):
            await sqlite.write(putting(f"{caller}-{number}"))

    await asyncio.gather(*[call(caller) for caller in range(16)])
    assert 20 <= seen.count("COMMIT") <= 60


async def test_no_savepoint_where_all_goes_well(sqlite: SqliteDatabase) -> None:
    seen = statements_of(sqlite)
    await asyncio.gather(*[sqlite.write(putting(str(number))) for number in range(5)])
    assert seen.count("BEGIN IMMEDIATE") == 1
    assert not [sql for sql in seen if "unit" in sql]


async def test_no_savepoint_for_one_that_fails_before_it_changes_anything(sqlite: SqliteDatabase) -> None:
    async def refuse(tx: Transaction) -> None:
        await certificates.blocked(tx, "a")
        raise ValueError("refused")

    seen = statements_of(sqlite)
    outcomes = await asyncio.gather(
        sqlite.write(putting("a")), sqlite.write(refuse), sqlite.write(putting("b")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [str, ValueError, str]
    assert seen.count("BEGIN IMMEDIATE") == 1
    assert not [sql for sql in seen if "unit" in sql]
    assert await is_there(sqlite, "a")
    assert await is_there(sqlite, "b")


async def test_one_that_fails_halfway_has_all_begun_again_with_savepoints(sqlite: SqliteDatabase) -> None:
    runs: list[str] = []

    async def record(tx: Transaction, subject: str) -> None:
        runs.append(subject)
        await audit.append(tx, NOW, "a", AuditEvent.CA_CREATED, subject)
        tx.announce(subject)
        if subject == "bad":
            raise ValueError(subject)

    seen = statements_of(sqlite)
    with sqlite.signals.expect("good") as good, sqlite.signals.expect("bad") as bad:
        outcomes = await asyncio.gather(
            *[sqlite.write(partial(record, subject=subject)) for subject in ("good", "bad", "last")],
            return_exceptions=True,
        )
        assert good.done()
        assert not bad.done()
    assert [type(outcome) for outcome in outcomes] == [type(None), ValueError, type(None)]
    assert runs == ["good", "bad", "good", "bad", "last"]
    assert [sql for sql in seen if "audit" not in sql] == [
        *("BEGIN IMMEDIATE", "ROLLBACK", "BEGIN IMMEDIATE"),
        *("SAVEPOINT unit", "RELEASE unit"),
        *("SAVEPOINT unit", "ROLLBACK TO unit", "RELEASE unit"),
        *("SAVEPOINT unit", "RELEASE unit", "COMMIT"),
    ]
    assert await sqlite.read(audit.verify) == 2
    subjects = sqlite._reader.execute("SELECT subject FROM audit ORDER BY seq").fetchall()
    assert subjects == [("good",), ("last",)]


async def test_one_that_is_cancelled_between_two_runs_is_not_done(sqlite: SqliteDatabase) -> None:
    """Begun again, it has to wait for another process's lock, and its caller goes away meanwhile."""
    release = threading.Event()

    async def fail(tx: Transaction) -> None:
        await put(tx, "bad")
        raise ValueError("bad")

    def begin_late() -> None:
        assert release.wait(5)
        sqlite._writer.execute("BEGIN IMMEDIATE")

    begin, begun = sqlite._begin, 0

    async def begin_once(loop: asyncio.AbstractEventLoop) -> None:
        nonlocal begun
        begun += 1
        await (begin(loop) if begun == 1 else loop.run_in_executor(None, begin_late))

    sqlite._begin = begin_once  # type: ignore[method-assign]
    cancelled = asyncio.ensure_future(sqlite.write(putting("a")))
    others = [asyncio.ensure_future(sqlite.write(work)) for work in (fail, putting("b"))]
    while begun < 2:
        await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    release.set()
    outcomes = await asyncio.gather(cancelled, *others, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, ValueError, str]
    assert not await is_there(sqlite, "a")
    assert await is_there(sqlite, "b")


async def test_nobody_is_answered_before_the_commit(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    other = connect(tmp_path / "certctl.db")
    answered = asyncio.ensure_future(sqlite.write(putting("a")))
    while not answered.done():
        there = other.execute("SELECT count(*) FROM blocked_keys").fetchone() == (1,)
        assert there or not answered.done()
        await asyncio.sleep(0)
    assert other.execute("SELECT count(*) FROM blocked_keys").fetchone() == (1,)
    other.close()


async def test_a_commit_that_fails_leaves_nothing_and_the_next_goes_well(sqlite: SqliteDatabase) -> None:
    await sqlite.write(putting("before"))
    head = sqlite._chain.mark()
    with no_file_grows():
        outcomes = await asyncio.gather(
            *[sqlite.write(putting(str(number))) for number in range(5)],
            sqlite.write(lambda tx: audit.append(tx, NOW, "a", AuditEvent.CA_CREATED, "b")),
            return_exceptions=True,
        )
    assert [type(outcome) for outcome in outcomes] == [StorageFailed] * 6
    assert sqlite._chain.mark() == head
    await sqlite.write(lambda tx: audit.append(tx, NOW, "a", AuditEvent.CA_CREATED, "b"))
    assert await sqlite.read(audit.verify) == 1
    assert not any([await is_there(sqlite, str(number)) for number in range(5)])


async def test_a_database_that_may_not_grow_fails_everybody_who_needs_room(sqlite: SqliteDatabase) -> None:
    (pages,) = sqlite._writer.execute("PRAGMA page_count").fetchone()
    sqlite._writer.execute(f"PRAGMA max_page_count = {pages}")
    huge = "x" * 100_000
    outcomes = await asyncio.gather(
        sqlite.write(putting("small")), sqlite.write(putting(huge)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [StorageFailed] * 2
    assert "full" in str(outcomes[0])
    with pytest.raises(StorageFailed, match="full"):
        await sqlite.write(putting(huge))
    sqlite._writer.execute("PRAGMA max_page_count = 1000000")
    await sqlite.write(putting(huge))
    await sqlite.write(putting("small"))


async def test_a_failed_unit_rewinds_the_chain_and_the_others_stay_on_it(sqlite: SqliteDatabase) -> None:
    async def record(tx: Transaction, subject: str, *, fail: bool = False) -> None:
        await audit.append(tx, NOW, "a", AuditEvent.CA_CREATED, subject)
        if fail:
            raise ValueError(subject)

    await asyncio.gather(
        sqlite.write(lambda tx: record(tx, "1")),
        sqlite.write(lambda tx: record(tx, "2", fail=True)),
        sqlite.write(lambda tx: record(tx, "3")),
        return_exceptions=True,
    )
    with pytest.raises(ValueError, match="4"):
        await sqlite.write(lambda tx: record(tx, "4", fail=True))
    await sqlite.write(lambda tx: record(tx, "5"))
    assert await sqlite.read(audit.verify) == 3


async def test_cancelled_before_it_began_is_not_done(sqlite: SqliteDatabase) -> None:
    task = asyncio.ensure_future(sqlite.write(putting("a")))
    other = asyncio.ensure_future(sqlite.write(putting("b")))
    await asyncio.sleep(0)
    task.cancel()
    await other
    assert task.cancelled() or task.cancelling()
    await asyncio.gather(task, return_exceptions=True)
    assert await is_there(sqlite, "b")


async def test_cancelled_while_it_is_committed_is_done(sqlite: SqliteDatabase) -> None:
    began = asyncio.Event()

    async def slow(tx: Transaction) -> None:
        await put(tx, "a")
        began.set()

    task = asyncio.ensure_future(sqlite.write(slow))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await sqlite.write(putting("b"))
    assert await is_there(sqlite, "a")


async def test_a_process_that_is_being_stopped_tells_whoever_waits(sqlite: SqliteDatabase) -> None:
    writes = [asyncio.ensure_future(sqlite.write(putting(str(number)))) for number in range(300)]
    await asyncio.sleep(0)
    assert sqlite._running is not None
    sqlite._running.cancel()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {str, StorageFailed}
    await sqlite.write(lambda tx: audit.append(tx, NOW, "a", AuditEvent.CA_CREATED, "b"))
    assert await sqlite.read(audit.verify) == 1


async def test_work_that_waits_for_something_else_is_refused(sqlite: SqliteDatabase) -> None:
    async def dawdle(tx: Transaction) -> None:
        await put(tx, "a")
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="nothing but its transaction"):
        await sqlite.write(dawdle)
    with pytest.raises(RuntimeError, match="nothing but its transaction"):
        run(asyncio.sleep(0))
    assert not await is_there(sqlite, "a")


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has begun to write and does not come to an end until its standard input does."""
    program = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read(); c.execute('COMMIT')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process


async def test_another_process_s_lock_is_waited_for_without_stopping_the_loop(
    sqlite: SqliteDatabase, tmp_path: Path
) -> None:
    with held_by_another_process(tmp_path / "certctl.db") as process:
        writing = asyncio.ensure_future(sqlite.write(putting("a")))
        turns = 0
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            await asyncio.sleep(0.001)
            turns += 1
        assert not writing.done()
        assert turns > 20
        assert not await is_there(sqlite, "a")
        process.communicate()
        assert await asyncio.wait_for(writing, 5) == "a"


async def test_a_lock_that_is_never_released_fails_in_bounded_time(
    sqlite: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    with held_by_another_process(tmp_path / "certctl.db") as process:
        with pytest.raises(StorageFailed, match="another process"):
            await asyncio.wait_for(sqlite.write(putting("a")), 5)
        process.communicate()
    await sqlite.write(putting("a"))


def start_hammer(folder: Path, name: str, rows: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.store.hammer", sqlite_url(folder), name, str(rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_two_processes_write_at_once_and_neither_starves(
    sqlite: SqliteDatabase, tmp_path: Path
) -> None:
    processes = [start_hammer(tmp_path, name, 400) for name in ("left", "right")]
    outputs = await asyncio.gather(*[asyncio.to_thread(process.communicate) for process in processes])
    for output, _ in outputs:
        *names, last = output.splitlines()
        assert len(names) == 400
        assert float(last.removeprefix("slowest ")) < engine.BUSY_SECONDS / 2
    assert await sqlite.read(audit.verify) == 800
    chains = sqlite._reader.execute("SELECT chain, count(*) FROM audit GROUP BY chain").fetchall()
    assert [count for _, count in chains] == [400, 400]


async def test_what_a_killed_process_answered_is_there(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    for lines in (1, 150):
        with start_hammer(tmp_path, f"killed-after-{lines}", 1_000_000) as process:
            assert process.stdout is not None
            answered = [process.stdout.readline().strip() for _ in range(lines)]
            process.kill()
            answered += [line.strip() for line in process.stdout if line.endswith("\n")]
        assert len(answered) >= lines
        rows = {row[0] for row in sqlite._reader.execute("SELECT spki_sha256 FROM blocked_keys")}
        assert set(answered) <= rows
    recorded = {row[0] for row in sqlite._reader.execute("SELECT subject FROM audit")}
    assert recorded == rows
    assert await sqlite.read(audit.verify) == len(rows)
    assert sqlite._reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_connection_that_cannot_even_roll_back_is_replaced(sqlite: SqliteDatabase) -> None:
    broken = sqlite._writer
    with pytest.raises(ValueError, match="bad"):
        await sqlite.write(lambda tx: put_and_fail(tx, "bad"))
    broken.close()
    with pytest.raises(sqlite3.ProgrammingError):
        broken.execute("SELECT 1")
    with pytest.raises(StorageFailed):
        await sqlite.write(putting("a"))
    assert await asyncio.wait_for(sqlite.write(putting("a")), 5) == "a"
