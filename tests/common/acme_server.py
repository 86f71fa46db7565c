"""An ACME server in this process: a World below, real responders beside it, HTTP on loopback above."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp import web

from policy.acme import external_keys
from policy.acme.authorizations import Attempts
from policy.acme.finalizing import Finalizer
from policy.acme.limits import AcmeLimits
from policy.profiles import Profile
from policy.validation import ValidationSettings, Validator
from policy.worker import Worker
from servers.acme.nonces import NonceClaims, NonceMint, Nonces
from servers.acme.routes import AcmeRealm
from servers.acme.services import AcmeServices, DirectoryMeta
from servers.acme.urls import Urls
from servers.authorities import Chains
from servers.web.body import BodyBounds
from servers.web.front import Front
from servers.web.listener import Bounds, Listener
from servers.web.metrics import Metrics
from store.clock import Millis
from store.ids import ProfileName, new_id
from tests.common.responders import DNSResponder, HTTP01Responder, TLSALPN01Responder
from tests.common.world import World, make_world

MAX_BODY = 64 * 1024
BODY_SECONDS = 0.5


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


@dataclass(repr=False)
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

    def directory_of(self, profile: str) -> str:
        return f"{self.url}/acme/{profile}/directory"

    def start_worker(self, worker: Worker | None = None) -> None:
        """Let jobs be carried out from now on."""
        self._tasks.append(asyncio.ensure_future((worker or self.world.worker).run(self._stopping)))

    def start_attempts(self) -> None:
        """Take over interrupted challenges from now on."""
        self._tasks.append(asyncio.ensure_future(self.services.attempts.run(self._stopping)))

    async def put_profile(self, profile: Profile) -> None:
        """Put a profile that loosens nothing in force."""
        await self.world.put_profile(profile)

    async def external_key(
        self,
        *,
        secret: bytes = b"k" * 32,
        profile: str | None = None,
        patterns: tuple[str, ...] = (),
        reusable: bool = False,
        expires_at: Millis | None = None,
        by: str = "admin",
    ) -> str:
        """The id of a new external account key."""
        world, kid = self.world, new_id(self.world.now)
        await world.write(
            lambda tx: external_keys.create(
                tx,
                kid,
                secret,
                name="",
                profile=None if profile is None else ProfileName(profile),
                patterns=patterns,
                reusable=reusable,
                expires_at=expires_at,
                by=world.people[by].id,
                now=world.now,
                cache=world.cache,
            )
        )
        return kid

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
    path: str = "",
    caa_identities: frozenset[str] = frozenset(),
    validation_wait: float = 2.0,
    issuance_wait: float = 5.0,
) -> AsyncIterator[AcmeServer]:
    """An ACME server whose names resolve, whose challenges are really checked, and whose time is the World's.

    `path` is that of the external URL, which nothing in front takes off.
    """
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
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
    cache, limits = world.cache, limits or AcmeLimits()
    hand = world.worker if worker else None
    services = AcmeServices(
        database=world.database,
        cache=cache,
        finalizer=Finalizer(world.database, world.gate, cache, hand),
        attempts=Attempts(
            world.database, validator, cache, limits, Urls(url).account, caa_identities, lambda: world.now
        ),
        nonces=Nonces(NonceMint(b"n" * 32, timedelta(hours=1)), MemoryLedger()),
        unsealer=PlainUnsealer(),
        limits=limits,
        meta=meta or DirectoryMeta(),
        external_url=url,
        body_bounds=BodyBounds(MAX_BODY, BODY_SECONDS),
        chain_of=Chains(world.database).of,
        clock=lambda: world.now,
        validation_wait=validation_wait,
        issuance_wait=issuance_wait,
    )
    app = web.Application(client_max_size=MAX_BODY)
    front = Listener(app, Front(Metrics()), Bounds(1000, 60, 5, 1), (AcmeRealm(services),))
    await front.start(listener)
    stack.push_async_callback(front.stop)
    made = AcmeServer(world, url, http01, dns, alpn, services, stack)
    if hand is not None:
        made.start_worker(hand)
    try:
        yield made
    finally:
        await made.stop()
