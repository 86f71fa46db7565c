"""An open database on each engine."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from store.database import Database
from store.open import open_database
from store.sqlite import SqliteDatabase
from tests.common.postgres import PostgresServer, running_server
from tests.common.world import sqlite_url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open, migrated and empty, on SQLite and on PostgreSQL."""
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """The same on SQLite only."""
    shutil.copy(sqlite_template, tmp_path / "certctl.db")
    opened = await open_database(sqlite_url(tmp_path))
    assert isinstance(opened, SqliteDatabase)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def crashable_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A PostgreSQL server to be crashed, and started again."""
    request.getfixturevalue("postgres_server")  # which skips, or fails, where there is none
    with running_server() as server:
        yield server
