"""Orders under changing profiles: trust, proofs used again, authorizations that end (RFC 8555 section 7.4, 7.5)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from policy import profile_changes
from policy.profile_cache import ProfileCache, ProfileUnreadable
from policy.profiles import DEFAULT
from store.ids import ProfileName
from tests.common.acme_client import AcmeClient
from tests.common.acme_server import AcmeServer
from tests.common.world import make_csr
from tests.servers.acme.steps import another, bind, issued, ordered, profile, prove, question

WEEK = DEFAULT.acme.order_lifetime


def moment(server: AcmeServer, **later: float) -> str:
    at = datetime.fromtimestamp(server.world.now / 1000, UTC) + timedelta(**later)
    return at.isoformat().replace("+00:00", "Z")


def deactivate() -> dict[str, str]:
    return {"status": "deactivated"}


class TestProfiles:
    """What newOrder looked at holds at finalize, too."""

    async def test_a_deleted_profile_finalizes_nothing(self, server: AcmeServer, client: AcmeClient) -> None:
        await server.put_profile(profile("short"))
        client = await AcmeClient(client.session, server.directory_of("short")).start()
        await client.register()
        order = await ordered(server, client, "a.example.test")
        await drop(server, "short")
        answer = await client.finalize(order, make_csr("a.example.test"))
        assert (answer.status, answer.problem) == (403, "unauthorized")
        assert (await client.order("a.example.test")).status == 404
        assert (await client.post(order["url"])).json["status"] == "ready"

    async def test_one_that_is_no_longer_offered_finalizes_nothing(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await server.put_profile(profile("short"))
        client = await AcmeClient(client.session, server.directory_of("short")).start()
        await client.register()
        order = await ordered(server, client, "a.example.test")
        await server.put_profile(profile("short", acme={"enabled": False}))
        assert (await client.finalize(order, make_csr("a.example.test"))).problem == "unauthorized"

    async def test_one_that_wants_a_binding_now(self, server: AcmeServer, client: AcmeClient) -> None:
        await server.put_profile(profile("short"))
        client = await AcmeClient(client.session, server.directory_of("short")).start()
        await client.register()
        order = await ordered(server, client, "a.example.test")
        await server.put_profile(profile("short", acme={"external_account_required": True}))
        answer = await client.finalize(order, make_csr("a.example.test"))
        assert (answer.status, answer.problem) == (403, "externalAccountRequired")

    async def test_one_that_narrowed(self, server: AcmeServer, client: AcmeClient) -> None:
        await server.put_profile(profile("short"))
        client = await AcmeClient(client.session, server.directory_of("short")).start()
        await client.register()
        order = await ordered(server, client, "a.example.test")
        await server.put_profile(profile("short", identifiers={"dns": {"suffixes": ["other.test"]}}))
        answer = await client.finalize(order, make_csr("a.example.test"))
        assert answer.problem == "badCSR"
        assert answer.json["subproblems"][0]["identifier"]["value"] == "a.example.test"

    async def test_one_that_no_longer_trusts(self, server: AcmeServer, client: AcmeClient) -> None:
        await server.put_profile(trusting("short"))
        client = await AcmeClient(client.session, server.directory_of("short")).start()
        await client.register()
        order = (await client.order("a.example.test")).json
        assert order["status"] == "ready"
        await server.put_profile(profile("short"))
        answer = await client.finalize(order, make_csr("a.example.test"))
        assert (answer.status, answer.problem) == (403, "unauthorized")
        assert "proof of control" in answer.json["detail"]

    async def test_one_that_cannot_be_read_is_our_fault(
        self, server: AcmeServer, client: AcmeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:

        await client.register()

        def broken(*_: object) -> None:
            raise ProfileUnreadable("altered")

        monkeypatch.setattr(ProfileCache, "read", broken)
        answer = await client.order("a.example.test")
        assert (answer.status, answer.problem) == (503, "serverInternal")
        assert "altered" not in answer.json["detail"]


class TestTrust:
    """mode = "trusted": an authenticated account has what the profile allows, without proof."""

    async def test_an_order_is_ready_at_once(self, server: AcmeServer, client: AcmeClient) -> None:
        """RFC 8555 section 7.4.1: what was authorized elsewhere is reflected as valid already."""
        await server.put_profile(
            profile("trusting", acme={"mode": "trusted", "external_account_required": True})
        )
        client = await AcmeClient(client.session, server.directory_of("trusting")).start()
        await bind(client, await server.external_key(patterns=("*.example.test",)))
        names = ("a.example.test", "*.b.example.test")
        order = (await client.order(*names)).json
        assert order["status"] == "ready"
        for url in order["authorizations"]:
            authorization = (await client.post(url)).json
            assert authorization["status"] == "valid"
            (challenge,) = authorization["challenges"]
            assert challenge["status"] == "valid"
            assert challenge["validated"]
            assert (await client.post(challenge["url"], {})).json == challenge
        assert (await client.finalize(order, make_csr(*names))).json["status"] == "valid"
        assert (await client.order("a.other.test")).problem == "rejectedIdentifier"

    async def test_trust_is_no_proof_elsewhere(self, server: AcmeServer, client: AcmeClient) -> None:
        """An authorization that nobody proved does not serve an order under a profile that asks for proof."""
        await server.put_profile(trusting("trusting", authorization_reuse="1d"))
        await server.put_profile(profile("asking", acme={"authorization_reuse": "1d"}))
        trusted = await AcmeClient(client.session, server.directory_of("trusting")).start()
        await trusted.register()
        assert (await trusted.order("a.example.test")).json["status"] == "ready"
        asking = await AcmeClient(client.session, server.directory_of("asking"), trusted.key).start()
        asking.kid = trusted.kid
        assert (await asking.order("a.example.test")).json["status"] == "pending"


class TestReuse:
    """acme.authorization_reuse (RFC 8555 section 7.1.3)."""

    @pytest.fixture
    async def again(self, server: AcmeServer, client: AcmeClient) -> AcmeClient:
        await server.put_profile(profile("again", acme={"authorization_reuse": "10d"}))
        made = await AcmeClient(client.session, server.directory_of("again")).start()
        await made.register()
        return made

    async def test_without_it_each_order_proves_anew(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        first, _ = await issued(server, client, "a.example.test")
        second = (await client.order("a.example.test")).json
        assert second["status"] == "pending"
        assert not set(first["authorizations"]) & set(second["authorizations"])

    async def test_a_proof_serves_later_orders_and_is_shown_in_them(
        self, server: AcmeServer, again: AcmeClient
    ) -> None:
        first, _ = await issued(server, again, "a.example.test")
        second = (await again.order("a.example.test", "b.example.test")).json
        assert second["status"] == "pending"
        assert second["authorizations"][0] == first["authorizations"][0]
        third = (await again.order("a.example.test")).json
        assert third["status"] == "ready"
        assert (await again.finalize(third, make_csr("a.example.test"))).json["status"] == "valid"

    async def test_it_is_worth_something_for_its_time_and_the_order_no_longer(
        self, server: AcmeServer, again: AcmeClient
    ) -> None:
        await issued(server, again, "a.example.test")
        server.world.pass_time(days=9)
        again.nonce = None
        late = await again.order("a.example.test")
        assert late.json["status"] == "ready"
        # The order promises nothing beyond the life of the proof.
        assert late.json["expires"] == moment(server, days=1)
        server.world.pass_time(days=1)
        again.nonce = None
        assert (await again.post(late.headers["Location"])).json["status"] == "invalid"
        assert (await again.order("a.example.test")).json["status"] == "pending"

    async def test_deactivated_it_is_worth_nothing(self, server: AcmeServer, again: AcmeClient) -> None:
        first, _ = await issued(server, again, "a.example.test")
        ready = await again.order("a.example.test")
        ended = await again.post(first["authorizations"][0], deactivate())
        assert (ended.status, ended.json["status"]) == (200, "deactivated")
        assert (await again.post(ready.headers["Location"])).json["status"] == "invalid"
        answer = await again.finalize(ready.json, make_csr("a.example.test"))
        assert answer.problem == "orderNotReady"
        assert (await again.order("a.example.test")).json["status"] == "pending"
        assert (await again.post(first["url"])).json["status"] == "valid"  # what was issued is issued

    async def test_it_is_not_for_other_accounts_names_or_kinds(
        self, server: AcmeServer, again: AcmeClient
    ) -> None:
        await issued(server, again, "a.example.test")
        for name in ("*.a.example.test", "b.a.example.test", "example.test"):
            assert (await again.order(name)).json["status"] == "pending", name
        other = await another(server, again)
        await other.register()
        assert (await other.order("a.example.test")).json["status"] == "pending"

    async def test_it_is_not_for_a_profile_that_would_have_looked_elsewhere(
        self, server: AcmeServer, again: AcmeClient
    ) -> None:
        """Other networks, CAA, or a method that is not offered there: the proof was another one."""
        await issued(server, again, "a.example.test")
        reuse = {"authorization_reuse": "10d"}
        for name, rules, status in (
            ("alike", {}, "ready"),
            ("other-networks", {"denied_networks": ["192.0.2.0/24"]}, "pending"),
            ("with-caa", {"caa": True}, "pending"),
            ("other-methods", {"challenges": ["dns-01", "tls-alpn-01"]}, "pending"),
        ):
            await server.put_profile(profile(name, acme=reuse | rules))
            client = await AcmeClient(again.session, server.directory_of(name), again.key).start()
            client.kid = again.kid
            assert (await client.order("a.example.test")).json["status"] == status, name


class TestDeactivatedAuthorizations:
    """RFC 8555 section 7.5.2."""

    @pytest.mark.parametrize("state", ["pending", "valid"])
    async def test_the_order_ends_with_it(self, server: AcmeServer, client: AcmeClient, state: str) -> None:
        await client.register()
        order = await client.order("a.example.test")
        if state == "valid":
            await prove(server, client, order.json)
        url = order.json["authorizations"][0]
        for _ in range(2):  # asked again it is the same
            answer = await client.post(url, deactivate())
            assert (answer.status, answer.json["status"]) == (200, "deactivated")
        seen = (await client.post(order.headers["Location"])).json
        assert seen["status"] == "invalid"
        assert seen["error"]["subproblems"][0]["identifier"]["value"] == "a.example.test"
        challenge = (await client.post(url)).json["challenges"][0]["url"]
        answer = await client.post(challenge, {})
        assert (answer.status, answer.problem) == (400, "malformed")
        assert server.http01.requests == [] or state == "valid"

    async def test_what_waits_on_the_strength_of_it_is_withdrawn(
        self, server: AcmeServer, gated: AcmeClient
    ) -> None:
        """The server must not treat it as sufficient: also not after somebody approves."""
        order = await ordered(server, gated, "a.example.test")
        await gated.finalize(order, make_csr("a.example.test"))
        asked = await question(server)
        await gated.post(order["authorizations"][0], deactivate())
        seen = (await gated.post(order["url"])).json
        assert seen["status"] == "invalid"
        assert "a.example.test was deactivated" in seen["error"]["detail"]
        assert (await server.world.approval(asked)).status.value == "expired"

    async def test_nothing_else_can_be_done_to_one(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        order = (await client.order("a.example.test")).json
        url = order["authorizations"][0]
        payloads: tuple[Any, ...] = (
            {},
            {"status": "valid"},
            {"status": "pending"},
            {"status": 7},
            {"challenges": []},
        )
        for payload in payloads:
            answer = await client.post(url, payload)
            assert (answer.status, answer.problem) == (400, "malformed")
        await client.post((await client.challenge(url))["url"], {})
        answer = await client.post(url, deactivate())
        assert (answer.status, answer.problem) == (400, "malformed")
        assert "invalid" in answer.json["detail"]


def trusting(name: str, **rules: Any) -> Any:
    why = "only machines of the build network reach this server"
    return profile(name, acme={"mode": "trusted", "trusted_without_external_account": why} | rules)


async def drop(server: AcmeServer, name: str) -> None:

    world = server.world
    by = world.people["admin"].id
    await world.write(
        lambda tx: profile_changes.propose(tx, ProfileName(name), None, by, world.now, world.cache)
    )
