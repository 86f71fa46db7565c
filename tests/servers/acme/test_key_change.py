"""Key change (RFC 8555 section 7.3.5)."""

import asyncio
from typing import Any

import pytest

from tests.common.acme_client import AcmeClient, Answer, sign
from tests.common.acme_server import AcmeServer
from tests.common.world import make_csr
from tests.servers.acme.signing import ALGORITHMS, Key, compact, new_key
from tests.servers.acme.steps import another


def key_change(client: AcmeClient, new: Key, **changes: Any) -> bytes:
    """The inner JWS of a key change; changes replace what it says."""
    header: dict[str, Any] = {"alg": new.alg, "jwk": new.jwk, "url": client.directory["keyChange"]}
    header |= changes.pop("header", {})
    said = changes.pop("said", {"account": client.kid, "oldKey": client.key.jwk} | changes)
    payload = said if isinstance(said, bytes) else compact(said)
    return sign(new, {name: value for name, value in header.items() if value is not None}, payload)


async def change(client: AcmeClient, new: Key, **changes: Any) -> Answer:
    return await client.post(client.directory["keyChange"], key_change(client, new, **changes))


class TestKeyChange:
    """RFC 8555 section 7.3.5."""

    @pytest.mark.parametrize("alg", ALGORITHMS)
    async def test_the_new_key_takes_over_and_the_old_is_out(self, client: AcmeClient, alg: str) -> None:
        made = await client.register(contact=["mailto:a@example.test"])
        old, new = client.key, new_key(alg)
        answer = await change(client, new)
        assert (answer.status, answer.json) == (200, made.json)
        refused = await client.post(str(client.kid))
        assert (refused.status, refused.problem) in ((403, "unauthorized"), (400, "badPublicKey"))
        client.key = new
        assert (await client.post(str(client.kid))).status == 200
        assert (await client.register()).headers["Location"] == client.kid
        assert (await change(client, old)).status == 200  # one's own old key may come back

    async def test_pending_orders_go_on_under_the_new_key(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        order = (await client.order("a.example.test", "b.example.test")).json
        first = await client.challenge(order["authorizations"][0])
        server.http01.tokens[first["token"]] = client.key_authorization(first)
        assert (await client.post(first["url"], {})).json["status"] == "valid"
        new = new_key("ES256")
        await change(client, new)
        client.key = new
        second = await client.challenge(order["authorizations"][1])
        server.http01.tokens[second["token"]] = client.key_authorization(second)
        assert (await client.post(second["url"], {})).json["status"] == "valid"
        done = await client.finalize(order, make_csr("a.example.test", "b.example.test"))
        assert done.json["status"] == "valid"

    async def test_a_key_that_has_an_account_is_a_conflict(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        other = await another(server, client)
        await other.register()
        answer = await change(client, other.key)
        assert (answer.status, answer.problem) == (409, "malformed")
        assert answer.headers["Location"] == other.kid
        await other.post(str(other.kid), {"status": "deactivated"})
        assert (await change(client, other.key)).status == 409

    async def test_the_same_key_is_a_conflict_with_oneself(self, client: AcmeClient) -> None:
        await client.register()
        answer = await change(client, client.key)
        assert (answer.status, answer.headers["Location"]) == (409, client.kid)

    async def test_everything_else_about_it_must_be_right(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        other = await another(server, client)
        await other.register()
        new = new_key("ES256")
        weak = new_key("RS256", 1024)
        cases: list[tuple[dict[str, Any], int, str]] = [
            ({"account": other.kid}, 400, "malformed"),
            ({"account": None}, 400, "malformed"),
            ({"oldKey": other.key.jwk}, 400, "malformed"),
            ({"oldKey": new.jwk}, 400, "malformed"),
            ({"oldKey": None}, 400, "malformed"),
            ({"oldKey": "key"}, 400, "malformed"),
            ({"said": b"{"}, 400, "malformed"),
            ({"said": b"[]"}, 400, "malformed"),
            ({"said": b""}, 400, "malformed"),
            ({"header": {"url": client.directory["newOrder"]}}, 403, "unauthorized"),
            ({"header": {"url": None}}, 400, "malformed"),
            ({"header": {"nonce": "AAAA"}}, 400, "malformed"),
            ({"header": {"jwk": None, "kid": client.kid}}, 400, "malformed"),
            ({"header": {"jwk": other.key.jwk}}, 403, "unauthorized"),
            ({"header": {"alg": "HS256"}}, 400, "badSignatureAlgorithm"),
            ({"header": {"alg": "none"}}, 400, "badSignatureAlgorithm"),
            ({"header": {"alg": "RS256"}}, 400, "badPublicKey"),
            ({"header": {"jwk": weak.jwk, "alg": "RS256"}}, 400, "badPublicKey"),
        ]
        for changes, status, problem in cases:
            answer = await change(client, new, **changes)
            assert (answer.status, answer.problem) == (status, problem), changes
        for payload in (b"", b"{}", b"[]", compact({"account": client.kid, "oldKey": client.key.jwk})):
            answer = await client.post(client.directory["keyChange"], payload)
            assert (answer.status, answer.problem) == (400, "malformed")
        assert (await client.post(str(client.kid))).status == 200  # with the key that it had

    async def test_members_of_the_old_key_may_stand_in_any_order(self, client: AcmeClient) -> None:
        await client.register()
        jwk = {"use": "sig"} | dict(reversed(client.key.jwk.items()))
        assert (await change(client, new_key("ES256"), oldKey=jwk)).status == 200

    async def test_two_changes_at_the_same_moment(self, client: AcmeClient) -> None:
        await client.register()
        url = client.directory["keyChange"]
        keys = [new_key("ES256") for _ in range(4)]
        bodies = []
        for new in keys:
            header = {
                "alg": client.key.alg,
                "kid": client.kid,
                "url": url,
                "nonce": await client.fresh_nonce(),
            }
            bodies.append(sign(client.key, header, key_change(client, new)))
        answers = await asyncio.gather(*[client.send(url, body) for body in bodies])
        assert [answer.status for answer in answers].count(200) == 1
        client.key = keys[[answer.status for answer in answers].index(200)]
        assert (await client.post(str(client.kid))).status == 200
