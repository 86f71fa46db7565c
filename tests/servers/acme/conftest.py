"""A server and clients for every test of this folder."""

import shutil
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.common.acme_client import AcmeClient
from tests.common.acme_server import AcmeServer, make_acme_server
from tests.common.world import sqlite_url

UNFORESEEN = {"acme.unforeseen", "request.unforeseen", "attempt.broken", "worker.turn_failed"}


@pytest.fixture
def events() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged. What nobody foresaw fails the test that met it; one that wants it takes it out again."""
    with capture_logs() as logged:
        yield logged
    assert not [event for event in logged if event["event"] in UNFORESEEN]


@pytest.fixture
def fresh_url(tmp_path: Path, sqlite_template: Path) -> str:
    """The URL of a migrated, empty SQLite database."""
    shutil.copy(sqlite_template, tmp_path / "certctl.db")
    return sqlite_url(tmp_path)


@pytest.fixture
async def server(fresh_url: str, events: object) -> AsyncIterator[AcmeServer]:
    async with make_acme_server(fresh_url) as made:
        yield made


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def client(server: AcmeServer, session: aiohttp.ClientSession) -> AcmeClient:
    """A client without an account yet, at the default profile."""
    return await AcmeClient(session, server.directory).start()


@pytest.fixture
async def gated(server: AcmeServer, session: aiohttp.ClientSession) -> AcmeClient:
    """A client with an account, at the gated profile."""
    made = await AcmeClient(session, server.directory_of("gated")).start()
    await made.register()
    return made
