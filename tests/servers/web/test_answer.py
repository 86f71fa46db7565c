"""Finished answers on the wire, beside aiohttp's own for the same."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from servers.web.answer import Answer
from servers.web.front import Front
from servers.web.listener import Listener
from servers.web.metrics import Metrics
from tests.servers.web.conftest import BOUNDS

DATE = "Wed, 25 Nov 2026 00:00:00 GMT"


class Echo:
    """A realm below /echo/ that answers with what a test put there."""

    def __init__(self) -> None:
        self.next = Answer(b"whole", headers=[("Content-Type", "text/plain")])
        self.paths: list[str] = []

    def owns(self, path: str) -> bool:
        return path.startswith("/echo/")

    async def answer(self, request: web.Request, path: str) -> Answer:
        del request
        self.paths.append(path)
        return self.next


@asynccontextmanager
async def site(echo: Echo) -> AsyncIterator[tuple[int, Front]]:
    front = Front(Metrics())
    listener = Listener(web.Application(), front, BOUNDS, (echo,))
    sock = socket.create_server(("127.0.0.1", 0))
    await listener.start(sock)
    try:
        yield sock.getsockname()[1], front
    finally:
        await listener.stop()


async def talk(port: int, sent: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("request_line", "connection", "expected"),
    [
        (b"GET /echo/a?b HTTP/1.1", b"close", b"Connection: close"),
        (b"GET /echo/a HTTP/1.0", b"close", b"Connection: close"),
        (b"GET http://elsewhere.test/echo/a HTTP/1.1", b"close", b"Connection: close"),
    ],
)
async def test_one_request_and_its_answer(request_line: bytes, connection: bytes, expected: bytes) -> None:
    echo = Echo()
    async with site(echo) as (port, _):
        came = await talk(port, request_line + b"\r\nHost: x\r\nConnection: " + connection + b"\r\n\r\n")
    head, _, body = came.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert {b"Server: certctl", b"Content-Length: 5", b"Content-Type: text/plain", expected} <= set(lines)
    assert body == b"whole"
    assert echo.paths == ["/echo/a"]


@pytest.mark.parametrize(
    "target", ["http://\u2100.test/echo/a".encode(), b"http://[::1/echo/a", b"echo", b"*", b"http://"]
)
async def test_a_target_that_cannot_be_read_is_nobodys(target: bytes) -> None:
    echo = Echo()
    async with site(echo) as (port, _):
        came = await talk(port, b"OPTIONS " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert came.startswith(b"HTTP/1.1 4")
    assert not echo.paths


async def test_connections_are_kept_where_the_client_keeps_them() -> None:
    echo = Echo()
    async with site(echo) as (port, _):
        once = b"GET /echo/ HTTP/1.1\r\nHost: x\r\n\r\n"
        came = await talk(port, once + once + b"GET /echo/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert came.count(b"HTTP/1.1 200 OK") == 3
        assert came.count(b"Connection: close") == 1
        old = b"GET /echo/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        came = await talk(port, old + b"GET /echo/ HTTP/1.0\r\n\r\n")
        assert (came.count(b"HTTP/1.1 200 OK"), came.count(b"Connection: keep-alive")) == (2, 1)


async def test_an_answer_that_ends_its_connection() -> None:
    echo = Echo()
    echo.next.force_close()
    async with site(echo) as (port, _):
        once = b"GET /echo/ HTTP/1.1\r\nHost: x\r\n\r\n"
        came = await talk(port, once + once)
    assert came.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in came


async def test_a_head_has_the_length_and_not_the_body() -> None:
    async with site(Echo()) as (port, _):
        came = await talk(port, b"HEAD /echo/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 5" in came
    assert came.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
async def test_what_has_no_body_says_no_length(status: int) -> None:
    echo = Echo()
    echo.next = Answer(b"", status, [("ETag", '"x"')])
    async with site(echo) as (port, _):
        came = await talk(port, b"GET /echo/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"Content-Length" not in came
    assert came.endswith(b"\r\n\r\n")


async def test_answers_of_a_realm_are_counted_by_their_template() -> None:
    echo = Echo()
    async with site(echo) as (port, front):
        await talk(port, b"GET /echo/1 HTTP/1.0\r\n\r\n")
        echo.next.route = "/echo/{number}"
        await talk(port, b"GET /echo/2 HTTP/1.0\r\n\r\n")
        text = front.metrics.render().decode()
    name = "certctl_request_seconds_count"
    assert f'{name}{{method="other",process="0",route="other",status="200"}} 1.0' in text
    assert f'{name}{{method="GET",process="0",route="/echo/{{number}}",status="200"}} 1.0' in text


async def test_a_large_answer_to_a_slow_reader_arrives_whole() -> None:
    echo = Echo()
    echo.next = Answer(bytes(20_000_000))
    async with site(echo) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /echo/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await asyncio.sleep(0.2)
        came = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        await writer.wait_closed()
    assert len(came.partition(b"\r\n\r\n")[2]) == 20_000_000


def test_a_head() -> None:
    found = Answer(b"123", 201, [("Location", "https://ca.test/x"), ("Link", "<a>"), ("Link", "<b>")])
    assert found.head(DATE) == (
        b"HTTP/1.1 201 Created\r\nServer: certctl\r\nDate: " + DATE.encode() + b"\r\nContent-Length: 3\r\n"
        b"Location: https://ca.test/x\r\nLink: <a>\r\nLink: <b>\r\n\r\n"
    )


@given(st.text(), st.sampled_from(["\r", "\n", "\r\n", "\0", "\x7f", "\u2028"]), st.text(), st.booleans())
def test_no_header_can_end_its_line(before: str, bad: str, after: str, in_name: bool) -> None:
    text = before + bad + after
    answer = Answer(
        headers=[("X-First", "good"), (text, "x") if in_name else ("X-Bad", text), ("X-Last", "good")]
    )
    with pytest.raises(ValueError, match="control character"):
        answer.head(DATE)
