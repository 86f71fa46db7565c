"""SQLite, the embedded engine: one writing connection, group commit, reads beside it (WAL).

Units of work run one after the other on the event loop's own thread, each to its end: a statement
costs microseconds, and handing every one to a thread costs more than it does. What can take long,
the fsync of COMMIT and the wait for another process's lock, happens in a thread, and everybody who
asked meanwhile goes into the next commit together.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Select, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from store.chain import Chain
from store.database import Row, Signals, StorageFailed, Work
from store.statements import SQLITE, Statement

T = TypeVar("T")

BUSY_SECONDS: Final = 10.0
_BATCH: Final = 256  # units of work in one commit, so that the first never waits long for the last
_STATEMENTS: Final = 512  # prepared statements kept per connection
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cache_size = -65536",
)


class SqliteTransaction:
    """A transaction on one connection. Its coroutines never give way, so `run` can drive them by hand."""

    __slots__ = ("_connection", "announced", "chain")

    def __init__(self, connection: sqlite3.Connection, chain: Chain) -> None:
        self._connection = connection
        self.chain = chain
        self.announced: list[str] = []

    async def execute(self, statement: Statement, /, **values: Any) -> int:
        sql, parameters = statement.bind(SQLITE, values)
        return self._connection.execute(sql, parameters).rowcount

    async def one(self, statement: Statement, /, **values: Any) -> Row | None:
        sql, parameters = statement.bind(SQLITE, values)
        # fetchall, not fetchone: a statement left half-read would hold its snapshot open
        rows = self._connection.execute(sql, parameters).fetchall()
        return rows[0] if rows else None

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        sql, parameters = statement.bind(SQLITE, values)
        return self._connection.execute(sql, parameters).fetchall()

    def announce(self, topic: str) -> None:
        self.announced.append(topic)


def run(work: Awaitable[T]) -> T:
    """The result of `work`, driven to its end at once; RuntimeError if it awaits anything but the store."""
    iterator = work.__await__()
    try:
        next(iterator)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("a unit of work may await nothing but its transaction")


def connect(path: str) -> sqlite3.Connection:
    """A connection in the mode that this project relies on: WAL, synchronous FULL, foreign keys checked."""
    connection = sqlite3.connect(
        path,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    return connection


class SqliteDatabase:
    """An open SQLite file. Make one per process, inside its event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = connect(str(path))
        self._reader = connect(str(path))
        self._reader.execute("PRAGMA query_only = ON")
        self._chain = Chain.start()
        self._queue: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._thread = ThreadPoolExecutor(1, "sqlite-commit")
        self._running: asyncio.Task[None] | None = None
        self._engine: AsyncEngine | None = None
        self._closed = False
        self.signals = Signals()
        self.single = SqliteTransaction(self._reader, self._chain)

    async def write(self, work: Work[T]) -> T:
        if self._closed:
            raise StorageFailed("the database is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append((work, future))
        if self._running is None:
            self._running = asyncio.ensure_future(self._run_batches())
        # A caller that goes away must not take back work that may be half way into a commit.
        return await asyncio.shield(future)

    async def read(self, work: Work[T]) -> T:
        self._reader.execute("BEGIN")
        try:
            return run(work(SqliteTransaction(self._reader, self._chain)))
        finally:
            self._reader.execute("ROLLBACK")

    async def select(self, query: Select[Any]) -> Sequence[Row]:
        async with self.engine.connect() as connection:
            return [tuple(row) for row in (await connection.execute(query)).all()]

    @property
    def engine(self) -> AsyncEngine:
        if self._engine is None:
            self._engine = create_engine(self._path)
        return self._engine

    async def close(self) -> None:
        self._closed = True
        if self._running is not None:
            await self._running
        if self._engine is not None:
            await self._engine.dispose()
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()

    async def _run_batches(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
                await self._run_batch(batch)
        finally:
            self._running = None

    async def _run_batch(self, batch: list[tuple[Work[Any], asyncio.Future[Any]]]) -> None:
        loop = asyncio.get_running_loop()
        mark = self._chain.mark()
        done: list[tuple[asyncio.Future[Any], Any]] = []
        announced: list[str] = []
        try:
            await self._begin(loop)
            for work, future in batch:
                self._run_one(work, future, done, announced)
            if done:
                await loop.run_in_executor(self._thread, self._writer.execute, "COMMIT")
            else:
                self._writer.execute("ROLLBACK")
        except (sqlite3.Error, StorageFailed) as error:
            self._abandon(mark)
            for _, future in batch:
                if not future.done():
                    future.set_exception(StorageFailed(f"not stored: {error}"))
            return
        for future, result in done:
            if not future.done():
                future.set_result(result)
        for topic in announced:
            self.signals.send(topic)

    async def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            # Another process writes. Waiting for it is a thread's business.
            await loop.run_in_executor(self._thread, self._begin_patiently)

    def _begin_patiently(self) -> None:
        self._writer.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        finally:
            self._writer.execute("PRAGMA busy_timeout = 0")

    def _run_one(
        self,
        work: Work[Any],
        future: asyncio.Future[Any],
        done: list[tuple[asyncio.Future[Any], Any]],
        announced: list[str],
    ) -> None:
        """One unit of work within the batch; if it raises, it alone is undone."""
        mark = self._chain.mark()
        transaction = SqliteTransaction(self._writer, self._chain)
        self._writer.execute("SAVEPOINT unit")
        try:
            result = run(work(transaction))
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
            self._writer.execute("ROLLBACK TO unit")
            self._writer.execute("RELEASE unit")
            self._chain.rewind(mark)
            if not future.done():
                future.set_exception(error)
            return
        self._writer.execute("RELEASE unit")
        done.append((future, result))
        announced.extend(transaction.announced)

    def _abandon(self, mark: tuple[int, str]) -> None:
        self._chain.rewind(mark)
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")


def create_engine(path: Path) -> AsyncEngine:
    """SQLAlchemy's engine over aiosqlite for `path`, with the same pragmas."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

    @event.listens_for(engine.sync_engine, "connect")
    def _set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    return engine
