"""A bare connection to either engine: what somebody has who can run SQL and means no good."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from store.migrations.guards import GUARDS_0001


class Refused(Exception):
    """The database said no; the message is its own."""


class Raw(Protocol):
    """SQL as it is written. Booleans are `true` and `false`, which both engines read."""

    engine: str

    def execute(self, sql: str) -> None:
        """Run it, or raise Refused."""

    def value(self, sql: str) -> Any:
        """The first column of the first row."""

    def close(self) -> None:
        """Hang up."""


class RawSqlite:
    """The file, opened as the sqlite3 program opens it."""

    engine = "sqlite"

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def execute(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except sqlite3.IntegrityError as error:
            raise Refused(str(error)) from error

    def value(self, sql: str) -> Any:
        return self._connection.execute(sql).fetchone()[0]

    def close(self) -> None:
        self._connection.close()


class RawPostgres:
    """A connection with an event loop of its own, so that tests can stay plain functions."""

    engine = "postgresql"

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._connection: Any = self._runner.run(asyncpg.connect(url))

    def execute(self, sql: str) -> None:
        try:
            self._runner.run(self._connection.execute(sql))
        except asyncpg.IntegrityConstraintViolationError as error:
            raise Refused(str(error)) from error

    def value(self, sql: str) -> Any:
        return self._runner.run(self._connection.fetchval(sql))

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()


def connect(url: str) -> Raw:
    """A bare connection to the database at `url`."""
    if url.startswith("sqlite"):
        return RawSqlite(Path(url.removeprefix("sqlite:///")))
    return RawPostgres(url)


@contextlib.contextmanager
def undone(raw: Raw) -> Iterator[None]:
    """Whatever happens inside leaves no trace."""
    raw.execute("BEGIN")
    try:
        yield
    finally:
        raw.execute("ROLLBACK")


def drop_guards(raw: Raw, keep: Iterable[str] = ()) -> None:
    """Remove every guard but those named."""
    kept = frozenset(keep)
    for guard in GUARDS_0001:
        if guard.name in kept:
            continue
        if raw.engine == "sqlite":
            raw.execute(f"DROP TRIGGER {guard.name}")
        else:
            raw.execute(f"DROP FUNCTION {guard.name}() CASCADE")
