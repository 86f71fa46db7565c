"""Bringing a database to the schema of this version, and telling whether it is there."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from store.database import StorageFailed

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = text("SELECT pg_advisory_xact_lock(7165216118)")  # any number, as long as nobody else uses it


class SchemaTooNew(Exception):
    """The database was written by a newer version of certctl; this one must not touch it."""


class SchemaTooOld(Exception):
    """The database lacks migrations of this version, and they were not to be applied."""


async def migrate(engine: AsyncEngine) -> None:
    """Apply every migration that the database lacks, all in one transaction and by one process at a time.

    Raises SchemaTooNew, or StorageFailed; either way nothing was changed.
    """
    try:
        async with engine.execution_options(immediate=True).begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(_LOCK)
            await connection.run_sync(_upgrade)
    except DBAPIError as error:
        raise StorageFailed(f"cannot bring the database to this version: {error.orig}") from error


async def check(engine: AsyncEngine) -> None:
    """Raise SchemaTooOld or SchemaTooNew unless the database is at this version's schema; StorageFailed as ever."""
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_check)
    except DBAPIError as error:
        raise StorageFailed(f"cannot read the database: {error.orig}") from error


def configuration(connection: Connection) -> Config:
    """Alembic's configuration for one open connection."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    config = configuration(connection)
    if _revision(connection, config) != _scripts(config).get_current_head():
        command.upgrade(config, "head")


def _check(connection: Connection) -> None:
    config = configuration(connection)
    current = _revision(connection, config)
    if current != _scripts(config).get_current_head():
        raise SchemaTooOld(
            f"the database is at revision {current or 'none'}, older than this version of certctl: "
            "start the server once, or run its init, to bring it up"
        )


def _revision(connection: Connection, config: Config) -> str | None:
    """The revision that the database is at, None for an empty one; SchemaTooNew for one not of ours."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {s.revision for s in _scripts(config).walk_revisions()}:
        raise SchemaTooNew(
            f"the database is at revision {current}, which this version of certctl does not know: "
            "run the version that wrote it, or a newer one"
        )
    return current


def _scripts(config: Config) -> ScriptDirectory:
    return ScriptDirectory.from_config(config)
