"""PostgreSQL, for more than one machine: a pool of held connections, one transaction per unit of work."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg
from sqlalchemy import Select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from store.chain import Chain
from store.database import DatabaseRefused, Row, Signals, StorageFailed, Work
from store.statements import POSTGRESQL, Statement

T = TypeVar("T")
Link: TypeAlias = "asyncpg.Connection[Any]"
_Held: TypeAlias = tuple[Link, Chain]
_Run: TypeAlias = Callable[[Link, Chain], Awaitable[T]]

CHANNEL: Final = "certctl"
CONNECTIONS: Final = 8
_TRIES: Final = 5
_PATIENCE_SECONDS: Final = 10.0  # for a free connection, and for a row that another transaction holds
_COMMAND_SECONDS: Final = 30.0  # for an answer to one statement, from a server that may be gone
_CONNECT_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 2.0
_RELISTEN_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.005
_STATEMENTS: Final = 512  # prepared statements kept per connection
_SETTINGS: Final = {
    "application_name": "certctl",
    "lock_timeout": str(int(_PATIENCE_SECONDS * 1000)),
    # A node that hangs in the middle of a unit of work must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "60000",
}
_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE"
_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_NOTIFY: Final = "SELECT pg_notify($1, topic) FROM unnest($2::text[]) AS topic"
# An operator may have traded durability for speed; for this application that is not to be had.
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_CONFLICT: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    # The schema changed under a prepared statement; the driver has thrown it away.
    asyncpg.exceptions.InvalidCachedStatementError,
    asyncpg.exceptions.OutdatedSchemaCacheError,
)
_STORAGE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, starting up, cancelled
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.PostgresIOError,
    asyncpg.InternalServerError,
    OSError,
    TimeoutError,
)

LOST: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Whatever comes of asking a server that is not there, or will not have us."""


class PostgresTransaction:
    """A transaction on one held connection."""

    __slots__ = ("_connection", "announced", "chain")

    def __init__(self, connection: Link, chain: Chain) -> None:
        self._connection = connection
        self.chain = chain
        self.announced: list[str] = []

    async def execute(self, statement: Statement, /, **values: Any) -> int:
        sql, parameters = statement.bind(POSTGRESQL, values)
        # The command tag ends in the number of rows: "UPDATE 1", "INSERT 0 1".
        tag: str = await self._connection.execute(sql, *parameters)
        return int(tag.rpartition(" ")[2])

    async def one(self, statement: Statement, /, **values: Any) -> Row | None:
        sql, parameters = statement.bind(POSTGRESQL, values)
        row = await self._connection.fetchrow(sql, *parameters)
        return None if row is None else tuple(row)

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        sql, parameters = statement.bind(POSTGRESQL, values)
        return [tuple(row) for row in await self._connection.fetch(sql, *parameters)]

    def announce(self, topic: str) -> None:
        self.announced.append(topic)


class _Single:
    """Statements that read, each on whatever connection is free and in a transaction that the server makes for it."""

    def __init__(self, database: "PostgresDatabase") -> None:
        self._database = database
        self.chain = Chain.start()

    async def execute(self, statement: Statement, /, **values: Any) -> int:
        return await self._database.lend(lambda tx: tx.execute(statement, **values))

    async def one(self, statement: Statement, /, **values: Any) -> Row | None:
        return await self._database.lend(lambda tx: tx.one(statement, **values))

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        return await self._database.lend(lambda tx: tx.all(statement, **values))

    def announce(self, topic: str) -> None:
        raise RuntimeError(f"what only reads has nothing to announce: {topic}")


class PostgresDatabase:
    """An open PostgreSQL database. Make it with `PostgresDatabase.connect`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: asyncio.LifoQueue[_Held | None] = asyncio.LifoQueue()
        for _ in range(CONNECTIONS):
            self._idle.put_nowait(None)  # opened when first needed
        self._listening: asyncio.Task[None] | None = None
        self._engine: AsyncEngine | None = None
        self._closed = False
        self.signals = Signals()
        self.single = _Single(self)

    @classmethod
    async def connect(cls, url: str) -> "PostgresDatabase":
        """Open the database at `url` (postgresql+asyncpg://...); StorageFailed where it cannot be reached."""
        database = cls(url)
        listener = await database._listen()
        database._listening = asyncio.ensure_future(database._keep_listening(listener))
        return database

    async def write(self, work: Work[T]) -> T:
        self._check_open()
        # A caller that goes away must not break off what may be half way into a commit.
        return await asyncio.shield(self._run(_WRITE, work))

    async def read(self, work: Work[T]) -> T:
        self._check_open()
        return await self._run(_READ, work)

    async def lend(self, work: Work[T]) -> T:
        """What `work`, which is one statement that reads, returns; no transaction is made around it."""
        self._check_open()

        return await self._with_connection(lambda link, chain: work(PostgresTransaction(link, chain)))

    async def select(self, query: Select[Any]) -> Sequence[Row]:
        try:
            async with self.engine.connect() as connection:
                return [tuple(row) for row in (await connection.execute(query)).all()]
        except DBAPIError as error:
            raise StorageFailed(f"cannot read: {error.orig}") from error  # its own text quotes the parameters
        except OSError as error:
            raise StorageFailed(f"cannot read: {error}") from error

    @property
    def engine(self) -> AsyncEngine:
        if self._engine is None:
            self._engine = create_async_engine(self._url, pool_pre_ping=True)
        return self._engine

    async def close(self) -> None:
        self._closed = True
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        for _ in range(CONNECTIONS):
            held = await self._idle.get()
            if held is not None:
                await _close(held[0])
        if self._engine is not None:
            await self._engine.dispose()

    def _check_open(self) -> None:
        if self._closed:
            raise StorageFailed("the database is closed")

    async def _run(self, begin: str, work: Work[T]) -> T:
        for attempt in range(_TRIES):
            try:
                return await self._with_connection(partial(_transact, begin, work))
            except _CONFLICT:
                pass
            except DatabaseRefused:
                # It may have looked for a row, found none, and met the one that somebody else was just adding. The
                # second time it finds that one.
                if attempt > 0:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS * attempt)
        raise StorageFailed("the database is too busy: gave up after several conflicts")

    async def _with_connection(self, run: _Run[T]) -> T:
        held = await self._take()
        try:
            if held is None or held[0].is_closed():
                held = None
                held = await connect(self._url), Chain.start()
            return await run(*held)
        except asyncpg.IntegrityConstraintViolationError as error:
            raise DatabaseRefused(error.args[0]) from None  # its detail quotes the row
        except _STORAGE as error:
            raise StorageFailed(f"the database is out of reach: {error}") from error
        except _CONFLICT:
            raise
        except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            # Misused, or the link broke a moment ago, and the driver has lost its thread.
            if isinstance(error, asyncpg.InterfaceError) and held is not None and not held[0].is_closed():
                raise
            if held is not None:
                held[0].terminate()
            raise StorageFailed(f"the database is out of reach: {error}") from error
        finally:
            if held is not None and (held[0].is_closed() or held[0].is_in_transaction()):
                held[0].terminate()
                held = None
            self._idle.put_nowait(held)

    async def _take(self) -> _Held | None:
        if not self._idle.empty():
            return self._idle.get_nowait()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._idle.get()
        except TimeoutError:
            raise StorageFailed("every connection to the database is busy") from None

    async def _listen(self) -> Link:
        connection = await connect(self._url)
        await connection.add_listener(CHANNEL, self._hear)
        return connection

    async def _keep_listening(self, listener: Link) -> None:
        """Hear what is announced for as long as the database is open; begin anew when the link breaks."""
        while True:
            lost = asyncio.Event()
            listener.add_termination_listener(lambda _, lost=lost: lost.set())
            if listener.is_closed():
                lost.set()
            try:
                await lost.wait()
            finally:
                await _close(listener)
            listener = await self._listen_again()

    async def _listen_again(self) -> Link:
        while True:
            await asyncio.sleep(_RELISTEN_SECONDS)
            try:
                return await self._listen()
            except (StorageFailed, *LOST):
                continue

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self.signals.send(str(payload))


async def connect(url: str, *, read_only: bool = True) -> Link:
    """A connection whose commits are durable, `read_only` unless a transaction says otherwise. Raises StorageFailed."""
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=_CONNECT_SECONDS,
            command_timeout=_COMMAND_SECONDS,
            statement_cache_size=_STATEMENTS,
            max_cached_statement_lifetime=0,
            server_settings=_SETTINGS | {"default_transaction_read_only": "on" if read_only else "off"},
        )
        try:
            await connection.execute(_DURABLE)
        except BaseException:
            connection.terminate()
            raise
    except LOST as error:
        raise StorageFailed(f"cannot connect to the database: {error}") from error
    return connection


async def _transact(begin: str, work: Work[T], connection: Link, chain: Chain) -> T:
    mark = chain.mark()
    transaction = PostgresTransaction(connection, chain)
    try:
        await connection.execute(begin)
        result = await work(transaction)
        if transaction.announced:
            await connection.execute(_NOTIFY, CHANNEL, list(dict.fromkeys(transaction.announced)))
    except BaseException:
        chain.rewind(mark)
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
        raise
    await _commit(connection)
    return result


async def _commit(connection: Link) -> None:
    try:
        answer = await connection.execute("COMMIT")
    except BaseException:
        # What came of it is unknown, and with it where the connection's chain stands.
        connection.terminate()
        raise
    if answer != "COMMIT":
        connection.terminate()
        raise DatabaseRefused("a statement failed inside the work, which went on as if it had not")


async def _close(connection: Link) -> None:
    try:
        await connection.close(timeout=_CLOSE_SECONDS)
    except LOST:
        connection.terminate()
