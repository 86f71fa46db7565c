"""Fixtures for every test: a fresh, migrated database on each engine."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.open import open_database
from tests.common.postgres import NoPostgres, PostgresServer, postgres_url, running_server
from tests.common.schedule import pytest_xdist_make_scheduler
from tests.common.world import sqlite_url

__all__ = ["pytest_xdist_make_scheduler"]  # a hook: found here by its name


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server, started when the first test asks for it. CI=true makes its absence a failure."""
    try:
        with running_server() as server:
            yield server
    except NoPostgres as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(f"NOT TESTED ON POSTGRESQL: {error}")


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a migrated, empty database, to be copied."""
    postgres_server.execute("CREATE DATABASE template_migrated")
    _migrate(postgres_server.url("template_migrated"))
    return "template_migrated"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database file, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    _migrate(sqlite_url(folder))
    return folder / "certctl.db"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated, empty database of the test's own, on each engine in turn."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "certctl.db")
        return sqlite_url(tmp_path)
    return postgres_url(request)


def _migrate(url: str) -> None:
    async def run() -> None:
        database = await open_database(url)
        await database.close()

    asyncio.run(run())
