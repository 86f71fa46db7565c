"""CPU of one http-01 check, and of the ways it could have been built: `python -m bench.validation [-n 2000]`.

Three ways to GET (ours; aiohttp's client with a connector of its own; asyncio streams), two ways to resolve (ours;
dnspython), on both event loops. The peers are a process of their own; what is counted is user+sys of this one, so that
rows compare. Rows are interleaved and each is the least of several rounds.
"""

import argparse
import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import dns.asyncresolver
import dns.nameserver
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult

from ca.names import Identifier, IdentifierType
from policy.validation import NetworkRules, ValidationSettings, Validator
from tests.common.responders import Recipe, TLSALPN01Responder, make_certificate

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
KEY_AUTHORIZATION = TOKEN + ".9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
NAME = Identifier(IdentifierType.DNS, "a.test")
ADDRESS = Identifier(IdentifierType.IP, "127.0.0.1")
REPLY = (
    b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/plain\r\nContent-Length: "
    + str(len(KEY_AUTHORIZATION)).encode()
    + b"\r\n\r\n"
    + KEY_AUTHORIZATION.encode()
)


class _HTTPPeer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, _: bytes) -> None:
        self.transport.write(REPLY)  # type: ignore[attr-defined]
        self.transport.close()


class _DNSPeer(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        end = data.index(b"\0", 12) + 5
        found = data[end - 4 : end - 2] == b"\0\1"
        reply = data[:2] + b"\x81\x80\0\1\0" + bytes([found]) + b"\0\0\0\0" + data[12:end]
        if found:
            reply += b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1"
        self.transport.sendto(reply, addr)  # type: ignore[attr-defined]


async def _peers(ready: int) -> None:
    loop = asyncio.get_running_loop()
    http = await loop.create_server(_HTTPPeer, "127.0.0.1", 0)
    names, _ = await loop.create_datagram_endpoint(_DNSPeer, local_addr=("127.0.0.1", 0))
    tls = TLSALPN01Responder()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tls)
        for identifier, sni in ((NAME, NAME.value), (ADDRESS, "1.0.0.127.in-addr.arpa")):
            tls.serve(sni, *make_certificate(Recipe([identifier.value], KEY_AUTHORIZATION)))
        ports = (http.sockets[0].getsockname()[1], names.get_extra_info("sockname")[1], tls.port)
        os.write(ready, " ".join(map(str, ports)).encode())
        await asyncio.sleep(3600)


class _Pinned(AbstractResolver):
    """What aiohttp's connector would be given: the address that was checked."""

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: int = socket.AF_INET,  # noqa: ARG002 - the interface has one
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)
        ]

    async def close(self) -> None:
        pass


async def _measure(work: Callable[[], Awaitable[object]], count: int, at_once: int) -> float:
    """CPU of this process, microseconds for each call."""
    left = iter(range(count))

    async def one() -> None:
        for _ in left:
            await work()

    began = time.process_time()
    await asyncio.gather(*(one() for _ in range(at_once)))
    return (time.process_time() - began) / count * 1e6


async def _round(ports: tuple[int, int, int], count: int, at_once: int) -> dict[str, float]:
    http, names, tls = ports
    settings = ValidationSettings(http01_port=http, tlsalpn01_port=tls, resolvers=(("127.0.0.1", names),))
    validator, rules = Validator(settings), NetworkRules()
    url = f"http://127.0.0.1:{http}/.well-known/acme-challenge/{TOKEN}"
    named_url = f"http://a.test:{http}/.well-known/acme-challenge/{TOKEN}"
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [dns.nameserver.Do53Nameserver("127.0.0.1", names)]
    connector = aiohttp.TCPConnector(resolver=_Pinned(), force_close=True, limit=0, use_dns_cache=False)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def aiohttp_get() -> None:
        async with session.get(named_url, allow_redirects=False) as reply:
            assert await reply.content.read(512) == KEY_AUTHORIZATION.encode()

    async def streams_get() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", http)
        writer.write(f"GET {url[len('http://127.0.0.1') :]} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        assert (await reader.read(4096)).endswith(KEY_AUTHORIZATION.encode())
        writer.close()

    async def dnspython_lookup() -> None:
        await resolver.resolve("a.test.", "A", search=False)

    rows: dict[str, Callable[[], Awaitable[object]]] = {
        "http-01 whole (A + AAAA + GET)": lambda: validator.validate(
            "http-01", NAME, TOKEN, KEY_AUTHORIZATION, rules
        ),
        "http-01 of an address (GET only)": lambda: validator.validate(
            "http-01", ADDRESS, TOKEN, KEY_AUTHORIZATION, rules
        ),
        "GET by aiohttp": aiohttp_get,
        "GET by asyncio streams, no bounds": streams_get,
        "A by dnspython (AAAA costs as much again)": dnspython_lookup,
        "tls-alpn-01 whole": lambda: validator.validate("tls-alpn-01", NAME, TOKEN, KEY_AUTHORIZATION, rules),
    }
    try:
        return {name: await _measure(work, count, at_once) for name, work in rows.items()}
    finally:
        await session.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1000, help="checks for each row and round")
    parser.add_argument("-r", type=int, default=3, help="rounds")
    parser.add_argument("-c", type=int, default=16, help="checks at once")
    options = parser.parse_args()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        asyncio.run(_peers(writer))
        os._exit(0)
    try:
        first, second, third = map(int, os.read(reader, 100).split())
        for label, run in (("asyncio", asyncio.run), ("uvloop", uvloop.run)):
            best: dict[str, float] = {}
            for _ in range(options.r):
                for name, value in run(_round((first, second, third), options.n, options.c)).items():
                    best[name] = min(value, best.get(name, value))
            print(f"{label}, {options.c} at once")
            for name, value in best.items():
                print(f"  {name:45} {value:7.0f} us")
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
