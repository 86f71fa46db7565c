"""Connections: bounded in number, size and patience; what is no HTTP gets a problem document; draining loses nothing."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace

import pytest
from aiohttp import web

from servers.web.listener import MAX_FIELD, MAX_FIELDS
from tests.servers.web.conftest import BOUNDS, MakeSite, Site

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def leave(writer: asyncio.StreamWriter) -> None:
    """Close, whatever the server has done to the connection."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def talk(site: Site, text: bytes) -> bytes:
    """All that the server says to `text` before it closes or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(text)
    try:
        async with asyncio.timeout(3):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "text",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client at the plain port
        b"GET / HTTP/9.9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * (MAX_FIELD + 100) + b"\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % i for i in range(MAX_FIELDS + 2)) + b"\r\n",
    ],
)
async def test_what_is_no_request_gets_a_problem_document_and_is_closed(
    make_site: MakeSite, text: bytes
) -> None:
    site = await make_site(web.get("/", hello))
    head, _, body = (await talk(site, text)).partition(b"\r\n\r\n")
    assert head.partition(b" ")[2].startswith(b"400 "), head
    assert b"Content-Type: application/problem+json" in head
    assert b"Server: certctl" in head
    document = json.loads(body)
    assert document["status"] == 400
    assert b"aaaa" not in body


async def test_whoever_is_over_the_limit_is_closed_and_counted(make_site: MakeSite) -> None:
    site = await make_site(web.get("/", hello), bounds=replace(BOUNDS, max_connections=2))
    kept = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(2)]
    for reader, writer in kept:
        writer.write(GET)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(GET)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 3)
    await leave(writer)
    assert site.front.metrics.refused_connections == 1
    assert site.listener.connections == 2
    kept[0][1].close()
    await kept[0][1].wait_closed()
    while site.listener.connections > 1:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(GET)
    assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200"), "who leaves makes room"
    for stream in (writer, kept[1][1]):
        stream.close()
        await stream.wait_closed()


@pytest.mark.parametrize("text", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_whoever_never_finishes_a_head_is_closed(make_site: MakeSite, text: bytes) -> None:
    site = await make_site(web.get("/", hello), bounds=replace(BOUNDS, idle_seconds=0.3))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(text)
    assert await asyncio.wait_for(reader.read(), 4) == b""
    writer.close()
    await writer.wait_closed()


async def test_a_drip_does_not_extend_the_time_for_a_head(make_site: MakeSite) -> None:
    site = await make_site(web.get("/", hello), bounds=replace(BOUNDS, idle_seconds=0.5))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)

    async def drip() -> None:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        while not writer.is_closing():
            writer.write(b"a")
            await asyncio.sleep(0.05)

    dripping = asyncio.ensure_future(drip())
    try:
        assert await asyncio.wait_for(reader.read(), 4) == b""
    except ConnectionError:
        pass
    finally:
        dripping.cancel()
        await leave(writer)


async def test_draining_answers_what_is_under_way_and_closes_the_rest(make_site: MakeSite) -> None:
    going_on = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        await going_on.wait()
        return web.Response(text="done")

    site = await make_site(web.get("/", hello), web.get("/slow", slow))
    idle_reader, idle = await asyncio.open_connection("127.0.0.1", site.port)
    idle.write(GET)
    await idle_reader.readuntil(b"hello")
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    while site.listener.connections < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    stopping = asyncio.ensure_future(site.listener.stop())
    assert await asyncio.wait_for(idle_reader.read(), 2) == b""
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", site.port)
    assert not stopping.done()
    going_on.set()
    text = await asyncio.wait_for(reader.read(), 2)
    assert text.endswith(b"done")
    assert b"Connection: close" in text
    await asyncio.wait_for(stopping, 2)
    for stream in (idle, writer):
        await leave(stream)


async def test_draining_does_not_wait_for_ever(make_site: MakeSite) -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    site = await make_site(web.get("/", never), bounds=replace(BOUNDS, drain_seconds=0.2))
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(GET)
    await asyncio.sleep(0.1)
    await asyncio.wait_for(site.listener.stop(), 5)
    await leave(writer)
