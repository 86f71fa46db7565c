"""Opening the database that a URL names, and the ledger of nonces that goes with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from store.clock import Millis
from store.database import Database, StorageFailed
from store.migrate import check, migrate
from store.nonces import NonceLedger, SqliteNonceLedger
from store.sqlite import SqliteDatabase, create_engine

_MODE: Final = 0o600
_UNKNOWN: Final = "[database] url: neither sqlite:///path nor postgresql://..."


class UnknownDatabase(ValueError):
    """The URL names no engine that certctl knows."""


async def open_database(url: str, *, upgrade: bool = True) -> Database:
    """An open database at the newest schema; make it inside the event loop that will use it.

    `url` is `sqlite:///path` or `postgresql://user@host/name`. With `upgrade` a missing SQLite file is made and
    missing migrations are applied. Raises UnknownDatabase, StorageFailed, SchemaTooNew, or, without `upgrade`,
    SchemaTooOld.
    """
    parts = _parts(url)
    match parts.get_backend_name(), parts.database:
        case "sqlite", str(path) if path:
            return await _open_sqlite(Path(path), upgrade=upgrade)
        case "postgresql", _:
            return await _open_postgres(
                parts.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False),
                upgrade=upgrade,
            )
    raise UnknownDatabase(_UNKNOWN)


async def open_ledger(url: str, file: Path, clock: Callable[[], Millis]) -> NonceLedger:
    """The ledger of spent nonces beside the database at `url`, which is migrated: with SQLite it is `file`.

    Raises UnknownDatabase or StorageFailed.
    """
    if _parts(url).get_backend_name() == "sqlite":
        return SqliteNonceLedger(file, clock)
    from store.postgres_nonces import PostgresNonceLedger  # noqa: PLC0415 - asyncpg is an extra

    ledger = PostgresNonceLedger(url, clock)
    await ledger.open()
    return ledger


def _parts(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise UnknownDatabase(_UNKNOWN) from error


async def _open_sqlite(path: Path, *, upgrade: bool) -> Database:
    _find(path, make=upgrade)
    engine = create_engine(path)
    try:
        await (migrate(engine) if upgrade else check(engine))
    finally:
        await engine.dispose()
    return SqliteDatabase(path)


def _find(path: Path, *, make: bool) -> None:
    if path.exists():
        return
    if not make:
        raise StorageFailed(f"there is no database at {path}")
    try:
        path.touch(mode=_MODE)  # SQLite itself would make the file readable for everybody
    except OSError as error:
        raise StorageFailed(f"cannot make a database at {path}: {error.strerror}") from error


async def _open_postgres(url: str, *, upgrade: bool) -> Database:
    from store.postgres import PostgresDatabase  # noqa: PLC0415 - asyncpg is an extra

    database = await PostgresDatabase.connect(url)
    try:
        await (migrate(database.engine) if upgrade else check(database.engine))
    except BaseException:
        await database.close()
        raise
    return database
