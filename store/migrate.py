"""Bringing a database to the schema of this version, and telling whether it is there."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

_SCRIPTS: Final = Path(__file__).parent / "migrations"


class SchemaTooNew(Exception):
    """The database was written by a newer version of certctl; this one must not touch it."""


async def migrate(engine: AsyncEngine) -> None:
    """Apply every migration that `engine`'s database lacks, in one transaction each."""
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)


def configuration(connection: Connection) -> Config:
    """Alembic's configuration for one open connection."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    config = configuration(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise SchemaTooNew(
            f"the database is at revision {current}, which this version of certctl does not know: "
            "run the version that wrote it, or a newer one"
        )
    command.upgrade(config, "head")
