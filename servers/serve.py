"""Running one process of the server: prepared, listening, and at a signal drained.

prepare    an empty directory becomes a CA; the server's own certificate is there
serve      listeners, worker, scheduler and keepers side by side
drain      nobody is accepted, requests under way are answered, then worker and attempts end their turn
"""

import asyncio
import errno
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from policy import scheduler
from servers.addresses import Address
from servers.app import Node, build_node
from servers.ceremony import Import, Plan
from servers.own_certificate import CertificateUnavailable
from servers.settings import Settings
from servers.setup import Made, alone, has_authority, initialise
from servers.web.listener import Bounds, Listener
from servers.web.tls import ReloadingContext
from store import clock
from store.database import Database
from store.open import open_database

log = structlog.get_logger()
_PATIENCE: Final = 30.0  # seconds for another node's worker to issue this server's certificate


class CannotListen(Exception):
    """An address cannot be listened on; the message says why and what to do."""


class Broke(Exception):
    """A part of the server ended by itself; everything else was stopped in order."""


def bind(address: Address, option: str, *, shared: bool = False) -> socket.socket:
    """A socket bound to `address`; `shared` with other processes (SO_REUSEPORT). Raises CannotListen."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"{address} is in use: stop what listens there, or choose another address with {option}"
            ) from None
        if error.errno == errno.EACCES:
            raise CannotListen(
                f"{address}: this user may not listen on a port below 1024; choose another with {option}"
            ) from None
        raise CannotListen(f"{address}: {error.strerror}; choose another address with {option}") from None
    return sock


async def prepare(settings: Settings, plan: Plan | Import, *, workers: bool) -> Made | None:
    """See to it that there is a CA and a usable certificate of the server's own; what was made, if it was now.

    Raises what `initialise`, `build_node` and `OwnCertificate.obtain` raise.
    """
    with alone(settings.directory):
        database = await open_database(settings.database_url)
        try:
            made = None
            if not await has_authority(database):
                made = await initialise(database, settings, plan, clock.now())
        except BaseException:
            await database.close()
            raise
    try:
        await _certify(settings, database, workers=workers)
    finally:
        await database.close()
    return made


async def _certify(settings: Settings, database: Database, *, workers: bool) -> None:
    # Without workers first: opening a CA key takes its time, and mostly there is nothing to do.
    async with _parts(settings, database, workers=False) as node:
        if not node.own_certificate.due():
            return
    async with _parts(settings, database, workers=workers) as node:
        ended = asyncio.Event()
        work = asyncio.ensure_future(node.worker.run(ended)) if node.worker is not None else None
        try:
            await node.own_certificate.obtain(_PATIENCE)
        except CertificateUnavailable as error:
            if not node.own_certificate.usable():
                raise
            log.warning("server_certificate.not_renewed", error=str(error))
        finally:
            ended.set()
            if work is not None:
                await work


@asynccontextmanager
async def _parts(settings: Settings, database: Database, *, workers: bool) -> AsyncIterator[Node]:
    node = await build_node(settings, database, workers=workers)
    try:
        yield node
    finally:
        await node.ledger.close()


async def serve(
    settings: Settings,
    sockets: tuple[socket.socket, socket.socket],
    *,
    workers: bool,
    index: int = 0,
    follow_stdin: bool = False,
    ready: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called once clients are answered.

    The process of `index` 0 renews the certificate. With `follow_stdin` the end of standard input stops the process too: its parent is gone. Raises Broke.
    """
    # Requests leave hardly any cycles behind: to look for them at every 700th object costs more than keeping them.
    gc.set_threshold(10_000, 20, 50)
    stopping = asyncio.Event()
    _stop_at_signals(stopping, follow_stdin=follow_stdin)
    database = await open_database(settings.database_url, upgrade=False)
    node = await build_node(settings, database, workers=workers, index=index)
    context = ReloadingContext(node.own_certificate.path, node.passphrase)
    limits = settings.limits
    bounds = Bounds(
        limits.max_connections, limits.idle_seconds, limits.handshake_seconds, limits.drain_seconds
    )
    https = Listener(node.https, node.front, bounds, (node.acme,))
    http = Listener(node.http, node.front, bounds)
    _show_gauges(node, context, https, http)
    ended = asyncio.Event()
    parts = _start(node, context, ended, leader=index == 0)
    try:
        await https.start(sockets[0], context.listening)
        await http.start(sockets[1])
        log.info("server.started", url=settings.external_url, workers=workers)
        ready()
        waiting = asyncio.ensure_future(_wait(stopping))
        await asyncio.wait([*parts, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        log.info("server.draining", connections=https.connections + http.connections)
    finally:
        # Requests under way may wait for a job: the worker ends after them.
        node.readiness.draining = True
        await asyncio.gather(https.stop(), http.stop())
        ended.set()
        outcomes = await asyncio.gather(*parts, return_exceptions=True)
        await node.close()
    broken = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if broken or not stopping.is_set():
        log.error("server.broke", errors=[repr(error) for error in broken])
        raise Broke("a part of the server ended by itself; the log says which")
    log.info("server.stopped")


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _start(
    node: Node, context: ReloadingContext, ended: asyncio.Event, *, leader: bool
) -> list[asyncio.Future[None]]:
    runs = [node.attempts.run(ended), context.run(ended), node.front.metrics.run(ended)]
    if node.worker is not None:
        runs += [node.worker.run(ended), scheduler.run(node.database, clock.now, ended)]
    if leader:
        runs.append(node.own_certificate.run(ended))
    return [asyncio.ensure_future(run) for run in runs]


def _show_gauges(node: Node, context: ReloadingContext, https: Listener, http: Listener) -> None:
    metrics = node.front.metrics
    metrics.gauge("certctl_connections_https", "Open connections", lambda: https.connections)
    metrics.gauge("certctl_connections_http", "Open connections", lambda: http.connections)
    metrics.gauge("certctl_tls_reloads", "Certificates taken since the start", lambda: context.reloads)


def _stop_at_signals(stopping: asyncio.Event, *, follow_stdin: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def heard() -> None:
        # A pipe that nobody writes to is readable when its other end has closed.
        with suppress(OSError):
            if os.read(sys.stdin.fileno(), 1):
                return
        loop.remove_reader(sys.stdin.fileno())
        stopping.set()

    if follow_stdin:
        loop.add_reader(sys.stdin.fileno(), heard)
