"""PostgreSQL, for more than one machine: a pool of held connections, one transaction per unit of work."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy import Select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from store.chain import Chain
from store.database import Row, Signals, StorageFailed, Work
from store.statements import POSTGRESQL, Statement

T = TypeVar("T")

CHANNEL: Final = "certctl"
_CONNECTIONS: Final = 8
_TRIES: Final = 5
_TRY_AGAIN: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_LOST: Final = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, TimeoutError)


class PostgresTransaction:
    """A transaction on one held connection."""

    __slots__ = ("_connection", "announced", "chain")

    def __init__(self, connection: "asyncpg.Connection[Any]", chain: Chain) -> None:
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
    """Statements that read, each on whatever connection is free."""

    def __init__(self, database: "PostgresDatabase") -> None:
        self._database = database
        self.chain = Chain.start()

    async def execute(self, statement: Statement, /, **values: Any) -> int:
        return await self._database.read(lambda tx: tx.execute(statement, **values))

    async def one(self, statement: Statement, /, **values: Any) -> Row | None:
        return await self._database.read(lambda tx: tx.one(statement, **values))

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        return await self._database.read(lambda tx: tx.all(statement, **values))

    def announce(self, topic: str) -> None:
        raise RuntimeError(f"what only reads has nothing to announce: {topic}")


class PostgresDatabase:
    """An open PostgreSQL database. Make it with `PostgresDatabase.connect`."""

    def __init__(self, url: str, listener: "asyncpg.Connection[Any]") -> None:
        self._url = url
        self._listener = listener
        self._idle: asyncio.LifoQueue[tuple[asyncpg.Connection[Any], Chain] | None] = asyncio.LifoQueue()
        for _ in range(_CONNECTIONS):
            self._idle.put_nowait(None)  # opened when first needed
        self._engine: AsyncEngine | None = None
        self.signals = Signals()
        self.single = _Single(self)

    @classmethod
    async def connect(cls, url: str) -> "PostgresDatabase":
        """Open the database at `url` (postgresql+asyncpg://...); StorageFailed where it cannot be reached."""
        try:
            database = cls(url, await asyncpg.connect(_dsn(url)))
            await database._listener.add_listener(CHANNEL, database._hear)
        except (*_LOST, asyncpg.PostgresError) as error:
            raise StorageFailed(f"cannot open the database: {error}") from error
        return database

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self.signals.send(str(payload))

    async def write(self, work: Work[T]) -> T:
        for _ in range(_TRIES):
            try:
                return await asyncio.shield(self._run(work, readonly=False))
            except _TRY_AGAIN:
                continue
        raise StorageFailed("the database is too busy: gave up after several conflicts")

    async def read(self, work: Work[T]) -> T:
        return await self._run(work, readonly=True)

    async def select(self, query: Select[Any]) -> Sequence[Row]:
        async with self.engine.connect() as connection:
            return [tuple(row) for row in (await connection.execute(query)).all()]

    @property
    def engine(self) -> AsyncEngine:
        if self._engine is None:
            self._engine = create_async_engine(self._url)
        return self._engine

    async def close(self) -> None:
        for _ in range(_CONNECTIONS):
            held = await self._idle.get()
            if held is not None:
                await held[0].close()
        await self._listener.close()
        if self._engine is not None:
            await self._engine.dispose()

    async def _run(self, work: Work[T], *, readonly: bool) -> T:
        held = await self._idle.get()
        try:
            if held is None or held[0].is_closed():
                held = await asyncpg.connect(_dsn(self._url)), Chain.start()
            return await self._transact(work, *held, readonly=readonly)
        except _LOST as error:
            raise StorageFailed(f"the database is out of reach: {error}") from error
        finally:
            self._idle.put_nowait(held)

    async def _transact(
        self, work: Work[T], connection: "asyncpg.Connection[Any]", chain: Chain, *, readonly: bool
    ) -> T:
        mark = chain.mark()
        transaction = PostgresTransaction(connection, chain)
        try:
            async with connection.transaction(
                isolation="repeatable_read" if readonly else "read_committed", readonly=readonly
            ):
                result = await work(transaction)
                for topic in transaction.announced:
                    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, topic)
        except BaseException:
            chain.rewind(mark)
            raise
        return result


def _dsn(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
