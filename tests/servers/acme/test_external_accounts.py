"""External account binding, end to end (RFC 8555 section 7.3.4)."""

from typing import Any

import aiohttp
import pytest

from policy.acme import external_keys
from policy.approvals import DecisionRefused
from policy.profiles import GATED
from store import requests
from store.clock import Millis
from store.database import Transaction
from store.ids import PrincipalId
from store.records import Verdict
from tests.common.acme_client import AcmeClient
from tests.common.acme_server import AcmeServer
from tests.common.world import make_csr
from tests.servers.acme.signing import binding, new_key
from tests.servers.acme.steps import SECRET, another, bind, issued, ordered, profile, question, rows


@pytest.fixture
async def bound(server: AcmeServer, session: aiohttp.ClientSession) -> AcmeClient:
    """A client without an account at the directory of a profile that wants a binding."""
    await server.put_profile(profile("bound", acme={"external_account_required": True}))
    return await AcmeClient(session, server.directory_of("bound")).start()


class TestBinding:
    @pytest.mark.parametrize(
        ("alg", "digest"), [("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")]
    )
    async def test_a_right_one_makes_an_account_and_is_echoed(
        self, server: AcmeServer, bound: AcmeClient, alg: str, digest: str
    ) -> None:
        kid = await server.external_key()
        made = await bind(bound, kid, digest=digest, alg=alg)
        assert made.status == 201, made.body
        assert made.json["externalAccountBinding"]["signature"]
        assert set(made.json["externalAccountBinding"]) == {"protected", "payload", "signature"}
        order, _ = await issued(server, bound, "a.example.test")
        assert order["status"] == "valid"

    async def test_the_echo_is_exactly_what_was_sent(self, server: AcmeServer, bound: AcmeClient) -> None:
        """What was verified must be echoed; what was not must not be."""
        kid = await server.external_key()
        url = bound.directory["newAccount"]
        value = binding(SECRET, bound.key.jwk, kid=kid, url=url)
        made = await bound.register(externalAccountBinding=value)
        assert made.json["externalAccountBinding"] == value
        again = await bound.register(externalAccountBinding={"protected": "unverified"})
        assert again.status == 200
        assert "externalAccountBinding" not in again.json
        assert "externalAccountBinding" not in (await bound.post(str(bound.kid))).json

    async def test_the_mac_algorithm_has_nothing_to_do_with_that_of_the_account(
        self, server: AcmeServer, bound: AcmeClient
    ) -> None:
        for alg in ("RS256", "EdDSA"):
            client = await another(server, bound)
            client.key = new_key(alg)
            assert (await bind(client, await server.external_key())).status == 201

    async def test_without_one_the_profile_says_so(
        self, server: AcmeServer, bound: AcmeClient, fresh_url: str
    ) -> None:
        before = rows(fresh_url)
        for fields in ({}, {"externalAccountBinding": None}):
            answer = await bound.register(**fields)
            assert (answer.status, answer.problem) == (403, "externalAccountRequired")
        assert bound.directory["meta"]["externalAccountRequired"] is True
        assert rows(fresh_url) == before
        assert (await bound.register(onlyReturnExisting=True)).problem == "accountDoesNotExist"

    async def test_where_none_is_wanted_a_right_one_is_taken_all_the_same(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        made = await bind(client, await server.external_key(patterns=("a.example.test",)))
        assert made.status == 201
        assert "externalAccountBinding" in made.json
        assert (await client.order("b.example.test")).problem == "rejectedIdentifier"

    async def test_an_account_without_one_cannot_order_where_one_is_wanted(
        self, server: AcmeServer, bound: AcmeClient
    ) -> None:
        plain = await another(server, bound, "default")
        await plain.register()
        bound.key, bound.kid = plain.key, plain.kid
        answer = await bound.order("a.example.test")
        assert (answer.status, answer.problem) == (403, "externalAccountRequired")

    async def test_everything_about_it_must_be_right(
        self, server: AcmeServer, bound: AcmeClient, fresh_url: str
    ) -> None:
        kid = await server.external_key()
        before = rows(fresh_url)
        other = new_key("ES256")
        cases: list[tuple[dict[str, Any], int, str]] = [
            ({"secret": b"x" * 32}, 403, "unauthorized"),
            ({"digest": "sha384"}, 403, "unauthorized"),
            ({"alg": "ES256"}, 400, "badSignatureAlgorithm"),
            ({"alg": "none"}, 400, "badSignatureAlgorithm"),
            ({"alg": None}, 400, "malformed"),
            ({"kid": "nosuch"}, 403, "unauthorized"),
            ({"kid": ""}, 400, "malformed"),
            ({"kid": 7}, 400, "malformed"),
            ({"kid": None}, 400, "malformed"),
            ({"kid": None, "jwk": bound.key.jwk}, 400, "malformed"),
            ({"nonce": "AAAA"}, 400, "malformed"),
            ({"url": None}, 400, "malformed"),
            ({"url": bound.directory["newOrder"]}, 403, "unauthorized"),
            ({"url": bound.directory["newAccount"].replace("/bound/", "/default/")}, 403, "unauthorized"),
            ({"bound": other.jwk}, 400, "malformed"),
            ({"bound": {}}, 400, "malformed"),
            ({"bound": "key"}, 400, "malformed"),
        ]
        for changes, status, problem in cases:
            answer = await bind(bound, **({"kid": kid} | changes))
            assert (answer.status, answer.problem) == (status, problem), (changes, answer.body)
        values: tuple[Any, ...] = ("x", 7, [], {}, {"protected": "", "payload": "", "signature": ""}, True)
        for value in values:
            answer = await bound.register(externalAccountBinding=value)
            assert (answer.status, answer.problem) == (400, "malformed"), value
        assert rows(fresh_url) == before
        assert (await bind(bound, kid)).status == 201  # no try spent it

    async def test_it_cannot_be_replayed_for_another_key(self, server: AcmeServer, bound: AcmeClient) -> None:
        kid = await server.external_key(reusable=True)
        value = binding(SECRET, bound.key.jwk, kid=kid, url=bound.directory["newAccount"])
        assert (await bound.register(externalAccountBinding=value)).status == 201
        thief = await another(server, bound)
        assert (await thief.register(externalAccountBinding=value)).problem == "malformed"


class TestKeys:
    async def test_a_key_is_good_for_one_account(self, server: AcmeServer, bound: AcmeClient) -> None:
        kid = await server.external_key()
        assert (await bind(bound, kid)).status == 201
        second = await another(server, bound)
        answer = await bind(second, kid)
        assert (answer.status, answer.problem) == (403, "unauthorized")
        assert "has been used" in answer.json["detail"]
        assert (await bind(bound, kid)).status == 200  # the account that it made is still found

    async def test_a_reusable_one_is_good_for_many(self, server: AcmeServer, bound: AcmeClient) -> None:
        kid = await server.external_key(reusable=True)
        for client in (bound, await another(server, bound), await another(server, bound)):
            assert (await bind(client, kid)).status == 201

    async def test_it_expires_for_new_accounts_and_lives_on_in_those_it_made(
        self, server: AcmeServer, bound: AcmeClient
    ) -> None:
        kid = await server.external_key(reusable=True, expires_at=Millis(server.world.now + 60_000))
        assert (await bind(bound, kid)).status == 201
        server.world.pass_time(seconds=60)
        late = await another(server, bound)
        answer = await bind(late, kid)
        assert (answer.status, answer.problem) == (403, "unauthorized")
        assert "expired" in answer.json["detail"]
        assert (await bound.order("a.example.test")).status == 201

    async def test_revoked_it_ends_everything_that_it_vouched_for(
        self, server: AcmeServer, bound: AcmeClient
    ) -> None:
        kid = await server.external_key(reusable=True)
        await bind(bound, kid)
        order = await ordered(server, bound, "a.example.test")
        await revoke(server, kid)
        late = await another(server, bound)
        answer = await bind(late, kid)
        assert (answer.status, answer.problem) == (403, "unauthorized")
        assert "revoked" in answer.json["detail"]
        assert (await bound.order("b.example.test")).problem == "unauthorized"
        assert (await bound.finalize(order, make_csr("a.example.test"))).problem == "unauthorized"

    async def test_revoked_it_ends_what_waits_for_people(self, server: AcmeServer, gated: AcmeClient) -> None:
        client = await another(server, gated)
        kid = await server.external_key()
        await bind(client, kid)
        order = await ordered(server, client, "a.example.test")
        await client.finalize(order, make_csr("a.example.test"))
        await revoke(server, kid)
        seen = (await client.post(order["url"])).json
        assert seen["status"] == "invalid"
        assert "revoked" in seen["error"]["detail"]

    async def test_it_is_for_its_profile(self, server: AcmeServer, bound: AcmeClient) -> None:
        """A key spent at the wrong directory would be lost: it is refused there, and good where it belongs."""
        kid = await server.external_key(profile="bound")
        wrong = await another(server, bound, "default")
        answer = await bind(wrong, kid)
        assert (answer.status, answer.problem) == (403, "unauthorized")
        assert "profile bound" in answer.json["detail"]
        assert (await bind(bound, kid)).status == 201
        wrong.key, wrong.kid = bound.key, bound.kid
        assert (await wrong.order("a.example.test")).problem == "unauthorized"
        assert (await bound.order("a.example.test")).status == 201

    async def test_it_is_for_its_names(self, server: AcmeServer, bound: AcmeClient) -> None:
        """Lists of names per key are what private authorities are asked for most."""
        patterns = ("host.example.test", "*.web.example.test", "10.1.0.0/16", "2001:db8::/32")
        await bind(bound, await server.external_key(patterns=patterns))
        for name in ("host.example.test", "a.web.example.test", "a.b.web.example.test", "*.web.example.test"):
            assert (await bound.order(name)).status == 201, name
        for name in (
            "example.test",
            "web.example.test",
            "xhost.example.test",
            "*.example.test",
            "evilweb.example.test",
        ):
            answer = await bound.order("host.example.test", name)
            assert (answer.status, answer.problem) == (403, "rejectedIdentifier"), name
            assert [one["identifier"]["value"] for one in answer.json["subproblems"]] == [name]
        for address, status in (
            ("10.1.2.3", 201),
            ("10.2.0.1", 403),
            ("2001:db8::1", 201),
            ("2001:db9::1", 403),
        ):
            fields = {"identifiers": [{"type": "ip", "value": address}]}
            assert (await bound.post(bound.directory["newOrder"], fields)).status == status, address

    async def test_a_secret_is_never_shown(
        self, server: AcmeServer, bound: AcmeClient, events: list[Any]
    ) -> None:
        kid = await server.external_key()
        made = await bind(bound, kid)
        refused = await bind(await another(server, bound), kid, secret=b"x" * 32)
        for text in (made.body, refused.body, repr(events).encode(), repr(server).encode()):
            assert SECRET not in text


class TestLine:
    async def test_who_made_the_key_stands_in_the_line_and_cannot_approve(
        self, server: AcmeServer, gated: AcmeClient
    ) -> None:
        client = await another(server, gated)
        await bind(client, await server.external_key(by="alice"))
        order = await ordered(server, client, "a.example.test")
        assert (await client.finalize(order, make_csr("a.example.test"))).json["status"] == "processing"
        approval = await question(server)
        with pytest.raises(DecisionRefused, match="stands in the line"):
            await server.world.decide(approval, "alice", Verdict.APPROVE)
        decided = await server.world.decide(approval, "bob", Verdict.APPROVE)
        assert decided.job is not None
        request_id = decided.job.request_id
        line = await server.world.database.read(lambda tx: requests.line(tx, request_id))
        assert server.world.people["alice"].id in line
        assert (await client.post(order["url"])).json["status"] == "valid"

    async def test_an_approval_under_one_line_is_none_under_another(
        self, server: AcmeServer, session: aiohttp.ClientSession
    ) -> None:
        """Two accounts of two keys are two requesters."""
        assert GATED.requires_approval
        clients = []
        for maker in ("alice", "bob"):
            client = await AcmeClient(session, server.directory_of("gated")).start()
            await bind(client, await server.external_key(by=maker))
            clients.append(client)
        first, second = clients
        order = await ordered(server, first, "a.example.test")
        await first.finalize(order, make_csr("a.example.test"))
        await server.world.decide(await question(server), "bob", Verdict.APPROVE)
        order = await ordered(server, second, "a.example.test")
        assert (await second.finalize(order, make_csr("a.example.test"))).json["status"] == "processing"


async def revoke(server: AcmeServer, kid: str) -> None:
    async def work(tx: Transaction) -> None:
        by: PrincipalId = server.world.people["admin"].id
        await external_keys.revoke(tx, kid, by, server.world.now)

    await server.world.write(work)
