"""http-01 against real servers: the good, the odd, and those that mean harm (RFC 8555 8.3)."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca.names import parse_identifier
from policy.validation import Problem, ValidationFailed, ValidationSettings, Validator
from tests.common.responders import HTTP01Responder, TCPResponder, TLSALPN01Responder, reply
from tests.policy.validation.stage import KEY_AUTHORIZATION, PATH, RULES, TOKEN, Stage

GOOD = KEY_AUTHORIZATION.encode()


async def test_the_key_authorization_is_there(stage: Stage) -> None:
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    record = await stage.validate("http-01", "a.test")
    (request,) = stage.http.requests
    assert request.path == PATH
    assert request.headers["host"] == f"a.test:{stage.http.port}"
    assert request.headers["user-agent"] == "certctl"
    assert "accept-encoding" not in request.headers or request.headers["accept-encoding"] == "identity"
    assert [(lookup.name, lookup.rrtype, lookup.answers) for lookup in record.lookups] == [
        ("a.test", "AAAA", ()),
        ("a.test", "A", ("127.0.0.1",)),
    ]
    (connection,) = record.connections
    assert (connection.address, connection.port) == ("127.0.0.1", stage.http.port)
    assert connection.purpose == f"http://a.test:{stage.http.port}{PATH}"
    assert record.as_json()["identifier"] == {"type": "dns", "value": "a.test"}
    assert TOKEN + "." not in str(record)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_an_address_needs_no_dns(stage: Stage, address: str) -> None:
    async with HTTP01Responder(address) as http:
        http.tokens[TOKEN] = KEY_AUTHORIZATION
        record = await stage.validate(
            "http-01", address, http01_port=http.port, resolvers=(("127.0.0.1", 9),)
        )
    shown = f"[{address}]" if ":" in address else address
    assert http.requests[0].headers["host"] == f"{shown}:{http.port}"
    assert record.lookups == ()
    assert record.connections[0].address == address


async def test_the_default_port_is_not_in_the_host_header(stage: Stage) -> None:
    """Port 80 cannot be bound here, so the rule is read where it is made."""
    from policy.validation.records import authority  # noqa: PLC0415 - only this test looks at it

    assert authority("a.test", 80, 80) == "a.test"
    assert authority("fd00::1", 80, 80) == "[fd00::1]"
    assert authority("fd00::1", 8080, 80) == "[fd00::1]:8080"
    assert stage.http.port != 80


ODD_BUT_RIGHT = {
    "trailing white space": reply(GOOD + b" \r\n\t\n"),
    "close-delimited": b"HTTP/1.1 200 OK\r\n\r\n" + GOOD,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + GOOD + b"\n",
    "no reason phrase": b"HTTP/1.1 200\r\nContent-Length: %d\r\n\r\n%s" % (len(GOOD), GOOD),
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: %d\n\n%s" % (len(GOOD), GOOD),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    % (len(GOOD), GOOD),
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\n" + reply(GOOD),
    "octet-stream": reply(GOOD, Content_Type="application/octet-stream"),
    "cookies": reply(GOOD, Set_Cookie="a=b; Path=/"),
    "longer than it said": reply(GOOD) + b"more",
    "much white space": reply(GOOD + b"\n" * 5000),
}


@pytest.mark.parametrize("wire", ODD_BUT_RIGHT.values(), ids=ODD_BUT_RIGHT)
async def test_odd_replies_that_are_right(stage: Stage, wire: bytes) -> None:
    stage.http.scripts[PATH] = wire
    await stage.validate("http-01", "a.test")


async def test_one_byte_at_a_time(stage: Stage) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in reply(GOOD):
            writer.write(bytes([byte]))
            await writer.drain()

    stage.http.scripts[PATH] = drip
    await stage.validate("http-01", "a.test")


async def test_a_server_that_keeps_the_connection_open(stage: Stage) -> None:
    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(GOOD))
        await reader.read()

    stage.http.scripts[PATH] = keep
    began = time.monotonic()
    await stage.validate("http-01", "a.test")
    assert time.monotonic() - began < 2


WRONG = {
    "404": (reply(b"<h1>not here</h1>", status="404 Not Found"), "status 404", '"<h1>not here</h1>"'),
    "401": (reply(b"", status="401 Unauthorized"), "status 401", "expected 200"),
    "500": (reply(b"oops \x00\xff", status="500 Oops"), "status 500", '"oops \\x00\\xff"'),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "status 204", "expected 200"),
    "206": (reply(GOOD, status="206 Partial Content"), "status 206", "expected 200"),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", "status 304", "expected 200"),
    "another text": (
        reply(b"<html>welcome</html>"),
        'holds another text: "<html>welcome</html>"',
        TOKEN[:10],
    ),
    "another key": (reply(TOKEN.encode() + b".another"), "holds another text", "thumbprint"),
    "nothing": (reply(b""), "empty body", "expected the key authorization"),
    "only white space": (reply(b" \r\n"), "empty body", "expected"),
    "white space in front": (reply(b" " + GOOD), "holds another text", "expected"),
    "more behind": (reply(GOOD + b" x"), "holds another text", "expected"),
    "upper case": (reply(GOOD.upper()), "holds another text", "expected"),
    "cut off": (reply(GOOD)[:-3], "holds another text", "expected"),
    "too long": (reply(GOOD * 10), "longer text than a key authorization", "expected"),
    "byte order mark": (reply(b"\xef\xbb\xbf" + GOOD), '"\\xef\\xbb\\xbf', "expected"),
}


@pytest.mark.parametrize(("wire", "words", "more"), WRONG.values(), ids=WRONG)
async def test_a_wrong_answer_is_shown(stage: Stage, wire: bytes, words: str, more: str) -> None:
    stage.http.scripts[PATH] = wire
    await stage.refused(
        "http-01", "a.test", Problem.INCORRECT_RESPONSE, words, more, f"127.0.0.1:{stage.http.port}"
    )


BROKEN = {
    "no HTTP": (b"220 mail.test ESMTP\r\n", "not HTTP"),
    "nothing at all": (b"", "closed before a whole reply"),
    "half a head": (b"HTTP/1.1 200 OK\r\nServer: x", "closed before a whole reply"),
    "gzip unasked": (reply(b"\x1f\x8b", Content_Encoding="gzip"), "compressed"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000, "headers longer than"),
    "one long header": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200000, "headers longer than"),
    "interim for ever": (b"HTTP/1.1 102 Processing\r\n\r\n" * 5000, "headers longer than"),
    "chunk garbage": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "chunked body is broken",
    ),
}


@pytest.mark.parametrize(("wire", "words"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_a_connection_problem(stage: Stage, wire: bytes, words: str) -> None:
    stage.http.scripts[PATH] = wire
    await stage.refused("http-01", "a.test", Problem.CONNECTION, words, f"127.0.0.1:{stage.http.port}")


async def _silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _drip_headers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _drip_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _never_closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD)
    await reader.read()


@pytest.mark.parametrize("script", [_silent, _drip_headers, _drip_body, _never_closes])
async def test_slow_servers_run_out_of_time(stage: Stage, script: Callable[..., None]) -> None:
    stage.http.scripts[PATH] = script  # type: ignore[assignment]  # a coroutine function
    began = time.monotonic()
    await stage.refused("http-01", "a.test", Problem.CONNECTION, "whole reply within 0.5 s", timeout=0.5)
    assert time.monotonic() - began < 2


async def test_a_slow_error_page_still_shows_its_status(stage: Stage) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Down\r\nContent-Length: 300\r\n\r\nback soon")
        await reader.read()

    stage.http.scripts[PATH] = slow
    await stage.refused(
        "http-01", "a.test", Problem.INCORRECT_RESPONSE, "status 503", '"back soon"', timeout=0.4
    )


async def test_an_endless_body_is_cut(stage: Stage) -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    stage.http.scripts[PATH] = endless
    await stage.refused("http-01", "a.test", Problem.INCORRECT_RESPONSE, "longer text")
    assert sent < 32 << 20


async def _reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_a_reset(stage: Stage) -> None:
    stage.http.scripts[PATH] = _reset
    failure = await stage.refused("http-01", "a.test", Problem.CONNECTION)
    assert "reset by the other side" in failure.detail or "closed before" in failure.detail


async def test_a_reset_before_the_request_is_read(stage: Stage) -> None:
    async with TCPResponder(_reset) as port:
        failure = await stage.refused("http-01", "a.test", Problem.CONNECTION, http01_port=port.port)
    assert "reset by the other side" in failure.detail or "closed before" in failure.detail


async def test_a_tls_port(stage: Stage) -> None:
    await stage.refused("http-01", "a.test", Problem.CONNECTION, http01_port=stage.tls.port)


async def test_nobody_listens(stage: Stage) -> None:
    async with TCPResponder(_silent) as gone:
        port = gone.port
    failure = await stage.refused(
        "http-01", "a.test", Problem.CONNECTION, "cannot connect", "nothing listens there", http01_port=port
    )
    assert failure.record is not None
    assert failure.record.connections[0].outcome == "connection refused; nothing listens there"


async def test_nobody_answers(stage: Stage) -> None:
    """A listener whose queue is full drops what comes: the nearest thing to a firewall on loopback."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        began = time.monotonic()
        await stage.refused(
            "http-01",
            "a.test",
            Problem.CONNECTION,
            "is a firewall in between?",
            http01_port=listener.getsockname()[1],
            connect_timeout=0.3,
        )
        assert time.monotonic() - began < 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300), st.booleans())
def test_whatever_a_server_sends(data: bytes, with_status: bool) -> None:
    """Each reply is judged or refused; nothing else than ValidationFailed comes out."""
    wire = b"HTTP/1.1 200 OK\r\n" + data if with_status else data

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(wire)

    async def run() -> None:
        async with TCPResponder(send) as server:
            validator = Validator(ValidationSettings(http01_port=server.port, timeout=2))
            with pytest.raises(ValidationFailed):
                await validator.validate(
                    "http-01", parse_identifier("ip", "127.0.0.1"), TOKEN, KEY_AUTHORIZATION, RULES
                )

    asyncio.run(run())


def test_the_responders_are_of_one_kind() -> None:
    assert issubclass(TLSALPN01Responder, TCPResponder)
