"""Accounts: made, found, changed, ended (RFC 8555 section 7.3)."""

import asyncio
import re
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from policy.acme import accounts
from policy.approvals import DecisionRefused
from servers.acme import accounts as resources
from servers.acme.services import DirectoryMeta
from store import acme_accounts, certificates
from store.ids import AccountId
from store.records import Account, Verdict
from tests.common.acme_client import AcmeClient, sign
from tests.common.acme_server import AcmeServer, make_acme_server
from tests.common.world import make_csr
from tests.servers.acme.signing import ALGORITHMS, b64, new_key
from tests.servers.acme.steps import another, issued, ordered, question, rows
from tests.servers.acme.test_key_change import change, key_change


async def stored(server: AcmeServer, client: AcmeClient) -> Account:
    """The client's account, as the database has it."""
    account_id = AccountId(str(client.kid).rpartition("/")[2])
    found = await server.world.database.read(lambda tx: acme_accounts.get(tx, account_id))
    assert found is not None
    return found


class TestNewAccount:
    async def test_it_is_made_and_answered_whole(self, client: AcmeClient) -> None:
        """201 with the object, not with an empty body; 200 with the same for the same key."""
        made = await client.register(contact=["mailto:a@example.test"])
        assert made.status == 201
        assert made.json == {
            "status": "valid",
            "contact": ["mailto:a@example.test"],
            "orders": f"{client.kid}/orders",
            "termsOfServiceAgreed": True,
        }
        again = await client.register()
        assert (again.status, again.json, again.headers["Location"]) == (200, made.json, client.kid)

    @pytest.mark.parametrize("alg", ALGORITHMS)
    async def test_with_any_kind_of_key(self, server: AcmeServer, client: AcmeClient, alg: str) -> None:
        client.key = new_key(alg)
        assert (await client.register()).status == 201
        order, _ = await issued(server, client, "a.example.test")
        assert order["status"] == "valid"

    @pytest.mark.parametrize("fields", [{}, {"contact": []}, {"contact": None}])
    async def test_contacts_are_optional(self, client: AcmeClient, fields: dict[str, Any]) -> None:
        """Routers and cluster controllers send none."""
        made = await client.post(client.directory["newAccount"], fields, jwk=True)
        assert (made.status, made.json["contact"]) == (201, [])
        assert "termsOfServiceAgreed" not in made.json

    @pytest.mark.parametrize(
        ("contact", "problem"),
        [
            ("tel:+12025551212", "unsupportedContact"),
            ("https://example.test/", "unsupportedContact"),
            ("a@example.test", "unsupportedContact"),
            ("mailto:", "invalidContact"),
            ("mailto:a", "invalidContact"),
            ("mailto:a@example.test,b@example.test", "invalidContact"),
            ("mailto:a@example.test?subject=x", "invalidContact"),
            ("mailto:a@ex ample.test", "invalidContact"),
            ("mailto:" + "a" * 65 + "@example.test", "invalidContact"),
            ("mailto:a@example.test\n", "invalidContact"),
            ("mailto:ä@example.test\u202e", "invalidContact"),
        ],
    )
    async def test_a_contact_is_one_address_that_mail_can_go_to(
        self, client: AcmeClient, fresh_url: str, contact: str, problem: str
    ) -> None:
        before = rows(fresh_url)
        answer = await client.register(contact=["mailto:good@example.test", contact])
        assert (answer.status, answer.problem) == (400, problem)
        assert "mailto:" in answer.json["detail"]
        assert rows(fresh_url) == before

    async def test_too_many_contacts_are_refused(self, client: AcmeClient) -> None:
        contacts = [f"mailto:a{number}@example.test" for number in range(11)]
        assert (await client.register(contact=contacts)).problem == "invalidContact"
        assert (await client.register(contact=contacts[:10])).status == 201

    async def test_members_that_mean_nothing_here_are_neither_kept_nor_shown(
        self, client: AcmeClient
    ) -> None:
        made = await client.register(orders="https://evil.test/", status="revoked", id=7, future={"a": 1})
        assert set(made.json) == {"status", "contact", "orders", "termsOfServiceAgreed"}
        assert made.json["status"] == "valid"
        assert made.json["orders"] == f"{client.kid}/orders"

    async def test_the_account_is_found_by_its_key(self, client: AcmeClient, fresh_url: str) -> None:
        """RFC 8555 section 7.3.1."""
        before = rows(fresh_url)
        answer = await client.register(onlyReturnExisting=True)
        assert (answer.status, answer.problem) == (400, "accountDoesNotExist")
        assert rows(fresh_url) == before
        made = await client.register(contact=["mailto:a@example.test"])
        found = await client.register(onlyReturnExisting=True)
        assert (found.status, found.json) == (200, made.json)
        assert found.headers["Location"] == made.headers["Location"]

    async def test_what_is_asked_of_an_account_that_exists_is_ignored(self, client: AcmeClient) -> None:
        made = await client.register(contact=["mailto:a@example.test"])
        asked: list[dict[str, Any]] = [
            {"contact": ["mailto:b@example.test"]},
            {"contact": ["nonsense"]},
            {"termsOfServiceAgreed": False},
            {"onlyReturnExisting": "yes"},
            {"externalAccountBinding": {}},
        ]
        for fields in asked:
            again = await client.post(client.directory["newAccount"], fields, jwk=True)
            assert (again.status, again.json) == (200, made.json)

    async def test_two_at_the_same_moment_are_one(
        self, server: AcmeServer, client: AcmeClient, fresh_url: str
    ) -> None:
        url = client.directory["newAccount"]
        nonces = [await client.fresh_nonce() for _ in range(8)]
        header = {"alg": client.key.alg, "jwk": client.key.jwk, "url": url}
        bodies = [sign(client.key, header | {"nonce": nonce}, b"{}") for nonce in nonces]
        answers = await asyncio.gather(*[client.send(url, body) for body in bodies])
        assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
        assert len({answer.headers["Location"] for answer in answers}) == 1
        assert rows(fresh_url)["acme_accounts"] == 1

    async def test_the_old_key_of_an_account_makes_no_other(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """RFC 8555 section 11.1: a key belongs to one account, also afterwards."""
        await client.register()
        old, new = client.key, new_key("ES256")
        assert (await change(client, new)).status == 200
        stranger = await another(server, client)
        stranger.key = old
        answer = await stranger.register()
        assert (answer.status, answer.problem) == (400, "badPublicKey")

    async def test_the_key_of_a_certificate_makes_no_account(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        key = new_key("ES256")
        await issued(server, client, "a.example.test", key=key.private)
        stranger = await another(server, client)
        stranger.key = key
        answer = await stranger.register()
        assert (answer.status, answer.problem) == (400, "badPublicKey")
        assert (await change(client, key)).problem == "badPublicKey"


class TestTerms:
    async def test_they_are_to_be_agreed_to(self, fresh_url: str, session: aiohttp.ClientSession) -> None:
        """RFC 8555 sections 7.3 and 7.3.3."""
        meta = DirectoryMeta(terms_of_service="https://ca.test/terms?v=1")
        async with make_acme_server(fresh_url, meta=meta) as server:
            client = await AcmeClient(session, server.directory).start()
            before = rows(fresh_url)
            for fields in ({}, {"termsOfServiceAgreed": False}):
                answer = await client.post(client.directory["newAccount"], fields, jwk=True)
                assert (answer.status, answer.problem) == (403, "userActionRequired")
                assert answer.json["instance"] == "https://ca.test/terms?v=1"
                assert '<https://ca.test/terms?v=1>;rel="terms-of-service"' in answer.headers.getall("Link")
            assert rows(fresh_url) == before
            made = await client.register()
            assert (made.status, made.json["termsOfServiceAgreed"]) == (201, True)

    async def test_agreement_is_not_guessed(self, client: AcmeClient) -> None:
        values: tuple[Any, ...] = ("true", 1, None, [])
        for value in values:
            answer = await client.post(
                client.directory["newAccount"], {"termsOfServiceAgreed": value}, jwk=True
            )
            assert (answer.status, answer.problem) == (400, "malformed")


class TestUpdate:
    """RFC 8555 section 7.3.2."""

    async def test_contacts_change(self, client: AcmeClient) -> None:
        await client.register(contact=["mailto:a@example.test"])
        for contacts in (["mailto:b@example.test", "mailto:c@example.test"], []):
            answer = await client.post(str(client.kid), {"contact": contacts})
            assert (answer.status, answer.json["contact"]) == (200, contacts)
            assert (await client.post(str(client.kid))).json == answer.json

    async def test_bad_contacts_change_nothing(self, client: AcmeClient) -> None:
        await client.register(contact=["mailto:a@example.test"])
        for contact, problem in (("tel:1", "unsupportedContact"), ("mailto:x", "invalidContact")):
            assert (await client.post(str(client.kid), {"contact": [contact]})).problem == problem
        values: tuple[Any, ...] = ("mailto:b@example.test", [7], {}, 7)
        for value in values:
            assert (await client.post(str(client.kid), {"contact": value})).problem == "malformed"
        assert (await client.post(str(client.kid))).json["contact"] == ["mailto:a@example.test"]

    async def test_everything_else_is_ignored(self, client: AcmeClient) -> None:
        """Orders, terms, other states, what nobody knows: the server must ignore them, not refuse."""
        made = await client.register(termsOfServiceAgreed=False)
        ignored: list[dict[str, Any]] = [
            {},
            {"orders": "https://evil.test/"},
            {"status": "valid"},
            {"status": "revoked"},
            {"status": 7},
            {"termsOfServiceAgreed": True},
            {"externalAccountBinding": {}},
            {"future": [1]},
        ]
        for fields in ignored:
            answer = await client.post(str(client.kid), fields)
            assert (answer.status, answer.json) == (200, made.json), fields

    async def test_only_of_ones_own(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        stranger = await another(server, client)
        await stranger.register()
        for url in (str(client.kid), f"{client.kid}/orders"):
            for payload in (None, {"status": "deactivated"}):
                answer = await stranger.post(url, payload)
                if payload is None or not url.endswith("orders"):
                    assert (answer.status, answer.problem) == (403, "unauthorized")
        assert (await client.post(str(client.kid))).json["status"] == "valid"


class TestKeyReference:
    """RFC 8555 section 6.2: which resources take jwk and which take kid."""

    async def test_jwk_is_for_new_accounts_alone(self, server: AcmeServer, client: AcmeClient) -> None:
        """Clients that lost their nonce come back with the wrong one; it is refused, never accepted."""
        await client.register()
        order, _ = await issued(server, client, "a.example.test")
        fields = {"identifiers": [{"type": "dns", "value": "a.example.test"}]}
        for url, payload in (
            (client.directory["newOrder"], fields),
            (client.directory["keyChange"], fields),
            (str(client.kid), None),
            (f"{client.kid}/orders", None),
            (order["url"], None),
            (order["finalize"], {"csr": ""}),
            (order["certificate"], None),
            (order["authorizations"][0], None),
        ):
            answer = await client.post(url, payload, jwk=True)
            assert (answer.status, answer.problem) == (400, "malformed"), url
        answer = await client.post(client.directory["newAccount"], {})
        assert (answer.status, answer.problem) == (400, "malformed")

    async def test_both_or_neither_is_malformed(self, client: AcmeClient) -> None:
        await client.register()
        url = str(client.kid)
        assert (await client.post(url, jwk=True, kid=client.kid)).problem == "malformed"
        assert (await client.post(url, kid=None)).problem == "malformed"

    @pytest.mark.parametrize(
        "kid",
        [
            "{url}/acme/acct/0",
            "{url}/acme/acct/",
            "{url}/acme/order/0",
            "https://other.test/acme/acct/0",
            "7",
        ],
    )
    async def test_an_account_that_is_not_there(
        self, server: AcmeServer, client: AcmeClient, kid: str
    ) -> None:
        await client.register()
        answer = await client.post(client.directory["newOrder"], {}, kid=kid.format(url=server.url))
        assert (answer.status, answer.problem) == (400, "accountDoesNotExist")

    async def test_another_key_than_that_of_the_account(self, client: AcmeClient) -> None:
        await client.register()
        answer = await client.post(str(client.kid), key=new_key("ES256"))
        assert (answer.status, answer.problem) == (403, "unauthorized")
        answer = await client.post(str(client.kid), key=new_key("RS256"))
        assert (answer.status, answer.problem) == (400, "badPublicKey")


class TestOrders:
    """RFC 8555 section 7.1.2.1."""

    async def test_they_are_listed_but_for_the_invalid_ones(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        assert (await client.post(f"{client.kid}/orders")).json == {"orders": []}
        valid, _ = await issued(server, client, "a.example.test")
        pending = (await client.order("b.example.test")).headers["Location"]
        dead = await client.order("c.example.test")
        await client.post(dead.json["authorizations"][0], {"status": "deactivated"})
        found = await client.post(f"{client.kid}/orders")
        assert set(found.json["orders"]) == {valid["url"], pending}
        assert "next" not in str(found.headers.getall("Link"))

    async def test_they_come_in_pages(self, client: AcmeClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resources, "PAGE", 3)
        await client.register()
        made = [(await client.order(f"n{number}.test")).headers["Location"] for number in range(7)]
        url, found, pages = f"{client.kid}/orders", [], 0
        while url:
            answer = await client.post(url)
            found += answer.json["orders"]
            pages += 1
            following = [
                match[1]
                for value in answer.headers.getall("Link")
                if (match := re.fullmatch(r'<([^>]+)>;rel="next"', value))
            ]
            url = following[0] if following else ""
        assert (pages, sorted(found)) == (3, sorted(made))

    async def test_a_page_that_nobody_gave_out(self, client: AcmeClient) -> None:
        await client.register()
        for query in ("%00", "zz", "a" * 65, "%27%20or%201"):
            answer = await client.post(f"{client.kid}/orders?after={query}")
            assert (answer.status, answer.problem) == (404, "malformed")
        assert (await client.post(f"{client.kid}/orders?after=ff")).json == {"orders": []}


class TestDeactivation:
    """RFC 8555 section 7.3.6."""

    async def test_it_is_refused_everywhere_afterwards(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        order, certificate = await issued(server, client, "a.example.test")
        pending = await client.order("b.example.test")
        challenge = await client.challenge(pending.json["authorizations"][0])
        ended = await client.post(str(client.kid), {"status": "deactivated", "contact": ["nonsense"]})
        assert (ended.status, ended.json["status"]) == (200, "deactivated")
        der = certificate.public_bytes(Encoding.DER)
        fields = {"identifiers": [{"type": "dns", "value": "a.example.test"}]}
        for url, payload in (
            (str(client.kid), None),
            (str(client.kid), {"contact": []}),
            (str(client.kid), {"status": "valid"}),
            (f"{client.kid}/orders", None),
            (client.directory["newOrder"], fields),
            (client.directory["keyChange"], key_change(client, new_key("ES256"))),
            (client.directory["revokeCert"], {"certificate": b64(der)}),
            (client.directory_url, None),
            (client.directory["newNonce"], None),
            (order["url"], None),
            (order["certificate"], None),
            (pending.json["finalize"], {"csr": b64(make_csr("b.example.test"))}),
            (pending.json["authorizations"][0], None),
            (pending.json["authorizations"][0], {"status": "deactivated"}),
            (challenge["url"], {}),
        ):
            answer = await client.post(url, payload)
            assert (answer.status, answer.problem) == (401, "unauthorized"), url
        for again in (await client.register(), await client.register(onlyReturnExisting=True)):
            assert (again.status, again.problem) == (401, "unauthorized")

    async def test_another_process_finds_out_before_it_does_anything(
        self, server: AcmeServer, client: AcmeClient, fresh_url: str
    ) -> None:
        """Accounts are known for a second; what is done for one is checked in the transaction that does it."""
        await client.register()
        order = await ordered(server, client, "a.example.test")
        found = await stored(server, client)
        await server.world.write(lambda tx: accounts.deactivate(tx, found, server.world.now))
        before = rows(fresh_url)
        assert (await client.order("b.example.test")).status == 401
        assert (await client.finalize(order, make_csr("a.example.test"))).status == 401
        assert rows(fresh_url) == before

    async def test_what_was_waiting_for_people_is_cancelled(
        self, server: AcmeServer, gated: AcmeClient
    ) -> None:
        order = await ordered(server, gated, "a.example.test")
        await gated.finalize(order, make_csr("a.example.test"))
        asked = await question(server)
        await gated.post(str(gated.kid), {"status": "deactivated"})
        approval = await server.world.approval(asked)
        assert approval.status.value == "expired"
        with pytest.raises(DecisionRefused, match="ended"):
            await server.world.decide(asked, "alice", Verdict.APPROVE)

    async def test_what_was_approved_and_not_collected_is_cancelled(
        self, server: AcmeServer, gated: AcmeClient, fresh_url: str
    ) -> None:
        order = await ordered(server, gated, "a.example.test")
        await gated.finalize(order, make_csr("a.example.test"))
        await server.world.decide(await question(server), "alice", Verdict.APPROVE)
        await gated.post(str(gated.kid), {"status": "deactivated"})
        await asyncio.sleep(0.05)
        assert rows(fresh_url)["certificates"] == 0

    async def test_certificates_stay_good(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        await issued(server, client, "a.example.test")
        await client.post(str(client.kid), {"status": "deactivated"})
        (found,) = await server.world.database.read(lambda tx: certificates.latest(tx, 10))
        assert found.revoked_at is None

    async def test_an_operator_revokes_it(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        await client.order("a.example.test")
        found = await stored(server, client)
        by = server.world.people["admin"].id
        ended = await server.world.write(lambda tx: accounts.deactivate(tx, found, server.world.now, by=by))
        assert ended.status.value == "revoked"
        answer = await client.register()
        assert (answer.status, answer.problem) == (401, "unauthorized")
        assert "revoked" in answer.json["detail"]
