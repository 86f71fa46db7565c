"""The outermost layer around every handler: errors become problem documents, answers are counted.

Not an aiohttp middleware: those are passed over by what the framework itself answers (an `Expect` that it does not
know, a body too large), and each costs every request a frame.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from servers.log import begin_request
from servers.web.answer import SERVER, Answer
from servers.web.body import BodyBounds, read_body
from servers.web.metrics import Metrics
from servers.web.problem import MEDIA_TYPE, Problem, ProblemError

log = structlog.get_logger()
AnyAnswer: TypeAlias = web.StreamResponse | Answer
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answering = Callable[[web.Request], Awaitable[AnyAnswer]]

_UNKNOWN: Final = "other"


class Realm(Protocol):
    """A protocol that answers whatever is asked below its paths, errors included, past aiohttp's own router."""

    def owns(self, path: str) -> bool:
        """Whether a path, without its query, is one of the realm's."""

    async def answer(self, request: web.Request, path: str) -> Answer:
        """The answer to a request for `path`, whatever happens on the way."""


class Front:
    """What the listeners of one process share."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics: Final = metrics
        self.draining = False
        """From now on every answer is the last one of its connection."""

    def around(self, handle: Handle, realms: tuple[Realm, ...] = ()) -> Answering:
        """`handle`, and the `realms` that come before it: every outcome is an answer, and is counted."""

        async def answer(request: web.Request) -> AnyAnswer:
            begin_request()
            began = perf_counter()
            path = _path(request.raw_path)
            response: AnyAnswer
            for realm in realms:
                if realm.owns(path):
                    response = await realm.answer(request, path)
                    route = response.route
                    break
            else:
                response = await self._by_application(request, handle)
                resource = request.match_info.route.resource
                route = "" if resource is None else resource.canonical
            if self.draining:
                response.force_close()
            # By route, never by path: what strangers ask for must not grow a table.
            method = request.method if route else _UNKNOWN
            self.metrics.answered(method, route or _UNKNOWN, response.status, perf_counter() - began)
            return response

        return answer

    async def _by_application(self, request: web.Request, handle: Handle) -> AnyAnswer:
        try:
            response = await handle(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - nothing leaves without being a problem document
            return self._of_error(request, error)
        response.headers["Server"] = SERVER
        return response

    def _of_error(self, request: web.Request, error: Exception) -> Answer:
        match error:
            case ProblemError():
                return of_problem(error)
            case web.HTTPException():
                return of_framework(error)
            case web.RequestPayloadError():
                return of_problem(ProblemError(Problem(400, "the body of the request cannot be read")))
        reference = uuid.uuid4().hex[:12]
        self.metrics.unforeseen += 1
        log.error("request.unforeseen", reference=reference, path=request.path, exc_info=error)
        return of_problem(
            ProblemError(Problem(500, f"something broke here; the operator finds it under {reference}"))
        )


def _path(target: str) -> str:
    """The path of a request target, which may be in absolute form (RFC 9112 section 3.2.2)."""
    # What urlsplit cannot read, the parser has refused already.
    return target.partition("?")[0] if target.startswith("/") else urlsplit(target).path


def patient_for(body_seconds: float, max_body: int) -> Middleware:
    """A middleware that waits for the rest of a body that did not come with its head, but not for ever.

    Innermost: what it refuses passes the protocol's own middleware on the way out.
    """
    bounds = BodyBounds(max_body, body_seconds)

    @web.middleware
    async def with_body(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.content.is_eof():
            await read_body(request, bounds)
        return await handler(request)

    return with_body


def of_problem(error: ProblemError) -> Answer:
    """The answer that an error brings along."""
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", **error.headers}
    closes = headers.pop("Connection", "") == "close"
    response = Answer(error.problem.to_bytes(), error.problem.status, list(headers.items()))
    if closes:
        response.force_close()
    return response


def of_framework(error: web.HTTPException) -> Answer:
    """The answer for what aiohttp refuses itself: unknown paths, wrong methods, bodies too large."""
    if error.status < 400:
        raise error
    headers: dict[str, str] = {}
    detail = ""
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        detail = "the body of the request is larger than this server reads"
        headers["Connection"] = "close"
    elif error.status == 404:
        detail = "there is nothing at this address"
    return of_problem(ProblemError(Problem(error.status, detail), headers))
