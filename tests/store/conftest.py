"""An open database on each engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.database import Database
from store.open import open_database
from store.sqlite import SqliteDatabase
from tests.common.world import sqlite_url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open, migrated and empty, on SQLite and on PostgreSQL."""
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """The same on SQLite only."""
    opened = await open_database(sqlite_url(tmp_path))
    assert isinstance(opened, SqliteDatabase)
    yield opened
    await opened.close()
