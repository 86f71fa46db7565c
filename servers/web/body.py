"""The body of a request, read whole: bounded in octets and in patience."""

import asyncio
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from servers.web.problem import Problem, ProblemError


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """How many octets a body may have, and for how many seconds the rest of one is waited for."""

    most: int
    seconds: float


async def read_body(request: web.BaseRequest, bounds: BodyBounds) -> bytes:
    """The body. Raises ProblemError (408) and web.HTTPRequestEntityTooLarge."""
    content = request.content
    if content.is_eof():  # it came with its head, as nearly all do
        body = content.read_nowait()
        if len(body) > bounds.most:
            raise web.HTTPRequestEntityTooLarge(bounds.most, len(body))
        return body
    if (request.content_length or 0) > bounds.most:
        raise web.HTTPRequestEntityTooLarge(bounds.most, request.content_length or 0)
    try:
        async with asyncio.timeout(bounds.seconds):
            return await request.read()  # aiohttp counts what arrives, and keeps it for the next who asks
    except TimeoutError:
        words = f"the body did not arrive within {bounds.seconds:g} seconds"
        raise ProblemError(Problem(408, words), {"Connection": "close"}) from None


async def encourage(request: web.BaseRequest) -> None:
    """Meet the client's expectation (RFC 9110 section 10.1.1); web.HTTPExpectationFailed for one nobody knows."""
    expected = request.headers.get(hdrs.EXPECT)
    if expected is None or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise web.HTTPExpectationFailed(text="an expectation that nobody here knows")
    if not request.content.is_eof():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
