"""Challenges and their attempts (RFC 8555 sections 7.5.1 and 8, RFC 8737, RFC 8738)."""

import asyncio
import re
import ssl
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from policy.acme.authorizations import Attempts
from policy.validation import Problem, ValidationFailed, ValidationRecord, ValidationSettings, Validator
from policy.validation.tls_alpn01 import _context
from servers.acme.objects import VALIDATION_PROBLEMS
from servers.settings import AcmeSection
from store import acme_authorizations
from store.ids import AuthorizationId
from store.records import Authorization, AuthorizationStatus
from store.schema import rate_limits
from tests.common.acme_client import AcmeClient
from tests.common.acme_server import AcmeServer, make_acme_server
from tests.common.responders import redirect
from tests.common.responders.http01_server import WELL_KNOWN
from tests.servers.acme.signing import new_key
from tests.servers.acme.steps import profile

TOKEN = re.compile(r"[A-Za-z0-9_-]{22,}")  # 128 bits and more


async def ordered_one(client: AcmeClient, name: str = "a.example.test", kind: str = "dns") -> str:
    """The URL of the one authorization of a new order."""
    answer = await client.post(client.directory["newOrder"], {"identifiers": [{"type": kind, "value": name}]})
    assert answer.status == 201, answer.body
    return str(answer.json["authorizations"][0])


async def stored(server: AcmeServer, url: str) -> Authorization:
    found = await acme_authorizations.get(
        server.world.database.single, AuthorizationId(url.rpartition("/")[2])
    )
    assert found is not None
    return found


async def until(server: AcmeServer, url: str, status: AuthorizationStatus) -> Authorization:
    """The authorization once it is so; fails after two seconds."""
    for _ in range(200):
        found = await stored(server, url)
        if found.status is status:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"still {found.status}")


class TestObject:
    """RFC 8555 sections 7.1.4, 8 and 8.1."""

    async def test_what_a_pending_one_says(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        url = await ordered_one(client)
        answer = await client.post(url)
        assert answer.status == 200
        assert set(answer.json) == {"identifier", "status", "expires", "challenges"}
        assert answer.json["identifier"] == {"type": "dns", "value": "a.example.test"}
        assert answer.json["status"] == "pending"
        for challenge in answer.json["challenges"]:
            assert set(challenge) == {"type", "url", "status", "token"}
            assert challenge["status"] == "pending"
            assert TOKEN.fullmatch(challenge["token"])
            assert (await client.post(challenge["url"])).json == challenge

    async def test_tokens_are_never_the_same(self, client: AcmeClient) -> None:
        await client.register()
        tokens = {(await client.challenge(await ordered_one(client)))["token"] for _ in range(5)}
        assert len(tokens) == 5

    async def test_what_a_valid_one_says(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        url = await ordered_one(client)
        challenge = await client.challenge(url)
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        answer = await client.post(challenge["url"], {})
        valid = challenge | {"status": "valid", "validated": "2026-11-25T12:00:00Z"}
        assert (answer.status, answer.json) == (200, valid)
        authorization = (await client.post(url)).json
        assert authorization["status"] == "valid"
        assert authorization["expires"]
        assert authorization["challenges"] == [valid]

    async def test_what_an_invalid_one_says(self, client: AcmeClient) -> None:
        await client.register()
        url = await ordered_one(client)
        challenge = await client.challenge(url)
        answer = await client.post(challenge["url"], {})
        assert answer.status == 200
        assert answer.json["status"] == "invalid"
        error = answer.json["error"]
        assert error["type"] == "urn:ietf:params:acme:error:incorrectResponse"
        assert error["detail"]
        assert "validated" not in answer.json
        authorization = (await client.post(url)).json
        assert (authorization["status"], authorization["challenges"]) == ("invalid", [answer.json])

    def test_every_way_to_fail_has_a_problem_type(self) -> None:
        assert set(VALIDATION_PROBLEMS) == {problem.value for problem in Problem}


class TestMethods:
    @pytest.mark.parametrize(("kind", "name"), [("dns", "a.example.test"), ("ip", "127.0.0.1")])
    async def test_http_01(self, server: AcmeServer, client: AcmeClient, kind: str, name: str) -> None:
        await client.register()
        challenge = await client.challenge(await ordered_one(client, name, kind))
        path = WELL_KNOWN + challenge["token"]
        body = f"{client.key_authorization(challenge)}\r\n \n".encode()
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        server.http01.scripts[path] = redirect(f"http://{name}:{server.http01.port}/elsewhere")
        server.http01.scripts["/elsewhere"] = reply
        assert (await client.post(challenge["url"], {})).json["status"] == "valid"
        assert [request.path for request in server.http01.requests] == [path, "/elsewhere"]

    @pytest.mark.parametrize("name", ["a.example.test", "*.a.example.test"])
    async def test_dns_01(self, server: AcmeServer, client: AcmeClient, name: str) -> None:
        await client.register()
        challenge = await client.challenge(await ordered_one(client, name), "dns-01")
        server.dns.zone.add_txt("_acme-challenge.a.example.test", "something else")
        server.dns.zone.add_txt("_acme-challenge.a.example.test", client.dns_value(challenge))
        assert (await client.post(challenge["url"], {})).json["status"] == "valid"

    @pytest.mark.parametrize(("kind", "name"), [("dns", "a.example.test"), ("ip", "127.0.0.1")])
    async def test_tls_alpn_01(self, server: AcmeServer, client: AcmeClient, kind: str, name: str) -> None:
        await client.register()
        challenge = await client.challenge(await ordered_one(client, name, kind), "tls-alpn-01")
        server.tls_alpn01.answer(name, client.key_authorization(challenge))
        assert (await client.post(challenge["url"], {})).json["status"] == "valid"
        assert server.tls_alpn01.seen == [name if kind == "dns" else "1.0.0.127.in-addr.arpa"]

    @pytest.mark.parametrize("method", ["http-01", "tls-alpn-01"])
    async def test_an_address_of_ipv6(
        self, server: AcmeServer, client: AcmeClient, method: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """RFC 8738 sections 4 and 6: the address in brackets, or its reverse name under ip6.arpa."""
        asked: list[str] = []

        async def validate(_: Validator, how: str, identifier: Any, *__: object) -> ValidationRecord:
            asked.append(f"{how} {identifier.value}")
            return ValidationRecord(how, identifier, (), (), 0.0)

        monkeypatch.setattr(Validator, "validate", validate)  # not every machine has IPv6 to try it with
        await client.register()
        challenge = await client.challenge(await ordered_one(client, "2001:db8::1", "ip"), method)
        assert (await client.post(challenge["url"], {})).json["status"] == "valid"
        assert asked == [f"{method} 2001:db8::1"]

    async def test_what_is_offered_for_what(self, client: AcmeClient) -> None:
        """No dns-01 for addresses (RFC 8738 section 7), nothing but dns-01 for wildcards."""
        await client.register()
        for kind, name, methods in (
            ("dns", "a.example.test", ["http-01", "dns-01", "tls-alpn-01"]),
            ("dns", "*.example.test", ["dns-01"]),
            ("ip", "192.0.2.1", ["http-01", "tls-alpn-01"]),
            ("ip", "2001:db8::1", ["http-01", "tls-alpn-01"]),
        ):
            url = await ordered_one(client, name, kind)
            found = [challenge["type"] for challenge in (await client.post(url)).json["challenges"]]
            assert found == methods

    async def test_the_key_in_it_is_the_one_that_the_account_has_now(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """RFC 8555 section 8.1: bound to the account key, or a man in the middle could use another's proof."""
        await client.register()
        challenge = await client.challenge(await ordered_one(client))
        client_key, client.key = client.key, new_key("ES256")
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        client.key = client_key
        assert (await client.post(challenge["url"], {})).json["status"] == "invalid"


class TestResponse:
    async def test_members_of_a_response_are_ignored(self, server: AcmeServer, client: AcmeClient) -> None:
        """RFC 8555 section 7.5.1, erratum 5729: any object; old clients send a keyAuthorization."""
        await client.register()
        challenge = await client.challenge(await ordered_one(client))
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        answer = await client.post(challenge["url"], {"keyAuthorization": "x", "type": 7, "status": "valid"})
        assert answer.json["status"] == "valid"

    @pytest.mark.parametrize("payload", [b"null", b"[]", b"7", b'"x"', b"{", b"\xff", b" "])
    async def test_a_response_that_is_no_object_is_malformed_and_starts_nothing(
        self, server: AcmeServer, client: AcmeClient, payload: bytes
    ) -> None:
        await client.register()
        url = await ordered_one(client)
        challenge = await client.challenge(url)
        answer = await client.post(challenge["url"], payload)
        assert (answer.status, answer.problem) == (400, "malformed")
        assert server.http01.requests == []
        assert (await client.post(url)).json["status"] == "pending"

    async def test_looking_at_one_starts_nothing(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        challenge = await client.challenge(await ordered_one(client))
        for _ in range(2):
            assert (await client.post(challenge["url"])).json["status"] == "pending"
        assert server.http01.requests == []

    async def test_sent_again_it_is_the_same_attempt(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        url = await ordered_one(client)
        challenge = await client.challenge(url)
        first = (await client.post(challenge["url"], {})).json
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        assert (await client.post(challenge["url"], {})).json == first
        assert first["status"] == "invalid"
        assert len(server.http01.requests) == 1

    async def test_at_the_same_moment_it_is_one_attempt(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        challenge = await client.challenge(await ordered_one(client))
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        others = [
            AcmeClient(client.session, client.directory_url, client.key, client.directory, client.kid)
            for _ in range(4)
        ]
        answers = await asyncio.gather(*[one.post(challenge["url"], {}) for one in others])
        assert {answer.json["status"] for answer in answers} == {"valid"}
        assert len(server.http01.requests) == 1

    async def test_an_authorization_has_one_attempt(self, server: AcmeServer, client: AcmeClient) -> None:
        """Whatever is answered after it; the authorization tells how it ended."""
        await client.register()
        url = await ordered_one(client)
        first, second = await client.challenge(url, "http-01"), await client.challenge(url, "dns-01")
        await client.post(first["url"], {})
        server.dns.zone.add_txt("_acme-challenge.a.example.test", client.dns_value(second))
        answer = await client.post(second["url"], {})
        assert (answer.status, answer.json["status"]) == (200, "pending")
        assert server.dns.zone.asked("_acme-challenge.a.example.test") == []
        assert (await client.post(url)).json["status"] == "invalid"


class TestTime:
    @pytest.fixture
    async def hasty(self, fresh_url: str, events: object, session: aiohttp.ClientSession) -> Any:
        """A server that answers before a slow check has ended, and a client with an account."""
        async with make_acme_server(fresh_url, validation_wait=0.05) as server:
            client = await AcmeClient(session, server.directory).start()
            await client.register()
            yield server, client

    async def test_a_slow_one_is_processing_meanwhile(self, hasty: tuple[AcmeServer, AcmeClient]) -> None:
        server, client = hasty
        url = await ordered_one(client)
        challenge = await client.challenge(url)
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        server.dns.zone.delay("a.example.test", 0.4)
        answer = await client.post(challenge["url"], {})
        assert (answer.status, answer.json["status"]) == (200, "processing")
        authorization = (await client.post(url)).json
        assert authorization["status"] == "pending"
        assert [one["status"] for one in authorization["challenges"]] == ["processing"]
        assert (await client.post(challenge["url"])).json["status"] == "processing"
        await until(server, url, AuthorizationStatus.VALID)
        assert (await client.post(challenge["url"])).json["status"] == "valid"

    async def test_deactivated_meanwhile_it_stays_so(self, hasty: tuple[AcmeServer, AcmeClient]) -> None:
        server, client = hasty
        url = await ordered_one(client)
        challenge = await client.challenge(url)
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        server.dns.zone.delay("a.example.test", 0.2)
        await client.post(challenge["url"], {})
        assert (await client.post(url, {"status": "deactivated"})).status == 200
        await asyncio.sleep(0.4)
        assert (await stored(server, url)).status is AuthorizationStatus.DEACTIVATED


class TestCrash:
    """An attempt that was interrupted is made again."""

    async def crash(self, server: AcmeServer, client: AcmeClient, url: str) -> dict[str, Any]:
        """A challenge whose attempt was written down by a process that died."""
        challenge = await client.challenge(url)
        authorization_id = AuthorizationId(url.rpartition("/")[2])
        await server.world.write(
            lambda tx: acme_authorizations.attempt(tx, authorization_id, "http-01", server.world.now)
        )
        return challenge

    async def test_by_whoever_finds_it(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        url = await ordered_one(client)
        challenge = await self.crash(server, client, url)
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        assert (await client.post(challenge["url"], {})).json["status"] == "processing"
        server.world.pass_time(seconds=31)  # longer than any attempt takes: its process is dead
        server.start_attempts()
        await until(server, url, AuthorizationStatus.VALID)
        assert (await client.post(url)).json["challenges"][0]["status"] == "valid"
        assert len(server.http01.requests) == 1

    async def test_not_while_it_may_still_be_running(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        url = await ordered_one(client)
        await self.crash(server, client, url)
        server.world.pass_time(seconds=29)
        server.start_attempts()
        await asyncio.sleep(0.1)
        assert (await stored(server, url)).status is AuthorizationStatus.PENDING
        assert server.http01.requests == []

    async def test_of_several_who_find_it_one_makes_it(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        url = await ordered_one(client)
        await self.crash(server, client, url)
        server.world.pass_time(seconds=31)
        for _ in range(3):
            await server.services.attempts.take_over()
        await until(server, url, AuthorizationStatus.INVALID)
        assert len(server.http01.requests) == 1

    async def test_too_late_it_ends(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        url = await ordered_one(client)
        await self.crash(server, client, url)
        server.world.pass_time(days=8)
        await server.services.attempts.take_over()
        found = await stored(server, url)
        assert (found.status, server.http01.requests) == (AuthorizationStatus.INVALID, [])

    async def test_one_that_broke_is_written_down_and_made_again(
        self, server: AcmeServer, client: AcmeClient, events: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not lost: the client would wait for ever."""
        await client.register()
        url = await ordered_one(client)
        challenge = await client.challenge(url)
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)

        async def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(Attempts, "_validate", broken)
            answer = await client.post(challenge["url"], {})
        assert (answer.status, answer.json["status"]) == (200, "processing")
        assert [event["event"] for event in events if "attempt" in event["event"]] == ["attempt.broken"]
        events.clear()
        server.world.pass_time(seconds=31)
        await server.services.attempts.take_over()
        await until(server, url, AuthorizationStatus.VALID)


class TestCAA:
    """RFC 8659 and RFC 8657, where the profile asks for them."""

    @pytest.fixture
    async def asking(self, fresh_url: str, events: object, session: aiohttp.ClientSession) -> Any:
        async with make_acme_server(fresh_url, caa_identities=frozenset({"ca.test"})) as server:
            await server.put_profile(profile("caa", acme={"caa": True}))
            client = await AcmeClient(session, server.directory_of("caa")).start()
            await client.register()
            yield server, client

    async def status(self, server: AcmeServer, client: AcmeClient, name: str) -> dict[str, Any]:
        challenge = await client.challenge(await ordered_one(client, name))
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        found: dict[str, Any] = (await client.post(challenge["url"], {})).json
        return found

    async def test_they_are_obeyed(self, asking: tuple[AcmeServer, AcmeClient]) -> None:
        server, client = asking
        zone = server.dns.zone
        zone.add("ours.test", "CAA", '0 issue "ca.test"')
        zone.add(
            "bound.test", "CAA", f'0 issue "ca.test; accounturi={client.kid}; validationmethods=http-01"'
        )
        zone.add("theirs.test", "CAA", '0 issue "other.test"')
        zone.add("method.test", "CAA", '0 issue "ca.test; validationmethods=dns-01"')
        zone.add("account.test", "CAA", f'0 issue "ca.test; accounturi={client.kid}0"')
        for name in ("none.test", "ours.test", "bound.test"):
            assert (await self.status(server, client, name))["status"] == "valid", name
        for name in ("theirs.test", "method.test", "account.test"):
            found = await self.status(server, client, name)
            assert found["error"]["type"] == "urn:ietf:params:acme:error:caa", name

    async def test_a_ca_without_a_name_of_its_own_cannot_ask_and_refuses(
        self, fresh_url: str, events: object, session: aiohttp.ClientSession
    ) -> None:
        async with make_acme_server(fresh_url) as server:
            await server.put_profile(profile("caa", acme={"caa": True}))
            client = await AcmeClient(session, server.directory_of("caa")).start()
            await client.register()
            found = await self.status(server, client, "none.test")
            assert found["error"]["type"] == "urn:ietf:params:acme:error:caa"
            assert "caa_identities" in found["error"]["detail"]

    async def test_without_the_profiles_word_they_are_not_asked(
        self, asking: tuple[AcmeServer, AcmeClient]
    ) -> None:
        server, client = asking
        server.dns.zone.add("theirs.test", "CAA", '0 issue "other.test"')
        plain = await AcmeClient(client.session, server.directory, client.key).start()
        plain.kid = client.kid
        assert (await self.status(server, plain, "theirs.test"))["status"] == "valid"


class TestNetworks:
    async def test_a_profile_says_where_the_server_may_go(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """RFC 8555 section 10.4: requests to places inside are not for everybody to cause."""
        await server.put_profile(profile("outside", acme={"denied_networks": ["127.0.0.0/8"]}))
        client = await AcmeClient(client.session, server.directory_of("outside")).start()
        await client.register()
        for name, kind in (("a.example.test", "dns"), ("127.0.0.1", "ip")):
            challenge = await client.challenge(await ordered_one(client, name, kind))
            server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
            answer = (await client.post(challenge["url"], {})).json
            assert answer["status"] == "invalid"
            assert answer["error"]["type"] == "urn:ietf:params:acme:error:connection"
            assert "networks of this profile" in answer["error"]["detail"]
        assert server.http01.requests == []


async def test_our_own_fault_counts_against_nobody(
    server: AcmeServer, client: AcmeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def exhausted(*_: object) -> None:
        raise ValidationFailed(Problem.SERVER_INTERNAL, "no free sockets")

    monkeypatch.setattr(Validator, "validate", exhausted)
    await client.register()
    challenge = await client.challenge(await ordered_one(client))
    assert (await client.post(challenge["url"], {})).json["error"]["type"].endswith(":serverInternal")
    query = select(rate_limits.c.key).where(rate_limits.c.key.startswith("failed"))
    assert list(await server.world.database.select(query)) == []


def test_the_ports_are_those_of_the_rfcs() -> None:
    """80 (RFC 8555 section 8.3) and 443 (RFC 8737 section 3), unless an operator writes others."""
    assert (ValidationSettings().http01_port, ValidationSettings().tlsalpn01_port) == (80, 443)
    assert (AcmeSection().http01_port, AcmeSection().tlsalpn01_port) == (80, 443)


def test_older_tls_is_not_spoken() -> None:
    """RFC 8737 section 4."""
    assert _context().minimum_version is ssl.TLSVersion.TLSv1_2
