"""The ledger of spent nonces for several machines: an unlogged table, asked by one connection per process.

What is asked while an answer is under way goes into the next statement together.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from store.clock import Millis
from store.database import StorageFailed
from store.nonces import SWEEP_AFTER, Nonce
from store.postgres import LOST, Link, connect

_BATCH: Final = 500
_SPEND: Final = """
INSERT INTO spent_nonces (identity)
SELECT identity FROM unnest($1::bytea[], $2::bigint[]) AS asked (identity, minted_at)
WHERE minted_at >= (SELECT remembers_from FROM nonce_origin)
ON CONFLICT DO NOTHING RETURNING identity
"""
_ORIGIN: Final = """
INSERT INTO nonce_origin (id, remembers_from)
SELECT 1, greatest($1::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) + 1 ON CONFLICT DO NOTHING
"""
_RAISE: Final = "UPDATE nonce_origin SET remembers_from = $1 WHERE remembers_from < $1"
_SWEEP: Final = "DELETE FROM spent_nonces WHERE identity < $1"


_STOPPED: Final = "the process is being stopped"

_Asked = tuple[Nonce, asyncio.Future[bool]]


class PostgresNonceLedger:
    """A ledger in a database that many nodes share."""

    def __init__(self, url: str, clock: Callable[[], Millis]) -> None:
        """Nothing is opened yet. `url` is that of a migrated database (postgresql+asyncpg://...)."""
        self._url = url
        self._clock = clock
        self._connection: Link | None = None
        self._queue: list[_Asked] = []
        self._running: asyncio.Task[None] | None = None
        self._unswept = 0
        self._closed = False

    async def open(self) -> None:
        """Connect, and begin to remember if everything was forgotten; StorageFailed if that cannot be done."""
        try:
            await self._connected()
        except LOST as error:
            self._disconnect()
            raise StorageFailed(f"the ledger of nonces is out of reach: {error}") from error

    async def spend(self, nonce: Nonce) -> bool:
        if self._closed:
            raise StorageFailed("the ledger of nonces is closed")
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append((nonce, future))
        if self._running is None:
            self._running = asyncio.ensure_future(self._run())
            self._running.add_done_callback(self._stop)
        return await future

    async def close(self) -> None:
        self._closed = True
        if self._running is not None:
            await asyncio.wait([self._running])
        self._disconnect()

    async def _run(self) -> None:
        batch: list[_Asked] = []
        try:
            while self._queue:
                batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
                try:
                    await self._spend_all(batch)
                except StorageFailed as error:
                    _fail(batch, str(error))
        finally:
            _fail(batch, _STOPPED)
            self._stop(self._running)

    def _stop(self, task: asyncio.Task[None] | None) -> None:
        """Nobody may wait for a task that has ended, even one that was cancelled before it began."""
        if task is not None and task is self._running:
            self._running = None
            _fail(self._queue, _STOPPED)
            self._queue = []

    async def _spend_all(self, batch: list[_Asked]) -> None:
        # In one order, whoever asks: two nodes that insert the same ones crosswise would wait for each other.
        asked = sorted({(nonce.identity, nonce.minted_at) for nonce, _ in batch})
        try:
            connection = await self._connected()
            rows = await connection.fetch(_SPEND, [i for i, _ in asked], [at for _, at in asked])
            if len(rows) < len(asked):
                # Spent before, or minted too early, or all is forgotten: then begin to remember.
                await connection.execute(_ORIGIN, self._clock())
        except LOST as error:
            self._disconnect()
            raise StorageFailed(f"the ledger of nonces is out of reach: {error}") from error
        fresh = {row[0] for row in rows}
        for nonce, future in batch:
            first = nonce.identity in fresh
            fresh.discard(nonce.identity)
            if not future.done():
                future.set_result(first)
        self._unswept += len(asked)
        if self._unswept >= SWEEP_AFTER:
            last = batch[-1][0]
            await self._sweep(connection, self._clock() - (last.expires_at - last.minted_at))

    async def _sweep(self, connection: Link, bound: int) -> None:
        """Forget what was minted before `bound`; should nonces live longer from tomorrow on, it stays refused."""
        self._unswept = 0
        try:
            await connection.execute(_RAISE, bound)
            await connection.execute(_SWEEP, bound.to_bytes(6, "big"))
        except LOST:
            self._disconnect()  # another time: it is remembered for longer than it has to be

    async def _connected(self) -> Link:
        if self._connection is None or self._connection.is_closed():
            connection = await connect(self._url, read_only=False)
            self._connection = connection
            await connection.execute(_ORIGIN, self._clock())
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _fail(batch: list[_Asked], why: str) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(StorageFailed(why))
