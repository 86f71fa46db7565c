"""A listening socket and its connections: bounded in number, in size of heads, and in patience with the slow."""

import asyncio
import ssl
from dataclasses import dataclass
from socket import socket
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from servers.web.front import Front, Realm, of_problem
from servers.web.problem import Problem, ProblemError

log = structlog.get_logger()
BACKLOG: Final = 1024
MAX_LINE: Final = 8 * 1024
MAX_FIELD: Final = 8 * 1024
MAX_FIELDS: Final = 64
_LOOK_EVERY: Final = 0.02
_CUT_OFF: Final = 1.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may cost; times in seconds."""

    max_connections: int
    idle_seconds: float
    handshake_seconds: float
    drain_seconds: float


class _Connection(RequestHandler):
    """One client. Beyond the limit it is closed before it has said a word."""

    __slots__ = ("_counted", "_listener")

    def __init__(self, listener: "Listener", manager: web.Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._listener = listener
        self._counted = False

    @property
    def busy(self) -> bool:
        """Whether a request is here that was not answered."""
        return self._request_in_progress or bool(self._messages)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._listener.admit():
            # No answer: whoever is over the limit gets no more of our time than this.
            self._manager = None
            transport.abort()  # type: ignore[attr-defined]  # every transport of a stream has it
            return
        self._counted = True
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._counted:
            self._counted = False
            self._listener.dismiss()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is not HTTP; handlers' errors never come here."""
        del message  # the parser's own words quote what was sent
        log.debug("request.malformed", remote=request.remote, status=status, error=repr(exc))
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        response = of_problem(ProblemError(Problem(status, "this is not an HTTP request that can be read")))
        response.force_close()
        return response  # type: ignore[return-value]  # has what aiohttp asks of an answer


class Listener:
    """One socket, plain or TLS, in front of one application and the realms beside it."""

    def __init__(
        self, app: web.Application, front: Front, bounds: Bounds, realms: tuple[Realm, ...] = ()
    ) -> None:
        """`app` answers what belongs to none of the `realms`."""
        self._bounds = bounds
        self._realms = realms
        self._front = front
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=bounds.idle_seconds,
            lingering_time=2.0,
            shutdown_timeout=_CUT_OFF,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_FIELDS,
        )
        self._server: asyncio.Server | None = None
        self.connections = 0

    async def start(self, sock: socket, context: ssl.SSLContext | None = None) -> None:
        """Accept connections from `sock`, which is bound already."""
        await self._runner.setup()
        manager = self._runner.server
        assert manager is not None
        manager.request_handler = self._front.around(manager.request_handler, self._realms)  # type: ignore[assignment]
        loop = asyncio.get_running_loop()
        kwargs = manager._kwargs  # noqa: SLF001 - what AppRunner made of the arguments above

        def connect() -> _Connection:
            return _Connection(self, manager, loop=loop, **kwargs)

        self._server = await loop.create_server(
            connect,
            sock=sock,
            ssl=context,
            ssl_handshake_timeout=self._bounds.handshake_seconds if context else None,
            backlog=BACKLOG,
        )

    def admit(self) -> bool:
        """Whether one more connection is within the limit; it is counted then."""
        if self.connections >= self._bounds.max_connections:
            self._front.metrics.refused_connections += 1
            return False
        self.connections += 1
        return True

    def dismiss(self) -> None:
        """One connection less."""
        self.connections -= 1

    async def stop(self) -> None:
        """Accept nobody any more, let what is under way arrive and be answered, then close."""
        self._front.draining = True
        manager = self._runner.server
        if self._server is not None and manager is not None:
            self._server.close()
            loop = asyncio.get_running_loop()
            until = loop.time() + self._bounds.drain_seconds
            # aiohttp's own shutdown reads nothing more, not even the rest of a body: so it comes last.
            while (busy := _let_go(manager)) and loop.time() < until:  # noqa: ASYNC110 - an event would cost every request
                await asyncio.sleep(_LOOK_EVERY)
            if busy:
                log.warning("listener.cut_off", requests=busy)
        await self._runner.cleanup()


def _let_go(manager: web.Server) -> int:
    """Close the connections that are idle; how many are not."""
    busy = 0
    for connection in manager.connections:
        assert isinstance(connection, _Connection)
        if connection.busy:
            busy += 1
        else:
            connection.force_close()
    return busy
