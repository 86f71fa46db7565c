"""The responders themselves, as shell hooks of real clients use them: a process of its own, and curl-like requests."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from tests.common.responders import DNSResponder, HTTP01Responder, TLSALPN01Responder, Zone
from tests.policy.validation.stage import KEY_AUTHORIZATION, TOKEN, TXT_VALUE, Stage


@asynccontextmanager
async def process() -> AsyncIterator[tuple[dict[str, tuple[str, int]], aiohttp.ClientSession]]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        http, tls = one.getsockname()[1], two.getsockname()[1]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.common.responders", "--dns", "127.0.0.1:0", "--management", "127.0.0.1:0"),
        *("--http01", f"127.0.0.1:{http}", "--tlsalpn01", f"127.0.0.1:{tls}"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        words = (await asyncio.wait_for(child.stdout.readline(), 20)).decode().split()
        places = {
            name: (address.rpartition(":")[0], int(address.rpartition(":")[2]))
            for name, address in zip(words[::2], words[1::2], strict=True)
        } | {"http01": ("127.0.0.1", http), "tlsalpn01": ("127.0.0.1", tls)}
        host, port = places["management"]
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
            yield places, session
    finally:
        child.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(child.wait(), 10) == 0


async def test_hooks_can_set_everything_up() -> None:
    async with process() as (places, session):

        async def post(path: str, **body: Any) -> Any:
            async with session.post(path, data=json.dumps(body)) as response:
                assert response.status == 200, await response.text()
                return await response.json()

        http, tls = HTTP01Responder(*places["http01"]), TLSALPN01Responder(*places["tlsalpn01"])
        stage = Stage(dns=DNSResponder(*places["dns"]), http=http, tls=tls)  # none of them is started here
        await post("/set-txt", host="_acme-challenge.a.test", value="another")
        await post("/set-txt", host="_acme-challenge.a.test", value=TXT_VALUE)
        await post("/add-http01", token=TOKEN, content=KEY_AUTHORIZATION)
        await post("/add-tlsalpn01", host="a.test", content=KEY_AUTHORIZATION)
        for method in ("dns-01", "http-01", "tls-alpn-01"):
            await stage.validate(method, "a.test")
        queries = await post("/queries", host="_acme-challenge.a.test")
        assert queries == [{"name": "_acme-challenge.a.test", "rrtype": "TXT", "transport": "udp"}]

        await post("/set-cname", host="_acme-challenge.b.test", target="b.example")
        await post("/set-txt", host="b.example", value=TXT_VALUE)
        await stage.validate("dns-01", "b.test")

        await post("/clear-txt", host="_acme-challenge.a.test")
        await post("/del-http01", token=TOKEN)
        await post("/del-tlsalpn01", host="a.test")
        await post("/set-rcode", host="c.test", rcode="SERVFAIL")
        for method in ("dns-01", "http-01", "tls-alpn-01"):
            with pytest.raises(Exception, match=r"^(dns|incorrectResponse): "):
                await stage.validate(method, "a.test")
        with pytest.raises(Exception, match="SERVFAIL"):
            await stage.validate("http-01", "c.test")
        async with session.post("/set-txt", data='{"host": 1') as response:
            assert response.status == 400
            assert "error" in await response.json()


async def test_the_zone_answers_like_a_name_server(stage: Stage) -> None:
    async def ask(name: str, kind: str) -> dns.message.Message:
        query = dns.message.make_query(name, kind)
        return await dns.asyncquery.udp(query, stage.dns.address[0], port=stage.dns.port, timeout=2)

    assert "127.0.0.1" in str((await ask("Any.Name.TEST", "A")).answer[0])
    assert (await ask("any.test", "AAAA")).answer == []
    assert (await ask("any.example", "A")).rcode() == dns.rcode.NXDOMAIN
    stage.dns.zone.add("x.any.example", "A", "10.0.0.1")
    assert (await ask("any.example", "A")).rcode() == dns.rcode.NOERROR
    assert stage.dns.zone.asked("any.name.test")[0].rrtype == "A"


def test_a_zone_refuses_nonsense() -> None:
    with pytest.raises(Exception, match=r"."):
        Zone().add("a.test", "A", "not an address")
