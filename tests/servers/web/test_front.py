"""The outermost layer: every outcome is an answer, every error a problem document, every answer counted."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from servers.web.problem import MEDIA_TYPE, Problem, ProblemError
from store.database import StorageFailed
from tests.servers.web.conftest import MAX_BODY, MakeSite, Site


async def fetch(site: Site, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any], Any]:
    async with aiohttp.ClientSession() as session, session.request(method, site.url + path, **more) as answer:
        return answer.status, json.loads(await answer.read()), answer.headers


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"length": len(await request.read())})


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (ProblemError(Problem(409, "taken"), {"Retry-After": "7"}), 409, "taken"),
        (web.HTTPNotFound(), 404, "there is nothing at this address"),
        (web.HTTPForbidden(), 403, None),
        (web.HTTPUnsupportedMediaType(), 415, None),
        (web.HTTPServiceUnavailable(), 503, None),
    ],
)
async def test_what_handlers_raise_is_answered(
    make_site: MakeSite, error: Exception, status: int, detail: str | None
) -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise error

    site = await make_site(web.get("/", fail))
    answered, document, headers = await fetch(site, "GET", "/")
    assert (answered, document["status"], document.get("detail")) == (status, status, detail)
    assert headers["Content-Type"] == MEDIA_TYPE
    assert headers["Cache-Control"] == "no-store"
    if status == 409:
        assert headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a secret path /etc/x"),
        KeyError("hunter2"),
        StorageFailed("disk hunter2"),
        TimeoutError("hunter2"),
    ],
)
async def test_what_nobody_foresaw_says_nothing_but_where_to_look(
    make_site: MakeSite, error: Exception
) -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise error

    site = await make_site(web.get("/", fail))
    with structlog.testing.capture_logs() as logged:
        status, document, _ = await fetch(site, "GET", "/")
    assert status == 500
    assert not [word for word in ("secret", "hunter2", "disk") if word in json.dumps(document)]
    (line,) = [one for one in logged if one["event"] == "request.unforeseen"]
    assert line["reference"] in document["detail"]
    assert line["exc_info"] is error
    assert site.front.metrics.unforeseen == 1


async def test_methods_are_named_where_another_was_used(make_site: MakeSite) -> None:
    site = await make_site(web.get("/", echo), web.post("/", echo))
    status, document, headers = await fetch(site, "DELETE", "/")
    assert (status, document["title"], headers["Allow"]) == (405, "Method Not Allowed", "GET, HEAD, POST")


async def test_an_expectation_that_nobody_knows(make_site: MakeSite) -> None:
    site = await make_site(web.post("/", echo))
    status, document, _ = await fetch(site, "POST", "/", headers={"Expect": "miracles"}, data=b"x")
    assert (status, document["status"]) == (417, 417)
    status, document, _ = await fetch(site, "POST", "/", expect100=True, data=b"xyz")
    assert (status, document) == (200, {"length": 3})


async def test_bodies_are_bounded_announced_or_not(make_site: MakeSite) -> None:
    site = await make_site(web.post("/", echo))
    assert (await fetch(site, "POST", "/", data=bytes(MAX_BODY)))[0] == 200
    status, document, _ = await fetch(site, "POST", "/", data=bytes(MAX_BODY + 1))
    assert (status, document["status"]) == (413, 413)

    async def chunks() -> Any:
        for _ in range(20):
            yield bytes(100)

    status, document, headers = await fetch(site, "POST", "/", data=chunks())
    assert (status, document["status"], headers["Content-Type"]) == (413, 413, MEDIA_TYPE)


async def test_a_body_that_does_not_arrive_is_not_waited_for(make_site: MakeSite) -> None:
    site = await make_site(web.post("/", echo), body_seconds=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert head.startswith(b"HTTP/1.1 408")
    assert b"Connection: close" in head
    rest = await asyncio.wait_for(reader.read(), 5)
    assert json.loads(rest)["status"] == 408
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_comes_in_pieces_is(make_site: MakeSite) -> None:
    site = await make_site(web.post("/", echo))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.write(b"67890")
    text = await asyncio.wait_for(reader.readuntil(b"}"), 5)
    assert text.endswith(b'{"length": 10}')
    writer.close()
    await writer.wait_closed()


async def test_answers_are_counted_by_route_not_by_path(make_site: MakeSite) -> None:
    site = await make_site(web.get("/thing/{id}", echo))
    for number in range(3):
        await fetch(site, "GET", f"/thing/{number}")
    for number in range(4):
        await fetch(site, "GET", f"/nowhere/{number}")
    await fetch(site, "PUT", "/thing/1")
    text = site.front.metrics.render().decode()
    counts = {line for line in text.splitlines() if line.startswith("certctl_request_seconds_count")}
    name = "certctl_request_seconds_count"
    assert counts == {
        f'{name}{{method="GET",process="0",route="/thing/{{id}}",status="200"}} 3.0',
        f'{name}{{method="other",process="0",route="other",status="404"}} 4.0',
        f'{name}{{method="other",process="0",route="other",status="405"}} 1.0',
    }
