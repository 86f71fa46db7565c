"""The outermost layer around every handler: errors become problem documents, answers are counted.

Not an aiohttp middleware: those are passed over by what the framework itself answers (an `Expect` that it does not
know, a body too large), and each costs every request a frame.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from servers.log import begin_request
from servers.web.metrics import Metrics
from servers.web.problem import MEDIA_TYPE, Problem, ProblemError

log = structlog.get_logger()
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]

SERVER: Final = "certctl"
_UNKNOWN: Final = "other"


class Front:
    """What the listeners of one process share."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics: Final = metrics
        self.draining = False
        """From now on every answer is the last one of its connection."""

    def around(self, handle: Handle) -> Handle:
        """`handle`, whose every outcome is an answer."""

        async def answer(request: web.Request) -> web.StreamResponse:
            begin_request()
            began = perf_counter()
            try:
                response = await handle(request)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - nothing leaves without being a problem document
                response = self._of_error(request, error)
            response.headers["Server"] = SERVER
            if self.draining:
                response.force_close()
            route = request.match_info.route.resource
            self.metrics.answered(
                request.method if route is not None else _UNKNOWN,
                route.canonical if route is not None else _UNKNOWN,
                response.status,
                perf_counter() - began,
            )
            return response

        return answer

    def _of_error(self, request: web.Request, error: Exception) -> web.Response:
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


def patient_for(body_seconds: float, max_body: int) -> Middleware:
    """A middleware that waits for the rest of a body that did not come with its head, but not for ever.

    Innermost: what it refuses passes the protocol's own middleware on the way out.
    """

    @web.middleware
    async def read_body(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.content.is_eof():
            if (request.content_length or 0) > max_body:
                raise web.HTTPRequestEntityTooLarge(max_body, request.content_length or 0)
            try:
                async with asyncio.timeout(body_seconds):
                    await request.read()  # aiohttp keeps it for the handler
            except TimeoutError:
                words = f"the body did not arrive within {body_seconds:g} seconds"
                raise ProblemError(Problem(408, words), {"Connection": "close"}) from None
        return await handler(request)

    return read_body


def of_problem(error: ProblemError) -> web.Response:
    """The answer that an error brings along."""
    return web.Response(
        body=error.problem.to_bytes(),
        status=error.problem.status,
        headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", **error.headers},
    )


def of_framework(error: web.HTTPException) -> web.Response:
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
