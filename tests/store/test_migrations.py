"""The schema: migrations make what `store.schema` says, on both engines, in one piece, and refuse what is not theirs."""

import asyncio
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from store import migrate as migrations
from store.database import StorageFailed
from store.migrate import SchemaTooNew, SchemaTooOld, configuration, migrate
from store.migrations.guards import GUARDS_0001
from store.open import UnknownDatabase, open_database
from store.schema import metadata, on_postgresql
from store.sqlite import create_engine
from tests.common.postgres import PostgresServer
from tests.common.world import sqlite_url

EngineFactory = Callable[[], AsyncEngine]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table."""
    if request.param == "sqlite":
        (tmp_path / "certctl.db").touch()
        return sqlite_url(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url(server.copy("template0"))


@pytest.fixture
async def engine(empty_url: str) -> AsyncIterator[AsyncEngine]:
    """SQLAlchemy's engine on that database."""
    made = engine_of(empty_url)
    yield made
    await made.dispose()


def engine_of(url: str) -> AsyncEngine:
    if url.startswith("sqlite"):
        return create_engine(Path(url.removeprefix("sqlite:///")))
    return create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))


async def run(engine: AsyncEngine, work: Callable[[Connection], Any]) -> Any:
    async with engine.execution_options(immediate=True).begin() as connection:
        return await connection.run_sync(work)


def upgrade_to(connection: Connection, revision: str) -> None:
    command.upgrade(configuration(connection), revision)


def picture(connection: Connection) -> dict[str, Any]:
    """All that is in the schema, in a form that can be compared."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2"))
        return {f"{kind} {name}": sql for kind, name, sql in rows if "alembic_version" not in name}
    tables = inspect(connection)
    seen: dict[str, Any] = {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in tables.get_columns(name)],
            tables.get_pk_constraint(name),
            sorted(map(str, tables.get_foreign_keys(name))),
            sorted(map(str, tables.get_indexes(name))),
            sorted(map(str, tables.get_unique_constraints(name))),
        )
        for name in tables.get_table_names()
        if name != "alembic_version"
    }
    triggers = "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
    functions = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    for query in (triggers, functions):
        seen |= {f"{name} of {query[:12]}": body for name, body in connection.execute(text(query))}
    return seen


async def test_up_down_up(engine: AsyncEngine) -> None:
    await migrate(engine)
    first = await run(engine, picture)
    assert len(first) > 100
    await run(engine, lambda c: command.downgrade(configuration(c), "base"))
    assert await run(engine, picture) == {}
    await migrate(engine)
    assert await run(engine, picture) == first
    await migrate(engine)
    assert await run(engine, picture) == first


async def test_one_step_at_a_time(engine: AsyncEngine) -> None:
    await migrate(engine)
    whole = await run(engine, picture)
    await run(engine, lambda c: command.downgrade(configuration(c), "base"))
    revisions = await run(
        engine, lambda c: [s.revision for s in migrations._scripts(configuration(c)).walk_revisions()]
    )
    for revision in reversed(revisions):
        up = partial(upgrade_to, revision=revision)
        await run(engine, up)
        await run(engine, lambda c: command.downgrade(configuration(c), "-1"))
        await run(engine, up)
    assert await run(engine, picture) == whole


async def test_migrations_make_what_the_schema_says(engine: AsyncEngine) -> None:
    await migrate(engine)

    def differences(connection: Connection) -> list[Any]:
        tables = [metadata, on_postgresql] if connection.dialect.name == "postgresql" else [metadata]
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "target_metadata": tables}
        )
        return list(compare_metadata(context, tables))  # type: ignore[arg-type]

    assert await run(engine, differences) == []


async def test_a_difference_would_be_seen(engine: AsyncEngine) -> None:
    await migrate(engine)
    await run(engine, lambda c: c.execute(text("ALTER TABLE approvals ADD COLUMN more TEXT")))
    context_of = MigrationContext.configure
    found = await run(engine, lambda c: compare_metadata(context_of(c), metadata))
    assert [difference[0] for difference in found if "more" in str(difference)] == ["remove_column"]


async def test_every_guard_is_there(engine: AsyncEngine) -> None:
    await migrate(engine)
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if engine.dialect.name == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O'"
    )
    rows = await run(engine, lambda c: c.execute(text(query)).scalars().all())
    found = set(rows)
    assert {guard.name for guard in GUARDS_0001} <= found
    assert len({guard.name for guard in GUARDS_0001}) == len(GUARDS_0001)


async def test_a_newer_schema_is_left_alone(empty_url: str, engine: AsyncEngine) -> None:
    await migrate(engine)
    before = await run(engine, picture)
    await run(engine, lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    for upgrade in (True, False):
        with pytest.raises(SchemaTooNew, match="9999"):
            await open_database(empty_url, upgrade=upgrade)
    assert await run(engine, picture) == before


async def test_an_older_schema_is_not_used_without_upgrading(empty_url: str, engine: AsyncEngine) -> None:
    with pytest.raises(SchemaTooOld, match="none"):
        await open_database(empty_url, upgrade=False)
    await run(engine, partial(upgrade_to, revision="0001"))
    with pytest.raises(SchemaTooOld, match="0001"):
        await open_database(empty_url, upgrade=False)
    await (await open_database(empty_url)).close()
    await (await open_database(empty_url, upgrade=False)).close()


@contextmanager
def last_guard_broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The last statement of the first migration fails."""
    with monkeypatch.context() as patch:
        for method in ("for_sqlite", "for_postgresql"):
            original = getattr(type(GUARDS_0001[-1]), method)
            broken = lambda self, *schema, original=original: (  # noqa: E731
                ["this is no SQL"] if self is GUARDS_0001[-1] else original(self, *schema)
            )
            patch.setattr(type(GUARDS_0001[-1]), method, broken)
        yield


async def test_a_migration_that_fails_leaves_nothing(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with last_guard_broken(monkeypatch), pytest.raises(StorageFailed, match="syntax"):
        await migrate(engine)
    assert await run(engine, picture) == {}
    await migrate(engine)


async def test_several_processes_may_start_at_once(empty_url: str) -> None:
    program = (
        "import asyncio, sys; from store.open import open_database\n"
        "async def main():\n"
        "    print('ready', flush=True); sys.stdin.readline()\n"
        "    await (await open_database(sys.argv[1])).close()\n"
        "asyncio.run(main())"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen([sys.executable, "-c", program, empty_url], **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in started:
        assert process.stdout.readline() == b"ready\n"
    for process in started:
        process.stdin.write(b"\n")
        process.stdin.flush()
    ended = await asyncio.gather(*[asyncio.to_thread(process.communicate) for process in started])
    assert [(process.returncode, error) for process, (_, error) in zip(started, ended, strict=True)] == [
        (0, b"")
    ] * 2
    await (await open_database(empty_url, upgrade=False)).close()


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_the_file_and_its_log_are_for_their_owner_alone(tmp_path: Path) -> None:
    database = await open_database(sqlite_url(tmp_path))
    assert modes(tmp_path) == {"certctl.db": 0o600, "certctl.db-wal": 0o600, "certctl.db-shm": 0o600}
    await database.close()
    assert modes(tmp_path) == {"certctl.db": 0o600}


async def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    for url in ("mysql://host/name", "sqlite://", "nonsense", ""):
        with pytest.raises(UnknownDatabase):
            await open_database(url)
    with pytest.raises(StorageFailed, match="No such file"):
        await open_database(f"sqlite:///{tmp_path}/missing/certctl.db")
    with pytest.raises(StorageFailed, match="there is no database"):
        await open_database(f"sqlite:///{tmp_path}/certctl.db", upgrade=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "certctl.db").write_bytes(b"a letter to my aunt, " * 100)
    with pytest.raises(StorageFailed, match="not a database"):
        await open_database(f"sqlite:///{tmp_path}/certctl.db")


async def test_a_path_with_marks_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "50% of it? #1"
    folder.mkdir()
    from store.sqlite import SqliteDatabase  # noqa: PLC0415 - the path is given as a path here

    (folder / "certctl.db").touch()
    engine = create_engine(folder / "certctl.db")
    await migrate(engine)
    await engine.dispose()
    await SqliteDatabase(folder / "certctl.db").close()
    assert [path.name for path in folder.iterdir()] == ["certctl.db"]
