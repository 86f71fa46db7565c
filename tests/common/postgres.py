"""A real PostgreSQL for tests: one server per test process, one copied database per test.

Debian's programs refuse to run as root, so root hands them to the user `postgres`. The server listens on a
Unix socket only, never syncs, and ends with the process that started it, however that ends.
"""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

_USER: Final = "postgres"
_SECONDS: Final = 30.0
_MEMORY: Final = Path("/dev/shm")
_ROOM: Final = 1 << 30
_SETTINGS: Final = (
    "fsync=off",
    "full_page_writes=off",
    "listen_addresses=",
    "max_connections=60",
    "dynamic_shared_memory_type=mmap",  # nothing outside of the folder
)


class NoPostgres(Exception):
    """The programs of a PostgreSQL server are not installed."""


def find_programs() -> Path:
    """The newest folder with `initdb` and `postgres` in it; NoPostgres says how to get one."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    folders += [Path(on_path).resolve().parent] if on_path else []
    for folder in reversed(folders):
        if all((folder / name).exists() for name in ("initdb", "postgres", "psql")):
            return folder
    raise NoPostgres("no PostgreSQL server programs here: run tools/install-test-packages as root")


class PostgresServer:
    """A cluster in `folder` that can be started, stopped and crashed."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        data = ("-D", folder / "data")
        self._run("initdb", "--no-sync", "-A", "trust", "-U", _USER, "-E", "UTF8", "--locale=C.UTF-8", *data)

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        data, folder = str(self._folder / "data"), str(self._folder)
        command = [*_as_user(), str(self._programs / "postgres"), "-D", data, "-k", folder, *settings]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        end = time.monotonic() + _SECONDS
        while True:
            try:
                return self.execute("SELECT 1")
            except subprocess.CalledProcessError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT is an orderly stop, SIGQUIT leaves what a crash leaves."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_SECONDS)
            self._process = None

    def url(self, database: str) -> str:
        """The URL of `database`, as `open_database` takes it."""
        return f"postgresql://{_USER}@/{database}?host={self._folder}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement, on a connection of its own."""
        self._run("psql", "-X", "-q", "-h", self._folder, "-U", _USER, "-d", database, "-c", statement)

    def copy(self, template: str) -> str:
        """The name of a new database, a copy of `template`, to which nobody may be connected."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [*_as_user(), self._programs / program, *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder)


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A started server in a new folder, where its user may go and a socket's path stays short."""
    programs = find_programs()
    # Every test copies a database: in memory that takes a tenth of the time, if there is enough of it.
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
    folder = Path(tempfile.mkdtemp(prefix="certctl-postgres-", dir=_MEMORY if roomy else "/tmp"))
    if os.getuid() == 0:
        shutil.chown(folder, _USER, _USER)
    try:
        server = PostgresServer(programs, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgres_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated, empty PostgreSQL database of the test's own, by the fixtures of tests/conftest.py."""
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.copy(request.getfixturevalue("postgres_template"))
    request.addfinalizer(lambda: server.execute(f"DROP DATABASE {name} WITH (FORCE)"))
    return server.url(name)


def _as_user() -> list[str]:
    if os.getuid() != 0:
        return []
    user = ["--reuid", _USER, "--regid", _USER, "--clear-groups"]
    return ["setpriv", *user, "--pdeathsig", "INT", "--"]
