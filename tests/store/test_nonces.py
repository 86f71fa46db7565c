"""Spent nonces: once, on every process, after every restart; and after a crash the older ones never again."""

import asyncio
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import pytest

from servers.acme.nonces import NonceMint
from store import clock
from store import nonces as ledgers
from store.database import StorageFailed
from store.nonces import SWEEP_AFTER, NonceLedger, SqliteNonceLedger
from store.open import open_database, open_ledger
from store.postgres_nonces import PostgresNonceLedger
from tests.common.postgres import PostgresServer
from tests.store.nonces import SpentNonce, mint


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the SQLite ledger is, or will be."""
    return tmp_path / "nonces.db"


@pytest.fixture
async def ledger(database_url: str, file: Path) -> AsyncIterator[NonceLedger]:
    """A ledger on each engine."""
    opened = await open_ledger(database_url, file, clock.now)
    time.sleep(0.002)  # what is minted in the very moment counts as minted before
    yield opened
    await opened.close()


async def test_once_and_never_again(ledger: NonceLedger) -> None:
    nonces = [mint() for _ in range(50)]
    assert all([await ledger.spend(nonce) for nonce in nonces])
    assert not any([await ledger.spend(nonce) for nonce in nonces])
    assert await ledger.spend(mint())


async def test_the_nonces_of_the_front_end(ledger: NonceLedger) -> None:
    now = clock.now()
    front = NonceMint(bytes(32), timedelta(seconds=1))
    claims = front.check(front.mint(now), now)
    assert await ledger.spend(claims)
    assert not await ledger.spend(claims)
    assert await ledger.spend(front.check(front.mint(now), now))
    assert await ledger.spend(claims._replace(identity=(now + 1).to_bytes(6, "big") + claims.identity[6:]))


async def test_the_same_one_many_times_at_once(ledger: NonceLedger) -> None:
    for _ in range(20):
        nonce = mint()
        outcomes = await asyncio.gather(*[ledger.spend(nonce) for _ in range(10)], ledger.spend(mint()))
        assert sum(outcomes[:-1]) == 1
        assert outcomes[-1]


async def test_after_a_restart(database_url: str, file: Path, ledger: NonceLedger) -> None:
    used, unused = mint(), mint()
    assert await ledger.spend(used)
    await ledger.close()
    again = await open_ledger(database_url, file, clock.now)
    assert not await again.spend(used)
    assert await again.spend(unused)
    await again.close()


async def test_two_ledgers_on_the_same_file_or_table(
    database_url: str, file: Path, ledger: NonceLedger
) -> None:
    other = await open_ledger(database_url, file, clock.now)
    for _ in range(20):
        nonce = mint()
        assert await ledger.spend(nonce)
        assert not await other.spend(nonce)
    await other.close()


async def test_minted_before_the_ledger_was_made(ledger: NonceLedger) -> None:
    assert not await ledger.spend(mint(clock.now() - 60_000))
    assert not await ledger.spend(mint(clock.now() - 60_000))
    assert await ledger.spend(mint())


async def test_the_past_is_forgotten_but_stays_refused(database_url: str, file: Path) -> None:
    now = clock.now()
    moment = [now]
    ledger = await open_ledger(database_url, file, lambda: moment[0])
    old = [mint(now + 1000) for _ in range(SWEEP_AFTER + 10)]
    for start in range(0, len(old), 50):
        assert all(await asyncio.gather(*[ledger.spend(nonce) for nonce in old[start : start + 50]]))
    moment[0] = clock.Millis(now + 7_200_000)
    for _ in range(0, 2 * SWEEP_AFTER, 50):
        assert all(await asyncio.gather(*[ledger.spend(mint(moment[0])) for _ in range(50)]))
    if isinstance(ledger, SqliteNonceLedger):
        with closing(sqlite3.connect(file)) as connection:
            (left,) = connection.execute("SELECT count(*) FROM spent").fetchone()
            assert left <= 2 * SWEEP_AFTER
    # Should nonces live for a week from tomorrow on, these are not good again, nor are they after a restart.
    await ledger.close()
    ledger = await open_ledger(database_url, file, lambda: moment[0])
    outcomes = [await ledger.spend(SpentNonce(nonce.identity, 7 * 86_400_000)) for nonce in old[:50]]
    assert not any(outcomes)
    await ledger.close()


@pytest.fixture
def spenders(database_url: str, file: Path, ledger: NonceLedger) -> Iterator[list["subprocess.Popen[str]"]]:
    """Two processes on the same ledger."""
    command = [sys.executable, "-m", "tests.store.spender", database_url, str(file)]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(2)
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started
        for process in started:
            process.kill()


def ask(process: "subprocess.Popen[str]", nonces: list[SpentNonce]) -> None:
    assert process.stdin is not None
    print(*[nonce.identity.hex() for nonce in nonces], file=process.stdin, flush=True)


def answers(process: "subprocess.Popen[str]") -> list[bool]:
    assert process.stdout is not None
    return [mark == "1" for mark in process.stdout.readline().strip()]


async def test_two_processes_at_the_same_moment_until_they_are_killed(
    spenders: list["subprocess.Popen[str]"], ledger: NonceLedger
) -> None:
    used: list[SpentNonce] = []
    for _ in range(10):
        nonces = [mint() for _ in range(100)]
        for process in spenders:
            ask(process, nonces)
        left, right = (answers(process) for process in spenders)
        assert len(left) == len(right) == len(nonces)
        assert all(a != b for a, b in zip(left, right, strict=True))
        used += nonces
    unused = [mint() for _ in range(10)]
    for process in spenders:
        process.kill()
        process.wait()
    assert not any([await ledger.spend(nonce) for nonce in used])
    assert all([await ledger.spend(nonce) for nonce in unused])


# SQLite's file


def open_file(file: Path) -> SqliteNonceLedger:
    ledger = SqliteNonceLedger(file, clock.now)
    time.sleep(0.002)  # what is minted in the very moment counts as minted before
    return ledger


async def test_for_its_owner_alone(file: Path) -> None:
    ledger = open_file(file)
    await ledger.spend(mint())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.glob("nonces.*")}
    assert modes == dict.fromkeys(("nonces.db", "nonces.db-wal", "nonces.db-shm", "nonces.lock"), 0o600)
    await ledger.close()


async def test_after_a_crash_of_the_machine(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_file(file)
    used, unused = mint(), mint()
    assert await ledger.spend(used)
    await ledger.close()
    (tmp_path / "boot_id").write_text("another boot")
    monkeypatch.setattr(ledgers, "_BOOT_ID", tmp_path / "boot_id")
    ledger = open_file(file)
    assert not await ledger.spend(used)
    assert not await ledger.spend(unused)
    fresh = mint()
    assert await ledger.spend(fresh)
    await ledger.close()
    ledger = open_file(file)  # the same boot: it is kept
    assert not await ledger.spend(fresh)
    assert await ledger.spend(mint())
    await ledger.close()


async def test_a_copy_from_last_week(file: Path, tmp_path: Path) -> None:
    ledger = open_file(file)
    await ledger.spend(mint())
    await ledger.close()
    shutil.copy(file, tmp_path / "backup")
    ledger = open_file(file)
    since = mint()
    assert await ledger.spend(since)
    await ledger.close()
    (tmp_path / "backup").replace(file)
    ledger = open_file(file)
    assert not await ledger.spend(since)
    assert await ledger.spend(mint())
    await ledger.close()


@pytest.mark.parametrize("content", [b"", b"not a database" * 500, b"SQLite format 3\x00" + os.urandom(5000)])
async def test_a_damaged_file_is_made_anew(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    used = mint()
    ledger = open_file(file)
    assert not await ledger.spend(used)
    assert await ledger.spend(mint())
    await ledger.close()


async def test_a_file_that_is_damaged_or_taken_away_while_it_is_used(file: Path) -> None:
    for spoil in ("unlink", "pages"):
        ledger, other = open_file(file), open_file(file)
        used = [mint() for _ in range(500)]
        for nonce in used:
            assert await ledger.spend(nonce)
        if spoil == "unlink":
            file.unlink()
        else:
            for name in ("nonces.db-wal", "nonces.db"):
                with (file.parent / name).open("r+b") as damaged:
                    size = damaged.seek(0, os.SEEK_END)
                    damaged.seek(0)
                    damaged.write(os.urandom(size))
        for which in (ledger, other):
            assert not any([await which.spend(nonce) for nonce in used])
        time.sleep(0.002)
        for _ in range(100):
            nonce = mint()
            outcomes = [await ledger.spend(nonce), await other.spend(nonce)]
            assert sorted(outcomes) == [False, True]
        await ledger.close()
        await other.close()


async def test_a_lock_held_by_another_is_waited_for_and_not_for_ever(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_file(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        spending = asyncio.ensure_future(ledger.spend(mint()))
        await asyncio.sleep(0.02)
        assert not spending.done()
        other.execute("COMMIT")
        assert await spending
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(ledgers, "_TRIES", 3)
        nonce = mint()
        with pytest.raises(StorageFailed, match="locked"):
            await ledger.spend(nonce)
        other.execute("COMMIT")
        assert await ledger.spend(nonce)
    await ledger.close()


async def test_a_full_disk(file: Path) -> None:
    ledger = open_file(file)
    assert ledger._connection is not None
    ledger._connection.execute("PRAGMA max_page_count = 4")
    spent: list[SpentNonce] = []

    async def spend_on() -> None:
        while True:
            nonce = mint()
            assert await ledger.spend(nonce)
            spent.append(nonce)

    with pytest.raises(StorageFailed, match="full"):
        await spend_on()
    assert len(spent) > 10
    assert not any([await ledger.spend(nonce) for nonce in spent])
    assert await ledger.spend(mint())
    await ledger.close()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed):
        open_file(tmp_path / "missing" / "nonces.db")


# PostgreSQL's table


@pytest.mark.postgres
async def test_after_a_crash_of_the_server(crashable_server: PostgresServer) -> None:
    crashable_server.execute("CREATE DATABASE of_nonces")
    url = crashable_server.url("of_nonces")
    await (await open_database(url)).close()
    ledger = PostgresNonceLedger(url, clock.now)
    await ledger.open()
    time.sleep(0.002)
    used, unused = mint(), mint()
    assert await ledger.spend(used)
    crashable_server.stop()  # in order: nothing is forgotten
    crashable_server.start()
    assert not await spend_again(ledger, used)
    assert await ledger.spend(unused)
    unused = mint()
    crashable_server.stop(signal.SIGQUIT)
    with pytest.raises(StorageFailed):
        await ledger.spend(mint())
    crashable_server.start()
    assert not await spend_again(ledger, used)
    assert not await ledger.spend(unused)
    time.sleep(0.002)
    fresh = mint()
    assert await ledger.spend(fresh)
    assert not await ledger.spend(fresh)
    await ledger.close()


async def spend_again(ledger: NonceLedger, nonce: SpentNonce) -> bool:
    """The first attempt may be the one that finds the link broken."""
    try:
        return await ledger.spend(nonce)
    except StorageFailed:
        return await ledger.spend(nonce)


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_what_is_asked_together_goes_together(database_url: str, ledger: PostgresNonceLedger) -> None:
    assert ledger._connection is not None
    connection, statements = ledger._connection, []

    class Counting:
        def __getattr__(self, name: str) -> object:
            if name in ("fetch", "execute"):
                statements.append(name)
            return getattr(connection, name)

    ledger._connection = Counting()
    assert all(await asyncio.gather(*[ledger.spend(mint()) for _ in range(200)]))
    assert len(statements) == 1
    ledger._connection = connection


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_ledger_that_is_being_stopped(database_url: str, ledger: PostgresNonceLedger) -> None:
    spending = [asyncio.ensure_future(ledger.spend(mint())) for _ in range(5)]
    await asyncio.sleep(0)
    assert ledger._running is not None
    ledger._running.cancel()
    assert {type(o) for o in await asyncio.gather(*spending, return_exceptions=True)} <= {StorageFailed, bool}
    await ledger.close()
    with pytest.raises(StorageFailed, match="closed"):
        await ledger.spend(mint())
