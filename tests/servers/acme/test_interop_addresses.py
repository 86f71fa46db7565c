"""What clients trip over behind proxies: hosts, paths, forms of the request target (RFC 8555 section 6.4)."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.common.acme_client import JOSE, AcmeClient, Answer, sign
from tests.common.acme_server import AcmeServer, make_acme_server
from tests.servers.acme.signing import compact
from tests.servers.acme.steps import issued
from tests.servers.acme.test_interop_transport import links


class TestAddresses:
    """The server has the name that it was given, whatever a proxy makes of requests (RFC 8555 section 6.4)."""

    @pytest.fixture
    async def below(self, fresh_url: str, events: object) -> AsyncIterator[AcmeServer]:
        async with make_acme_server(fresh_url, path="/pki/v1") as made:
            yield made

    async def test_the_host_header_does_not_matter(self, server: AcmeServer, client: AcmeClient) -> None:
        async with client.session.get(client.directory_url, headers={"Host": "other.test"}) as response:
            assert (await response.json()) == client.directory
        nonce = await client.fresh_nonce()
        header = {"alg": client.key.alg, "jwk": client.key.jwk, "nonce": nonce}
        url = client.directory["newAccount"]
        body = sign(client.key, header | {"url": url}, b"{}")
        answer = await client.send(url, body, JOSE | {"Host": "other.test", "X-Forwarded-Host": "x.test"})
        assert answer.status == 201
        assert answer.headers["Location"].startswith(server.url)

    async def test_a_request_signed_for_another_host_is_unauthorized(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        url = client.directory["newAccount"]
        for signed in (
            url.replace("127.0.0.1", "localhost"),
            url.replace("http:", "https:"),
            f"{url}/",
            f"{url}?",
            url.upper(),
            client.directory["newOrder"],
        ):
            answer = await client.post(url, {}, jwk=True, url=signed)
            assert (answer.status, answer.problem) == (403, "unauthorized"), signed
        assert server.url in answer.json["detail"]

    async def test_the_absolute_form_of_a_request_target_works(self, client: AcmeClient) -> None:
        """RFC 9112 section 3.2.2: some proxies send it on."""
        url = client.directory["newAccount"]
        nonce = await client.fresh_nonce()
        body = sign(
            client.key, {"alg": client.key.alg, "jwk": client.key.jwk, "nonce": nonce, "url": url}, b"{}"
        )
        parts = urlsplit(url)
        assert parts.port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", parts.port)
        writer.write(
            f"POST http://front.test{parts.path} HTTP/1.1\r\nHost: front.test\r\n"
            f"Content-Type: application/jose+json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
        writer.close()

    async def test_an_order_works_below_a_path_that_the_proxy_leaves_on(
        self, below: AcmeServer, session: aiohttp.ClientSession
    ) -> None:
        client = await AcmeClient(session, below.directory).start()
        assert client.directory["newOrder"].startswith(f"{below.url}/acme/")
        await client.register()
        order, certificate = await issued(below, client, "a.example.test")
        assert certificate.serial_number > 0
        assert (await client.post(order["url"])).json["status"] == "valid"

    async def test_an_order_works_below_a_path_that_the_proxy_takes_off(
        self, below: AcmeServer, session: aiohttp.ClientSession
    ) -> None:
        class Proxied(AcmeClient):
            async def send(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
                return await super().send(url.replace("/pki/v1", ""), body, headers)

        client = await Proxied(session, below.directory).start()
        await client.register()
        order, _ = await issued(below, client, "a.example.test")
        assert order["url"].startswith(f"{below.url}/acme/order/")
        assert links(await client.post(order["url"]))["index"] == f"{below.url}/acme/default/directory"

    async def test_unsigned_bytes_never_come_further_than_the_envelope(self, client: AcmeClient) -> None:
        for body in (b"", b"{}", b"null", b"[]", compact({"protected": "", "payload": "", "signature": ""})):
            answer = await client.send(client.directory["newOrder"], body)
            assert (answer.status, answer.problem) == (400, "malformed")
