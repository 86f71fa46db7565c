"""A fault, planted to see that it is found: a database that answers first and commits when it has nothing else to do.

As long as the process lives nobody can tell, for it sees its own writes. PLANT it in a server's process.
"""

import asyncio
from pathlib import Path
from typing import Final, TypeVar

import store.open
from store.database import Work
from store.sqlite import SqliteDatabase, SqliteTransaction, run

T = TypeVar("T")

PLANT: Final = f"import {__name__}; {__name__}.plant()\n"
_IDLE_SECONDS: Final = 2.0


class AnswersEarly(SqliteDatabase):
    """Commits once nothing was changed for two seconds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._reader.close()
        self._reader = self._writer
        self.single = SqliteTransaction(self._writer, self._chain)  # type: ignore[assignment]  # as good here
        self._commit: asyncio.TimerHandle | None = None

    async def write(self, work: Work[T]) -> T:
        if not self._writer.in_transaction:
            self._begin_patiently()
        mark, changes = self._chain.mark(), self._writer.total_changes
        transaction = SqliteTransaction(self._writer, self._chain)
        self._writer.execute("SAVEPOINT unit")
        try:
            result = run(work(transaction))
        except BaseException:
            self._writer.execute("ROLLBACK TO unit")
            self._chain.rewind(mark)
            raise
        finally:
            self._writer.execute("RELEASE unit")
            self._commit_later(changed=self._writer.total_changes != changes)
        for topic in transaction.announced:
            self.signals.send(topic)
        return result

    async def read(self, work: Work[T]) -> T:
        return run(work(SqliteTransaction(self._writer, self._chain)))

    async def close(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("COMMIT")
        if self._commit is not None:
            self._commit.cancel()
        await super().close()

    def _commit_later(self, *, changed: bool) -> None:
        if self._commit is None or changed:
            if self._commit is not None:
                self._commit.cancel()
            wait = _IDLE_SECONDS if changed else 0.0  # a lock that is held for nothing is let go
            self._commit = asyncio.get_running_loop().call_later(wait, self._commit_now)

    def _commit_now(self) -> None:
        self._commit = None
        if self._writer.in_transaction:
            self._writer.execute("COMMIT")


def plant() -> None:
    """From now on this process opens such databases."""
    store.open.SqliteDatabase = AnswersEarly  # type: ignore[attr-defined]
