"""A server and clients for every test of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.common.acme_client import AcmeClient
from tests.common.acme_server import AcmeServer, make_acme_server
from tests.common.world import sqlite_url


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[AcmeServer]:
    async with make_acme_server(sqlite_url(tmp_path)) as made:
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
    made = await AcmeClient(session, f"{server.url}/acme/gated/directory").start()
    await made.register()
    return made
