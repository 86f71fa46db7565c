"""tls-alpn-01 against real TLS servers (RFC 8737), and for addresses (RFC 8738)."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from ca.names import parse_identifier
from policy.validation import Problem
from policy.validation.tls_alpn01 import judge_certificate, server_name
from tests.common.responders import (
    HTTP01Responder,
    Recipe,
    TCPResponder,
    TLSALPN01Responder,
    make_certificate,
)
from tests.policy.validation.stage import KEY_AUTHORIZATION, Stage


async def test_the_right_certificate(stage: Stage) -> None:
    stage.tls.answer("a.test", KEY_AUTHORIZATION)
    record = await stage.validate("tls-alpn-01", "a.test")
    assert stage.tls.seen == ["a.test"]
    assert record.connections[0].purpose == "acme-tls/1 with server name a.test"


@pytest.mark.parametrize(
    ("address", "sni"),
    [
        ("127.0.0.1", "1.0.0.127.in-addr.arpa"),
        ("::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa"),
    ],
)
async def test_an_address(stage: Stage, address: str, sni: str) -> None:
    async with TLSALPN01Responder(address) as tls:
        tls.answer(address, KEY_AUTHORIZATION)
        record = await stage.validate("tls-alpn-01", address, tlsalpn01_port=tls.port)
        assert tls.seen == [sni]
    assert record.lookups == ()
    assert server_name(parse_identifier("ip", address)) == sni


async def test_ipv4_when_ipv6_does_not_accept(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "AAAA", "::1")
    stage.tls.answer("a.test", KEY_AUTHORIZATION)
    record = await stage.validate("tls-alpn-01", "a.test")
    assert [connection.address for connection in record.connections] == ["::1", "127.0.0.1"]


async def test_upper_case_in_the_certificate(stage: Stage) -> None:
    stage.tls.serve("a.test", *make_certificate(Recipe(["A.Test"], KEY_AUTHORIZATION)))
    await stage.validate("tls-alpn-01", "a.test")


WRONG = {
    "another name": (Recipe(["b.test"], KEY_AUTHORIZATION), "is for b.test; it must be for a.test"),
    "a second name": (Recipe(["a.test", "b.test"], KEY_AUTHORIZATION), "is for a.test, b.test;"),
    "the name twice": (Recipe(["a.test", "a.test"], KEY_AUTHORIZATION), "is for a.test, a.test;"),
    "an address beside it": (Recipe(["a.test", "127.0.0.1"], KEY_AUTHORIZATION), "127.0.0.1;"),
    "no name": (Recipe([], KEY_AUTHORIZATION), "is for nothing;"),
    "a wildcard": (Recipe(["*.test"], KEY_AUTHORIZATION), "is for *.test;"),
    "no proof": (Recipe(["a.test"], "", with_proof=False), "has no acmeIdentifier"),
    "not critical": (Recipe(["a.test"], KEY_AUTHORIZATION, critical=False), "not marked critical"),
    "another proof": (Recipe(["a.test"], KEY_AUTHORIZATION + "x"), "another key authorization"),
    "proof cut off": (Recipe(["a.test"], "", proof=b"\x04\x20abc"), "another key authorization"),
    "empty proof": (Recipe(["a.test"], "", proof=b""), "another key authorization"),
    "not self-signed": (Recipe(["a.test"], KEY_AUTHORIZATION, self_signed=False), "is not self-signed"),
}


@pytest.mark.parametrize(("recipe", "words"), WRONG.values(), ids=WRONG)
async def test_a_wrong_certificate(stage: Stage, recipe: Recipe, words: str) -> None:
    stage.tls.serve("a.test", *make_certificate(recipe))
    await stage.refused(
        "tls-alpn-01", "a.test", Problem.INCORRECT_RESPONSE, words, f"127.0.0.1:{stage.tls.port}"
    )


async def test_the_certificate_of_a_name_does_not_do_for_an_address(stage: Stage) -> None:
    certificate = make_certificate(Recipe(["1.0.0.127.in-addr.arpa"], KEY_AUTHORIZATION))
    stage.tls.serve("1.0.0.127.in-addr.arpa", *certificate)
    await stage.refused("tls-alpn-01", "127.0.0.1", Problem.INCORRECT_RESPONSE, "must be for 127.0.0.1")


@pytest.mark.parametrize("alpn", [None, ("http/1.1",), ("h2", "http/1.1")])
async def test_an_ordinary_web_server(stage: Stage, alpn: tuple[str, ...] | None) -> None:
    async with TLSALPN01Responder(alpn=alpn) as tls:
        tls.answer("a.test", KEY_AUTHORIZATION)
        await stage.refused("tls-alpn-01", "a.test", Problem.TLS, "acme-tls/1", tlsalpn01_port=tls.port)


async def test_a_plain_http_server(stage: Stage) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with TCPResponder(refuse) as port:
        await stage.refused(
            "tls-alpn-01", "a.test", Problem.TLS, "refused the TLS handshake", tlsalpn01_port=port.port
        )


async def _speaks_first(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    await asyncio.sleep(0.2)


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"\x16\x03\x03\x40\x00" + b"\xff" * 20000)


async def _alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"\x15\x03\x03\x00\x02\x02\x78")  # fatal: no application protocol


async def _closes(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    pass


async def _resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("handler", [_speaks_first, _garbage, _alert, _closes, _resets])
async def test_no_handshake(stage: Stage, handler: Callable[..., None]) -> None:
    async with TCPResponder(handler) as port:  # type: ignore[arg-type]  # coroutine functions
        await stage.refused(
            "tls-alpn-01", "a.test", Problem.TLS, "TLS handshake for a.test", tlsalpn01_port=port.port
        )


async def _silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"\x16\x03\x03\x40\x00" + b"\2" * 10000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("handler", [_silent, _drips])
async def test_a_handshake_without_end(stage: Stage, handler: Callable[..., None]) -> None:
    began = time.monotonic()
    async with TCPResponder(handler) as port:  # type: ignore[arg-type]
        await stage.refused(
            "tls-alpn-01",
            "a.test",
            Problem.TLS,
            "did not finish the TLS handshake",
            "within 0.5 s",
            tlsalpn01_port=port.port,
            timeout=0.5,
        )
    assert time.monotonic() - began < 3


async def test_a_client_that_answers_http01_there(stage: Stage) -> None:
    async with HTTP01Responder() as http:
        await stage.refused(
            "tls-alpn-01", "a.test", Problem.TLS, "TLS handshake", tlsalpn01_port=http.port, timeout=0.5
        )


async def test_nobody_listens(stage: Stage) -> None:
    async with TCPResponder(_closes) as gone:
        port = gone.port
    await stage.refused(
        "tls-alpn-01", "a.test", Problem.CONNECTION, "nothing listens there", tlsalpn01_port=port
    )


DER = make_certificate(Recipe(["a.test"], KEY_AUTHORIZATION))[0].public_bytes(serialization.Encoding.DER)
NAME = parse_identifier("dns", "a.test")


def test_the_certificate_that_is_bent_below() -> None:
    judge_certificate(DER, NAME, KEY_AUTHORIZATION)


@given(st.data())
def test_a_bent_certificate_is_refused(data: st.DataObject) -> None:
    """No byte of it can be changed: each is refused with words, and nothing else is ever raised."""
    bent = bytearray(DER)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(DER) - 1))
        bent[at] ^= data.draw(st.integers(1, 255))
    bent = bent[: data.draw(st.integers(len(DER) - 3, len(DER)))]
    if bytes(bent) != DER:
        with pytest.raises(ValueError, match=r"^(cannot be read|is |has )"):
            judge_certificate(bytes(bent), NAME, KEY_AUTHORIZATION)


@pytest.mark.parametrize(
    ("general_names", "words"),
    [
        ("300a8108 61407a2e 74657374", "is for something else;"),  # an e-mail address
        ("3003 8801 2a", "is for something else;"),  # a registered identifier
        ("3002 a300", "unknown kind"),  # an x400Address
        ("3006 87 04 7f000001", "is for 127.0.0.1;"),
        ("3005 87 03 7f0000", "cannot be read"),
        ("3000", "is for nothing;"),
        ("0500", "cannot be read"),
    ],
)
def test_other_kinds_of_name(general_names: str, words: str) -> None:
    san = x509.UnrecognizedExtension(
        x509.oid.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex(general_names)
    )
    certificate, _ = make_certificate(Recipe([], KEY_AUTHORIZATION, more=[san]))
    with pytest.raises(ValueError, match=words):
        judge_certificate(certificate.public_bytes(serialization.Encoding.DER), NAME, KEY_AUTHORIZATION)


@given(st.binary(max_size=100))
def test_no_certificate_at_all(data: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        judge_certificate(data, NAME, KEY_AUTHORIZATION)
