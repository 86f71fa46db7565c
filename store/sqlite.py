"""SQLite, the embedded engine: one writing connection, group commit, reads beside it (WAL).

Units of work run one after the other on the event loop's own thread, each to its end: a statement
costs microseconds, and handing every one to a thread costs more than it does. What can take long,
the fsync of COMMIT and the wait for another process's lock, happens in a thread, and everybody who
asked meanwhile goes into the next commit together.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Select, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from store.chain import Chain
from store.database import DatabaseRefused, Row, Signals, StorageFailed, Work
from store.statements import SQLITE, Statement

T = TypeVar("T")

BUSY_SECONDS: Final = 10.0
_POLL_SECONDS: Final = (
    0.001  # SQLite's own wait sleeps for up to 0.1 s and misses the moments between two commits
)
_BATCH: Final = 256  # units of work in one commit, so that the first never waits long for the last
_STATEMENTS: Final = 512  # prepared statements kept per connection
_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cache_size = -65536",
    # Where a statement may be undone, SQLite keeps what pages were before; in a file that was half of all writing.
    "PRAGMA temp_store = MEMORY",
)
# What the file or the machine is to blame for, not the statement.
_STORAGE_CODES: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)

_STOPPED: Final = "the process is being stopped"

_Asked = tuple[Work[Any], asyncio.Future[Any]]
_Done = tuple[asyncio.Future[Any], Any, list[str]]  # whom to tell what, and the topics to announce


class SqliteTransaction:
    """A transaction on one connection. Its coroutines never give way, so `run` can drive them by hand."""

    __slots__ = ("_cursor", "announced", "chain")

    def __init__(self, connection: sqlite3.Connection, chain: Chain) -> None:
        self._cursor = connection.cursor()
        self.chain = chain
        self.announced: list[str] = []

    async def execute(self, statement: Statement, /, **values: Any) -> int:
        sql, arrange = statement.forms[SQLITE] or statement.compile(SQLITE)
        return self._cursor.execute(sql, arrange(values)).rowcount

    async def one(self, statement: Statement, /, **values: Any) -> Row | None:
        sql, arrange = statement.forms[SQLITE] or statement.compile(SQLITE)
        # fetchall, not fetchone: a statement left half-read would hold its snapshot open
        rows = self._cursor.execute(sql, arrange(values)).fetchall()
        return rows[0] if rows else None

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        sql, arrange = statement.forms[SQLITE] or statement.compile(SQLITE)
        return self._cursor.execute(sql, arrange(values)).fetchall()

    def announce(self, topic: str) -> None:
        self.announced.append(topic)


class _Single(SqliteTransaction):
    """Statements that read, each by itself."""

    __slots__ = ()

    async def one(self, statement: Statement, /, **values: Any) -> Row | None:
        rows = self._rows(statement, values)
        return rows[0] if rows else None

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        return self._rows(statement, values)

    def _rows(self, statement: Statement, values: dict[str, Any]) -> list[Row]:
        sql, arrange = statement.forms[SQLITE] or statement.compile(SQLITE)
        try:
            return self._cursor.execute(sql, arrange(values)).fetchall()
        except sqlite3.Error as error:
            raise _told(error) from error


def run(work: Awaitable[T]) -> T:
    """The result of `work`, driven to its end at once; RuntimeError if it awaits anything but the store."""
    iterator = work.__await__()
    try:
        next(iterator)
    except StopIteration as done:
        result: T = done.value
        return result
    iterator.close()
    raise RuntimeError("a unit of work may await nothing but its transaction")


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that exists, in the mode that this project relies on; StorageFailed if it cannot be had.

    WAL, synchronous FULL, foreign keys checked, and no waiting for locks: who wants to wait does so in a thread.
    """
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )
        try:
            _set_up(connection)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise StorageFailed(f"cannot open {path}: {error}") from error
    return connection


def _set_up(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise StorageFailed("cannot open the database: its file system does not support a write-ahead log")
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    connection.execute("PRAGMA busy_timeout = 0")


class SqliteDatabase:
    """An open SQLite file. Make one per process, inside its event loop."""

    def __init__(self, path: Path) -> None:
        """Open `path`, which exists and has the newest schema; StorageFailed if it cannot be opened."""
        self._path = path
        self._writer = connect(path)
        self._reader = connect(path)
        self._reader.execute("PRAGMA query_only = ON")
        self._chain = Chain.start()
        self._queue: list[_Asked] = []
        self._thread = ThreadPoolExecutor(1, "sqlite-commit")
        self._running: asyncio.Task[None] | None = None
        self._engine: AsyncEngine | None = None
        self._closed = False
        self.signals = Signals()
        self.single = _Single(self._reader, self._chain)

    async def write(self, work: Work[T]) -> T:
        if self._closed:
            raise StorageFailed("the database is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append((work, future))
        if self._running is None:
            self._running = asyncio.ensure_future(self._run_batches())
            self._running.add_done_callback(self._stop)
        # Whoever is cancelled before the work began has asked for nothing; after that it is carried through.
        return await future

    async def read(self, work: Work[T]) -> T:
        if self._closed:
            raise StorageFailed("the database is closed")
        try:
            self._reader.execute("BEGIN")
            try:
                return run(work(SqliteTransaction(self._reader, self._chain)))
            finally:
                if self._reader.in_transaction:
                    self._reader.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _told(error) from error

    async def select(self, query: Select[Any]) -> Sequence[Row]:
        try:
            async with self.engine.connect() as connection:
                return [tuple(row) for row in (await connection.execute(query)).all()]
        except DBAPIError as error:
            raise StorageFailed(f"cannot read: {error.orig}") from error

    @property
    def engine(self) -> AsyncEngine:
        if self._engine is None:
            self._engine = create_engine(self._path)
        return self._engine

    async def close(self) -> None:
        self._closed = True
        if self._running is not None:
            await asyncio.wait([self._running])
        if self._engine is not None:
            await self._engine.dispose()
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()

    async def _run_batches(self) -> None:
        batch: list[_Asked] = []
        try:
            while self._queue:
                batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
                await self._run_batch(batch)
        finally:
            _fail(batch, _STOPPED)
            self._stop(self._running)

    def _stop(self, task: asyncio.Task[None] | None) -> None:
        """Nobody may wait for a task that has ended, even one that was cancelled before it began."""
        if task is not None and task is self._running:
            self._running = None
            _fail(self._queue, _STOPPED)
            self._queue = []

    async def _run_batch(self, batch: list[_Asked]) -> None:
        loop = asyncio.get_running_loop()
        mark = self._chain.mark()
        try:
            done = await self._carry_out(loop, batch)
            if done:
                await loop.run_in_executor(self._thread, self._writer.execute, "COMMIT")
            elif self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except (sqlite3.Error, StorageFailed) as error:
            self._abandon()
            self._chain.rewind(mark)
            _fail(batch, f"not stored: {error}")
            return
        except BaseException:
            # Cancelled, perhaps while the commit is under way: nobody knows what came of it.
            self._abandon()
            self._chain = Chain.start()
            raise
        for future, result, _ in done:
            if not future.done():
                future.set_result(result)
        for _, _, announced in done:
            for topic in announced:
                self.signals.send(topic)

    async def _carry_out(self, loop: asyncio.AbstractEventLoop, batch: list[_Asked]) -> list[_Done]:
        """Begin a transaction and run every unit of `batch` in it; what there is to tell after the commit.

        A savepoint has SQLite copy every page that is changed under it. So there are none until a unit fails that
        has changed something: then all are undone, and run again with a savepoint each.
        """
        mark = self._chain.mark()
        await self._begin(loop)
        done = self._run_units(batch, apart=False)
        if done is None:
            self._writer.execute("ROLLBACK")
            self._chain.rewind(mark)
            await self._begin(loop)
            done = self._run_units(batch, apart=True)
        return done or []

    async def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            # Another process writes. Waiting for it is a thread's business.
            await loop.run_in_executor(self._thread, self._begin_patiently)

    def _begin_patiently(self) -> None:
        for _ in range(int(BUSY_SECONDS / _POLL_SECONDS)):
            time.sleep(_POLL_SECONDS)
            try:
                self._writer.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
            else:
                return
        raise StorageFailed(f"another process has held the database for {BUSY_SECONDS:g} seconds")

    def _run_units(self, batch: list[_Asked], *, apart: bool) -> list[_Done] | None:
        """Each unit of work in turn; if one raises, it alone is undone. None if that takes that they stand `apart`."""
        writer, chain = self._writer, self._chain
        done: list[_Done] = []
        for work, future in batch:
            if future.done():
                continue
            mark, changes = chain.mark(), writer.total_changes
            transaction = SqliteTransaction(writer, chain)
            if apart:
                writer.execute("SAVEPOINT unit")
            try:
                result = run(work(transaction))
            except (Exception, asyncio.CancelledError) as error:
                told = _told(error)
                if told is not error and isinstance(told, StorageFailed):
                    raise told from error  # no other unit of the batch would fare better
                if apart:
                    writer.execute("ROLLBACK TO unit")
                elif len(batch) > 1 and writer.total_changes != changes:
                    return None
                chain.rewind(mark)
                future.set_exception(told)
            else:
                done.append((future, result, transaction.announced))
            if apart:
                writer.execute("RELEASE unit")
        return done

    def _abandon(self) -> None:
        """Leave the transaction behind; a connection that cannot even do that is replaced."""
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            self._writer.close()
            self._writer = connect(self._path)


def _told(error: BaseException) -> BaseException:
    """What the caller is told: the driver's errors in the words of `store.database`, others as they are."""
    if isinstance(error, sqlite3.IntegrityError):
        return DatabaseRefused(str(error))
    if isinstance(error, sqlite3.DatabaseError) and error.sqlite_errorcode & 0xFF in _STORAGE_CODES:
        return StorageFailed(str(error))
    return error


def _fail(batch: list[_Asked], why: str) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(StorageFailed(why))


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def create_engine(path: Path) -> AsyncEngine:
    """SQLAlchemy's engine over aiosqlite for `path`, with the same pragmas.

    Left alone, Python's driver begins a transaction before INSERT but not before CREATE TABLE, and half a migration
    could stay. Here BEGIN comes first; the execution option `immediate` takes the write lock with it.
    """
    engine = create_async_engine(URL.create("sqlite+aiosqlite", database=str(path)))

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine
