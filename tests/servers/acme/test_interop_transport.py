"""What clients trip over in the shape of answers: media types, nonces, links, methods, addresses.

Each test stands for a kind of report about servers like this one.
"""

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from multidict import CIMultiDict

from servers.acme.services import DirectoryMeta
from tests.common.acme_client import AcmeClient, Answer
from tests.common.acme_server import MAX_BODY, AcmeServer, make_acme_server
from tests.servers.acme.steps import another, issued, ordered, profile

NONCE = re.compile(r"[A-Za-z0-9_-]{22,}")
LINK = re.compile(r'<([^<>"\s]+)>;rel="([a-z-]+)"')


def links(answer: Answer) -> dict[str, str]:
    """Link relations; fails on any other spelling than `<url>;rel="name"`."""
    found = {}
    for value in answer.headers.getall("Link", ()):
        match = LINK.fullmatch(value)
        assert match, value
        found[match[2]] = match[1]
    return found


def repeated(answer: Answer) -> set[str]:
    """The headers that stand there more than once."""
    return {name for name in answer.headers if len(answer.headers.getall(name)) > 1}


async def get(session: aiohttp.ClientSession, url: str, method: str = "GET") -> Answer:
    async with session.request(method, url) as response:
        return Answer(response.status, response.headers.copy(), await response.read())


async def raw(server: AcmeServer, head: str, body: bytes = b"", later: bytes = b"") -> Answer:
    """One request written by hand, and its answer."""
    parts = urlsplit(server.url)
    assert parts.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", parts.port)
    try:
        writer.write(head.encode() + b"\r\n" + body)
        if later:
            await asyncio.sleep(0.02)
            writer.write(later)
        status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = [(name, value) for name, _, value in (field.partition(": ") for field in fields)]
        length = int(dict(headers).get("Content-Length", "0"))
        return Answer(int(status.split(" ")[1]), CIMultiDict(headers), await reader.readexactly(length))
    finally:
        writer.close()


class TestDirectory:
    """RFC 8555 section 7.1.1."""

    async def test_meta_is_always_there(self, client: AcmeClient) -> None:
        """Several clients read meta.termsOfService without looking whether there is a meta."""
        assert client.directory["meta"] == {}

    async def test_what_is_not_set_is_left_out(self, fresh_url: str, session: aiohttp.ClientSession) -> None:
        """An empty string is no URL: it makes clients throw, or ask people to agree to nothing."""
        async with make_acme_server(fresh_url, meta=DirectoryMeta("", "", ())) as server:
            client = await AcmeClient(session, server.directory).start()
            assert client.directory["meta"] == {}
            assert (await client.register(termsOfServiceAgreed=False)).status == 201

    async def test_what_is_set_is_said(self, fresh_url: str, session: aiohttp.ClientSession) -> None:
        meta = DirectoryMeta("https://ca.test/terms", "https://ca.test/", ("ca.test",))
        async with make_acme_server(fresh_url, meta=meta) as server:
            await server.put_profile(profile("bound", acme={"external_account_required": True}))
            client = await AcmeClient(session, server.directory_of("bound")).start()
            assert client.directory["meta"] == {
                "termsOfService": "https://ca.test/terms",
                "website": "https://ca.test/",
                "caaIdentities": ["ca.test"],
                "externalAccountRequired": True,
            }

    async def test_what_is_not_done_is_not_listed(self, client: AcmeClient) -> None:
        """No newAuthz without pre-authorization; and what is listed answers."""
        assert set(client.directory) == {
            "newNonce",
            "newAccount",
            "newOrder",
            "revokeCert",
            "keyChange",
            "meta",
        }
        await client.register()
        for name in ("newAccount", "newOrder", "revokeCert", "keyChange"):
            answer = await client.post(client.directory[name], {}, jwk=name == "newAccount")
            assert answer.status in (200, 400), (name, answer.body)

    async def test_each_profile_has_its_own(self, server: AcmeServer, session: aiohttp.ClientSession) -> None:
        found = await AcmeClient(session, server.directory_of("gated")).start()
        assert found.directory["newOrder"] == f"{server.url}/acme/gated/new-order"

    @pytest.mark.parametrize("name", ["Default", "DEFAULT"])
    async def test_a_profile_may_be_written_in_capitals(
        self, server: AcmeServer, session: aiohttp.ClientSession, name: str
    ) -> None:
        """The name is typed by people; what the directory then says is in one spelling."""
        found = await AcmeClient(session, server.directory_of(name)).start()
        assert found.directory["newOrder"] == f"{server.url}/acme/default/new-order"

    @pytest.mark.parametrize("name", ["nosuch", "no%20such", "%00", "a" * 64, "..%2f"])
    async def test_an_unknown_profile_is_not_found(
        self, server: AcmeServer, session: aiohttp.ClientSession, name: str
    ) -> None:
        async with session.get(f"{server.url}/acme/{name}/directory") as response:
            assert response.status == 404
            assert response.content_type == "application/problem+json"

    async def test_a_profile_that_is_not_offered_is_not_found(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await server.put_profile(profile("inner", acme={"enabled": False}))
        assert (await get(client.session, server.directory_of("inner"))).problem == "malformed"
        await client.register()
        fields = {"identifiers": [{"type": "dns", "value": "a.test"}]}
        answer = await client.post(f"{server.url}/acme/inner/new-order", fields)
        assert (answer.status, answer.problem) == (404, "malformed")
        new = await another(server, client)
        answer = await new.post(f"{server.url}/acme/inner/new-account", {}, jwk=True)
        assert (answer.status, answer.problem) == (404, "malformed")

    async def test_head_is_answered_like_get(self, server: AcmeServer, client: AcmeClient) -> None:
        answer = await get(client.session, server.directory, "HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Content-Type"] == "application/json"


class TestNonces:
    """RFC 8555 sections 6.5 and 7.2."""

    async def test_head_answers_200_and_get_204(self, client: AcmeClient) -> None:
        """Some clients ask by HEAD, others by GET, and each believes in its own status."""
        url = client.directory["newNonce"]
        head, found = await get(client.session, url, "HEAD"), await get(client.session, url)
        assert (head.status, found.status) == (200, 204)
        assert head.body == found.body == b""
        assert head.headers["Replay-Nonce"] != found.headers["Replay-Nonce"]
        for answer in (head, found):
            assert NONCE.fullmatch(answer.headers["Replay-Nonce"])
            assert answer.headers["Cache-Control"] == "no-store"
            assert repeated(answer) <= {"Link"}
            assert links(answer)["index"] == client.directory_url.replace("/acme/", "/acme/default/")

    async def test_post_as_get_works_for_the_directory_and_for_nonces(self, client: AcmeClient) -> None:
        """RFC 8555 section 6.3."""
        await client.register()
        found = await client.post(client.directory_url)
        assert (found.status, found.json) == (200, client.directory)
        nonce = await client.post(client.directory["newNonce"])
        assert (nonce.status, nonce.body) == (204, b"")
        assert NONCE.fullmatch(nonce.headers["Replay-Nonce"])
        assert (await client.post(client.directory_url, {})).problem == "malformed"
        assert (await client.post(client.directory["newNonce"], {})).problem == "malformed"

    async def test_every_answer_to_a_post_brings_a_usable_one(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """Errors too: clients that find none in a 4xx give up."""
        await client.register()
        order, certificate = await issued(server, client, "a.example.test")
        del certificate
        directory = client.directory
        asked: list[tuple[str, Any, dict[str, Any]]] = [
            (directory["newAccount"], {}, {"jwk": True}),
            (directory["newAccount"], {}, {}),
            (directory["newOrder"], {}, {}),
            (directory["newOrder"], b"{", {}),
            (directory["newOrder"], {"identifiers": [{"type": "dns", "value": "b.test"}]}, {}),
            (directory["revokeCert"], {"certificate": "AA"}, {}),
            (directory["keyChange"], {}, {}),
            (order["url"], None, {}),
            (order["url"], {}, {}),
            (order["finalize"], {}, {}),
            (order["certificate"], None, {}),
            (order["authorizations"][0], None, {}),
            (str(client.kid), None, {}),
            (f"{client.kid}/orders", None, {}),
            (f"{server.url}/acme/order/0", None, {}),
            (f"{server.url}/acme/nothing/here", None, {}),
            (f"{server.url}/acme/nothing/new-order", {}, {}),
            (directory["newOrder"], {}, {"alg": "HS256"}),
            (directory["newOrder"], {}, {"url": server.url}),
            (directory["newOrder"], {}, {"kid": f"{server.url}/acme/acct/0"}),
            (directory["newOrder"], {}, {"nonce": "AAAA"}),
        ]
        seen: set[str | None] = set()
        for url, payload, changes in asked:
            nonce = client.nonce
            answer = await client.post(url, payload, **changes)
            assert NONCE.fullmatch(answer.headers["Replay-Nonce"]), url
            assert answer.headers["Replay-Nonce"] not in seen | {nonce}
            seen.add(answer.headers["Replay-Nonce"])
            assert answer.headers["Cache-Control"] == "no-store"
            assert repeated(answer) <= {"Link"}
        assert (await client.post(client.kid or "")).status == 200  # with the nonce of the last refusal

    async def test_what_the_framework_refuses_brings_one_too(self, server: AcmeServer) -> None:
        """404, 405, 408, 413, 415, 417: whoever made the answer, it is a problem document with a nonce."""
        path = "/acme/default/new-order"
        jose = "Content-Type: application/jose+json\r\n"
        large = b"x" * (MAX_BODY + 1)
        chunk = f"{len(large):x}\r\n".encode() + large + b"\r\n0\r\n\r\n"
        asked = {
            404: [raw(server, f"POST /acme/x HTTP/1.1\r\nHost: a\r\n{jose}Content-Length: 2\r\n", b"{}")],
            405: [
                raw(server, f"PUT {path} HTTP/1.1\r\nHost: a\r\n{jose}Content-Length: 2\r\n", b"{}"),
                raw(server, f"GET {path} HTTP/1.1\r\nHost: a\r\n"),
            ],
            408: [raw(server, f"POST {path} HTTP/1.1\r\nHost: a\r\n{jose}Content-Length: 20\r\n", b"{}")],
            413: [
                raw(
                    server,
                    f"POST {path} HTTP/1.1\r\nHost: a\r\n{jose}Content-Length: {len(large)}\r\n",
                    later=large,
                ),
                raw(
                    server, f"POST {path} HTTP/1.1\r\nHost: a\r\n{jose}Transfer-Encoding: chunked\r\n", chunk
                ),
            ],
            415: [
                raw(server, f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n", b"{}"),
                raw(
                    server,
                    f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n",
                    b"{}",
                ),
            ],
            417: [
                raw(
                    server,
                    f"POST {path} HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n{jose}Content-Length: 2\r\n",
                    b"{}",
                )
            ],
        }
        for status, requests in asked.items():
            for request in requests:
                answer = await request
                assert answer.status == status, answer
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert answer.json["status"] == status
                assert NONCE.fullmatch(answer.headers["Replay-Nonce"]), status
                assert links(answer)["index"] == f"{server.url}/acme/default/directory"

    async def test_what_nobody_foresaw_brings_one_too(
        self,
        server: AcmeServer,
        client: AcmeClient,
        events: list[dict[str, object]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """500: no detail but a reference that the log has."""
        await client.register()

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr("policy.acme.orders.load", broken)
        answer = await client.post(f"{server.url}/acme/order/0")
        assert (answer.status, answer.problem) == (500, "serverInternal")
        assert NONCE.fullmatch(answer.headers["Replay-Nonce"])
        assert b"secret" not in answer.body
        (event,) = [event for event in events if event["event"] == "acme.unforeseen"]
        assert str(event["reference"]) in answer.json["detail"]
        events.remove(event)

    async def test_a_bad_one_is_refused_as_that_and_replaced(self, client: AcmeClient) -> None:
        """Not as HTML, not as a 500: the client must be able to try again with what comes along."""
        await client.register()
        used = await client.fresh_nonce()
        assert (await client.post(client.kid or "", nonce=used)).status == 200
        for nonce in (used, "AAAA", "bm9uY2U", None):
            answer = await client.post(client.kid or "", nonce=nonce)
            assert (answer.status, answer.problem) == (400, "badNonce")
            assert (await client.post(client.kid or "", nonce=answer.headers["Replay-Nonce"])).status == 200
        for wrong in ("", "a b", "AAA=", 7):
            assert (await client.post(client.kid or "", nonce=wrong)).problem == "malformed"  # section 6.5.2

    async def test_one_from_any_resource_is_good_at_any_other(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        gated = await AcmeClient(client.session, server.directory_of("gated"), client.key).start()
        gated.kid, gated.nonce = client.kid, client.nonce
        assert (await gated.order("a.test")).status == 201


class TestMediaTypes:
    async def test_they_are_exact(self, server: AcmeServer, client: AcmeClient) -> None:
        """Clients compare strings: no charset, no profile, no other spelling."""
        created = await client.register()
        order, _ = await issued(server, client, "a.example.test")
        authorization = await client.post(order["authorizations"][0])
        for answer in (
            created,
            await client.post(client.kid or ""),
            await client.post(f"{client.kid}/orders"),
            await client.order("b.example.test"),
            await client.post(order["url"]),
            authorization,
            await client.post(authorization.json["challenges"][0]["url"]),
            await get(client.session, client.directory_url),
        ):
            assert answer.headers["Content-Type"] == "application/json", answer
        chain = await client.post(order["certificate"])
        assert chain.headers["Content-Type"] == "application/pem-certificate-chain"
        for refused in (
            await client.post(client.kid or "", nonce="AAAA"),
            await client.post(f"{server.url}/acme/order/0"),
            await get(client.session, f"{server.url}/acme/"),
            await get(client.session, order["url"]),
        ):
            assert refused.headers["Content-Type"] == "application/problem+json"

    async def test_parameters_of_the_request_type_are_ignored(self, client: AcmeClient) -> None:
        client.kid = None
        body = await client.post(client.directory["newAccount"], {}, jwk=True)
        assert body.status == 201
        async with client.session.post(
            client.directory["newAccount"], data=b"{}", headers={"Content-Type": "application/jose+json; x=y"}
        ) as response:
            assert response.status == 400  # read, and found to be no JWS

    async def test_json_is_compact_with_plain_slashes(self, server: AcmeServer, client: AcmeClient) -> None:
        """Shell clients read it with grep and sed."""
        await client.register()
        order, _ = await issued(server, client, "a.example.test")
        for answer in (
            await get(client.session, client.directory_url),
            await client.post(client.kid or ""),
            await client.post(order["url"]),
            await client.post(order["authorizations"][0]),
            await client.post(order["url"], {}),
        ):
            assert b"\\/" not in answer.body
            assert b"\n" not in answer.body
            text = json.dumps(answer.json, separators=(",", ":"), ensure_ascii=False)
            assert answer.body.decode() == text

    async def test_status_is_the_first_member_of_an_order(self, client: AcmeClient) -> None:
        """Some take the first "status" that they find."""
        await client.register()
        order = await client.order("a.example.test")
        assert order.body.startswith(b'{"status":"pending"')


class TestLinks:
    async def test_their_syntax_is_the_plainest(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        order, _ = await issued(server, client, "a.example.test")
        authorization = await client.post(order["authorizations"][0])
        challenge = await client.post(authorization.json["challenges"][0]["url"])
        assert links(challenge)["up"] == order["authorizations"][0]
        index = f"{server.url}/acme/default/directory"
        for answer in (
            authorization,
            challenge,
            await client.post(order["url"]),
            await client.post(order["certificate"]),
            await client.post(order["url"], {}),
            await client.post(client.kid or ""),
        ):
            assert links(answer)["index"] == index
        assert "Link" not in (await get(client.session, client.directory_url)).headers

    async def test_objects_name_the_directory_of_their_profile(
        self, server: AcmeServer, gated: AcmeClient
    ) -> None:
        order = await ordered(server, gated, "a.example.test")
        authorization = order["authorizations"][0]
        challenge = (await gated.post(authorization)).json["challenges"][0]["url"]
        for url in (order["url"], authorization, challenge):
            assert links(await gated.post(url))["index"] == server.directory_of("gated")


class TestMethods:
    """RFC 8555 section 6.3."""

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
    async def test_only_posts_reach_anything_but_directory_and_nonces(
        self, server: AcmeServer, client: AcmeClient, method: str
    ) -> None:
        await client.register()
        order = (await client.order("a.example.test")).json
        for url in (
            client.kid or "",
            f"{client.kid}/orders",
            client.directory["newAccount"],
            client.directory["newOrder"],
            client.directory["revokeCert"],
            client.directory["keyChange"],
            order["finalize"],
            order["authorizations"][0],
        ):
            answer = await get(client.session, url, method)
            assert answer.status == 405
            assert answer.headers["Allow"] == "POST"
            if method != "HEAD":
                assert answer.problem == "malformed"

    async def test_a_payload_where_none_belongs_is_malformed(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        order, _ = await issued(server, client, "a.example.test")
        for url in (order["url"], order["certificate"], f"{client.kid}/orders"):
            assert (await client.post(url, {})).problem == "malformed"
