"""A listener on loopback with whatever application a test wants behind it."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from aiohttp import web

from servers.web.front import Front, patient_for
from servers.web.listener import Bounds, Listener
from servers.web.metrics import Metrics

BOUNDS = Bounds(max_connections=100, idle_seconds=5.0, handshake_seconds=2.0, drain_seconds=3.0)
MAX_BODY = 1000


@dataclass
class Site:
    """A listener and its address."""

    listener: Listener
    front: Front
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


MakeSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def make_site() -> AsyncIterator[MakeSite]:
    """A listener in front of some handlers; all are stopped when the test ends."""
    async with AsyncExitStack() as stack:

        async def make(*routes: web.RouteDef, bounds: Bounds = BOUNDS, body_seconds: float = 2.0) -> Site:
            app = web.Application(client_max_size=MAX_BODY)
            app.middlewares.append(patient_for(body_seconds, MAX_BODY))
            app.router.add_routes(routes)
            front = Front(Metrics())
            listener = Listener(app, front, bounds)
            sock = socket.create_server(("127.0.0.1", 0))
            await listener.start(sock)
            stack.push_async_callback(listener.stop)
            return Site(listener, front, sock.getsockname()[1])

        yield make
