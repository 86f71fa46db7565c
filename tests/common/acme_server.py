"""An ACME server in this process: a World below, real responders beside it, HTTP on loopback above."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp import web

from policy.acme.authorizations import Attempts
from policy.acme.limits import AcmeLimits
from policy.validation import ValidationSettings, Validator
from servers.acme.nonces import NonceClaims, NonceMint, Nonces
from servers.acme.routes import add_routes
from servers.acme.services import AcmeServices, DirectoryMeta
from servers.acme.urls import Urls
from tests.common.responders import DNSResponder, HTTP01Responder, TLSALPN01Responder
from tests.common.world import World, make_world


class MemoryLedger:
    """Nonces that were used in this process: the tests of the store have the real ledgers."""

    def __init__(self) -> None:
        self._used: set[bytes] = set()

    async def spend(self, claims: NonceClaims) -> bool:
        fresh = claims.identity not in self._used
        self._used.add(claims.identity)
        return fresh


class PlainUnsealer:
    """External account keys of tests are stored as they are."""

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        assert purpose.startswith("eab:")
        return sealed


@dataclass
class AcmeServer:
    """What a test needs to know of the server that it talks to."""

    world: World
    url: str
    http01: HTTP01Responder
    dns: DNSResponder
    tls_alpn01: TLSALPN01Responder
    services: AcmeServices
    _stack: AsyncExitStack = field(repr=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def directory(self) -> str:
        return f"{self.url}/acme/directory"

    def start_worker(self) -> None:
        """Let jobs be carried out from now on."""
        self._tasks.append(asyncio.ensure_future(self.world.worker.run(self._stopping)))

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        await self._stack.aclose()


@asynccontextmanager
async def make_acme_server(
    database_url: str,
    *,
    worker: bool = True,
    limits: AcmeLimits | None = None,
    meta: DirectoryMeta | None = None,
) -> AsyncIterator[AcmeServer]:
    """An ACME server whose names resolve, whose challenges are really checked, and whose time is the World's."""
    stack = AsyncExitStack()
    world = await stack.enter_async_context(make_world(database_url))
    http01 = await stack.enter_async_context(HTTP01Responder())
    dns = await stack.enter_async_context(DNSResponder())
    alpn = await stack.enter_async_context(TLSALPN01Responder())
    validator = Validator(
        ValidationSettings(
            http01_port=http01.port,
            tlsalpn01_port=alpn.port,
            resolvers=(dns.address,),
            timeout=2.0,
        )
    )
    # The port is part of what clients sign, so it is known before anything listens.
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    cache, limits = world.cache, limits or AcmeLimits()
    services = AcmeServices(
        database=world.database,
        gate=world.gate,
        cache=cache,
        attempts=Attempts(
            world.database, validator, cache, limits, Urls(url).account, frozenset(), lambda: world.now
        ),
        nonces=Nonces(NonceMint(b"n" * 32, timedelta(hours=1)), MemoryLedger()),
        unsealer=PlainUnsealer(),
        limits=limits,
        meta=meta or DirectoryMeta(),
        external_url=url,
        chains={"issuing": world.issuer.chain_pem},
        clock=lambda: world.now,
    )
    app = web.Application(client_max_size=64 * 1024)
    add_routes(app, services)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener).start()
    made = AcmeServer(world, url, http01, dns, alpn, services, stack)
    if worker:
        made.start_worker()
    try:
        yield made
    finally:
        await made.stop()
