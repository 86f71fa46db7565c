"""What every engine promises: durable writes, consistent reads, and a word when something happened.

A unit of work is a coroutine that is handed a `Transaction` and awaits nothing else. On SQLite it
runs to its end without giving way, many of them in one commit; on PostgreSQL each has a transaction
of its own. The code above this line cannot tell which.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncEngine

from store.chain import Chain
from store.statements import Statement

T = TypeVar("T")
Row = tuple[Any, ...]


class StorageFailed(Exception):
    """The database could not make the work durable; nothing of it remains. Try again later.

    One case is beyond telling: if the link broke, or the machine died, in the very moment of the commit, all of the
    work may be there. So who tries again looks first, as every compare-and-set does.
    """


class DatabaseRefused(Exception):
    """A constraint or a guard of the database forbids the work; nothing of it remains. Never retried in vain.

    Says which rule, never a value.
    """


class Transaction(Protocol):
    """What a unit of work may do. Parameters are given by name."""

    chain: Chain

    async def execute(self, statement: Statement, /, **values: Any) -> int:
        """Run it; the number of rows that it changed."""

    async def one(self, statement: Statement, /, **values: Any) -> Row | None:
        """The first row, or None."""

    async def all(self, statement: Statement, /, **values: Any) -> list[Row]:
        """Every row."""

    def announce(self, topic: str) -> None:
        """Send `topic` to all who wait for it, once and only if the transaction commits."""


Work = Callable[[Transaction], Awaitable[T]]


class Database(Protocol):
    """An open database."""

    signals: "Signals"

    @property
    def single(self) -> Transaction:
        """For one statement that reads: it sees what is committed when it runs, and costs no transaction."""

    async def write(self, work: Work[T]) -> T:
        """What `work` returns, once everything it did is durable; if it raises, nothing of it was done.

        `work` may be run more than once and must leave no trace but in the database. Where the database itself says
        no, it fails as a whole: an error of a statement is not to be caught inside. Raises StorageFailed,
        DatabaseRefused, and whatever `work` raises. Who is cancelled meanwhile does not know whether it was done.
        """

    async def read(self, work: Work[T]) -> T:
        """What `work` returns; it sees one state of committed rows, and cannot write. Raises StorageFailed."""

    async def select(self, query: Select[Any]) -> Sequence[Row]:
        """The rows of an operator's query, off the hot path (lists, searches, reports). Raises StorageFailed."""

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's own engine, for migrations and reports."""

    async def close(self) -> None:
        """Finish what is under way and let go of files and connections."""


class Signals:
    """Topics on which coroutines of this process wait. A word in time, not a promise: waiters also poll."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def send(self, topic: str) -> None:
        """Wake everybody who waits for `topic`."""
        for future in self._waiting.pop(topic, ()):
            if not future.done():
                future.set_result(None)

    @contextlib.contextmanager
    def expect(self, topic: str) -> Iterator[asyncio.Future[None]]:
        """A future that is done when `topic` is next sent. Enter it *before* looking, or a word is lost."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(topic, set()).add(future)
        try:
            yield future
        finally:
            waiters = self._waiting.get(topic)
            if waiters is not None:
                waiters.discard(future)
                if not waiters:
                    del self._waiting[topic]
            future.cancel()

    async def wait(self, topic: str, seconds: float) -> bool:
        """Whether `topic` was sent within `seconds`."""
        with self.expect(topic) as future:
            done, _ = await asyncio.wait([future], timeout=seconds)
        return bool(done)
