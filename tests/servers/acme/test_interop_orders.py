"""What clients trip over in the life of an order: locations, waiting, names, requests, chains, errors."""

import base64
import re
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from policy import scheduler
from policy.profiles import GATED
from store.records import Verdict
from tests.common.acme_client import AcmeClient
from tests.common.acme_server import AcmeServer
from tests.common.world import make_csr
from tests.servers.acme.signing import b64
from tests.servers.acme.steps import csr, issued, ordered, profile, prove, question


def names_of(chain: bytes) -> list[str]:
    leaf = x509.load_pem_x509_certificates(chain)[0]
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in found]


class TestLocations:
    async def test_new_order_order_and_finalize_all_say_where_the_order_is(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """Shell clients take the order's address from whichever answer is at hand."""
        await client.register()
        made = await client.order("a.example.test")
        assert made.status == 201
        url = made.headers["Location"]
        await prove(server, client, made.json)
        assert (await client.post(url)).headers["Location"] == url
        done = await client.finalize(made.json, make_csr("a.example.test"))
        assert (done.status, done.headers["Location"]) == (200, url)


class TestWaiting:
    async def test_without_approval_finalize_answers_valid(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """Clients give up on `processing` after one to thirty seconds."""
        await client.register()
        order = await ordered(server, client, "a.example.test")
        done = await client.finalize(order, make_csr("a.example.test"))
        assert done.json["status"] == "valid"
        assert "Retry-After" not in done.headers

    async def test_processing_always_comes_with_retry_after(
        self, server: AcmeServer, gated: AcmeClient
    ) -> None:
        order = await ordered(server, gated, "a.example.test")
        done = await gated.finalize(order, make_csr("a.example.test"))
        for answer in (done, await gated.post(order["url"])):
            assert answer.json["status"] == "processing"
            assert 1 <= int(answer.headers["Retry-After"]) <= 30
            assert "certificate" not in answer.json

    async def test_nothing_else_comes_with_it(self, server: AcmeServer, gated: AcmeClient) -> None:
        """A Retry-After on an authorization or an order that is pending makes shell clients wait for nothing."""
        made = await gated.order("a.example.test")
        url = made.json["authorizations"][0]
        challenge = await gated.challenge(url)
        server.http01.tokens[challenge["token"]] = gated.key_authorization(challenge)
        for answer in (
            made,
            await gated.post(made.headers["Location"]),
            await gated.post(url),
            await gated.post(challenge["url"], {}),
            await gated.post(url),
            await gated.post(made.headers["Location"]),
        ):
            assert "Retry-After" not in answer.headers

    async def test_an_approval_has_an_end_and_the_order_with_it(
        self, server: AcmeServer, gated: AcmeClient
    ) -> None:
        """Not `processing` for days: undecided until it expires, the order is invalid, and says so."""
        order = await ordered(server, gated, "a.example.test")
        waiting = (await gated.finalize(order, make_csr("a.example.test"))).json
        expires = datetime.fromisoformat(waiting["expires"])
        now = datetime.fromtimestamp(server.world.now / 1000, UTC)
        assert GATED.approval is not None
        assert expires - now == GATED.approval.expires
        server.world.pass_time(seconds=(expires - now).total_seconds() - 1)
        gated.nonce = None  # it does not live for days
        assert (await gated.post(order["url"])).json["status"] == "processing"
        server.world.pass_time(seconds=1)
        before = (await gated.post(order["url"])).json
        await scheduler.tick(server.world.database, server.world.now)
        after = (await gated.post(order["url"])).json
        for seen in (before, after):
            assert seen["status"] == "invalid"
            assert seen["error"]["detail"] == "no certificate will be issued: nobody decided in time"

    async def test_valid_means_that_the_certificate_is_there(
        self, server: AcmeServer, gated: AcmeClient
    ) -> None:
        """Never `valid` with a download that says not yet."""
        order = await ordered(server, gated, "a.example.test")
        await gated.finalize(order, make_csr("a.example.test"))
        url = order["url"].replace("/order/", "/cert/")
        assert (await gated.post(url)).status == 404
        await server.world.decide(await question(server), "alice", Verdict.APPROVE)
        assert (await gated.post(url)).status == 404
        done = (await gated.post(order["url"])).json
        assert done["status"] == "valid"
        assert (await gated.post(done["certificate"])).status == 200

    async def test_the_expiry_of_an_order_is_not_that_of_its_certificate(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        order, certificate = await issued(server, client, "a.example.test")
        assert datetime.fromisoformat(order["expires"]) < certificate.not_valid_after_utc
        assert "notAfter" not in order


class TestChains:
    async def test_the_pem_is_strict_and_the_issuer_is_in_it(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """No blank line, no CR, no text between, a newline at the end, leaf first, at least two certificates."""
        await client.register()
        order, leaf = await issued(server, client, "a.example.test")
        body = (await client.post(order["certificate"])).body
        line = rb"[A-Za-z0-9+/]{64}\n"
        one = rb"-----BEGIN CERTIFICATE-----\n(%s)*[A-Za-z0-9+/=]{1,64}\n-----END CERTIFICATE-----\n" % line
        assert re.fullmatch(rb"(%s){2,}" % one, body)
        chain = x509.load_pem_x509_certificates(body)
        assert chain[0] == leaf
        for certificate, issuer in pairwise(chain):
            certificate.verify_directly_issued_by(issuer)


class TestNames:
    async def test_capitals_are_the_same_name(self, server: AcmeServer, client: AcmeClient) -> None:
        """In the order and in the request; what is answered and certified is in small letters."""
        await client.register()
        order = await ordered(server, client, "A.Example.TEST", "b.example.test")
        assert [i["value"] for i in order["identifiers"]] == ["a.example.test", "b.example.test"]
        done = await client.finalize(
            order, csr([x509.DNSName("a.EXAMPLE.test"), x509.DNSName("B.example.test")], "A.EXAMPLE.TEST")
        )
        assert done.json["status"] == "valid", done.json
        chain = (await client.post(done.json["certificate"])).body
        assert names_of(chain) == ["a.example.test", "b.example.test"]

    async def test_a_name_asked_for_twice_is_one_name(self, client: AcmeClient) -> None:
        await client.register()
        order = (await client.order("a.example.test", "A.example.test")).json
        assert len(order["identifiers"]) == len(order["authorizations"]) == 1

    async def test_a_name_in_the_common_name_alone_counts(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """RFC 8555 section 7.4: in the common name or among the alternative names, or both."""
        await client.register()
        order = await ordered(server, client, "a.example.test")
        done = await client.finalize(order, csr(None, "a.example.test"))
        assert done.json["status"] == "valid", done.json
        chain = (await client.post(done.json["certificate"])).body
        assert names_of(chain) == ["a.example.test"]

    async def test_an_address_in_the_common_name_counts_for_an_order_of_addresses(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        answer = await client.post(
            client.directory["newOrder"], {"identifiers": [{"type": "ip", "value": "127.0.0.1"}]}
        )
        await prove(server, client, answer.json)
        done = await client.finalize(answer.json, csr(None, "127.0.0.1"))
        assert done.json["status"] == "valid", done.json

    @pytest.mark.parametrize(
        "more",
        [
            [x509.DNSName("b.example.test")],
            [x509.DNSName("a")],
            [x509.IPAddress(ip_address("127.0.0.1"))],
            [x509.RFC822Name("a@example.test")],
            [x509.UniformResourceIdentifier("https://a.example.test/")],
            [x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]))],
            [x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01x")],
            [x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4"))],
        ],
        ids=lambda more: type(more[0]).__name__ + str(len(str(more))),
    )
    async def test_a_request_for_anything_more_is_refused_whatever_its_kind(
        self, server: AcmeServer, client: AcmeClient, more: list[x509.GeneralName]
    ) -> None:
        """Two-way equality: short hosts, addresses, mailboxes and unknown kinds do not slip through."""
        await client.register()
        order = await ordered(server, client, "a.example.test")
        refused = await client.finalize(order, csr([x509.DNSName("a.example.test"), *more]))
        assert (refused.status, refused.problem) == (400, "badCSR")
        # RFC 8555 section 7.4: the client may try again with another request.
        assert (await client.post(order["url"])).json["status"] == "ready"
        done = await client.finalize(order, make_csr("a.example.test"))
        assert done.json["status"] == "valid"

    async def test_a_request_for_less_is_refused_and_says_for_which_name(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        order = await ordered(server, client, "a.example.test", "b.example.test")
        refused = await client.finalize(order, make_csr("a.example.test"))
        assert refused.problem == "badCSR"
        (subproblem,) = refused.json["subproblems"]
        assert subproblem["identifier"] == {"type": "dns", "value": "b.example.test"}

    async def test_a_base_name_and_its_wildcard_are_two_proofs_at_one_place(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """Two authorizations, two tokens, two TXT values at one name: any of them may match."""
        await client.register()
        order = (await client.order("w.example.test", "*.w.example.test")).json
        assert len(order["authorizations"]) == 2
        challenges = [await client.challenge(url, "dns-01") for url in order["authorizations"]]
        for challenge in challenges:
            server.dns.zone.add_txt("_acme-challenge.w.example.test", client.dns_value(challenge))
        for challenge in challenges:
            assert (await client.post(challenge["url"], {})).json["status"] == "valid"
        names = ["w.example.test", "*.w.example.test"]
        done = await client.finalize(order, make_csr(*names))
        assert done.json["status"] == "valid", done.json
        assert set(names_of((await client.post(done.json["certificate"])).body)) == set(names)

    async def test_only_wildcards_say_that_they_are(self, client: AcmeClient) -> None:
        """RFC 8555 section 7.1.4 and erratum 6364: true there, and best absent everywhere else."""
        await client.register()
        order = (await client.order("w.example.test", "*.w.example.test")).json
        base, wildcard = [(await client.post(url)).json for url in order["authorizations"]]
        assert "wildcard" not in base
        assert wildcard["wildcard"] is True
        assert wildcard["identifier"] == {"type": "dns", "value": "w.example.test"}
        assert [one["type"] for one in wildcard["challenges"]] == ["dns-01"]

    async def test_an_alias_at_the_challenge_name_is_followed(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """Delegated zones for challenges hang on it."""
        await client.register()
        order = (await client.order("c.example.test")).json
        challenge = await client.challenge(order["authorizations"][0], "dns-01")
        zone = server.dns.zone
        zone.add("_acme-challenge.c.example.test", "CNAME", "one.example.test.")
        zone.add("one.example.test", "CNAME", "two.example.test.")
        zone.add_txt("two.example.test", "an old value")
        zone.add_txt("two.example.test", client.dns_value(challenge))
        assert (await client.post(challenge["url"], {})).json["status"] == "valid"

    async def test_an_address_sent_as_a_dns_name_is_malformed_not_a_failure(self, client: AcmeClient) -> None:
        """Older clients do that."""
        await client.register()
        for value in ("127.0.0.1", "::1"):
            answer = await client.order(value)
            assert (answer.status, answer.problem) == (400, "malformed")
            assert answer.json["subproblems"][0]["identifier"] == {"type": "dns", "value": value}


class TestErrors:
    async def test_an_invalid_order_says_why_for_each_name(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        made = await client.order("a.example.test", "b.example.test", "c.example.test")
        for url in made.json["authorizations"][:2]:
            challenge = await client.challenge(url)
            assert (await client.post(challenge["url"], {})).json["status"] == "invalid"
        await client.post(made.json["authorizations"][2], {"status": "deactivated"})
        error = (await client.post(made.headers["Location"])).json["error"]
        assert error["type"] == "urn:ietf:params:acme:error:unauthorized"
        assert error["status"] == 403
        found = {one["identifier"]["value"]: one["type"].rpartition(":")[2] for one in error["subproblems"]}
        assert found == {
            "a.example.test": "incorrectResponse",
            "b.example.test": "incorrectResponse",
            "c.example.test": "unauthorized",
        }
        assert all(one["detail"] for one in error["subproblems"])
        assert "status" not in error["subproblems"][0]

    async def test_with_one_reason_the_error_is_of_its_type(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        made = await client.order("a.example.test")
        server.dns.zone.fail("a.example.test", "SERVFAIL")
        challenge = await client.challenge(made.json["authorizations"][0])
        failed = (await client.post(challenge["url"], {})).json
        assert failed["error"]["type"] == "urn:ietf:params:acme:error:dns"
        order = (await client.post(made.headers["Location"])).json
        assert order["error"]["type"] == "urn:ietf:params:acme:error:dns"
        authorization = (await client.post(made.json["authorizations"][0])).json
        assert authorization["status"] == "invalid"
        assert authorization["challenges"] == [failed]

    async def test_refused_names_are_told_apart(self, server: AcmeServer, client: AcmeClient) -> None:
        """RFC 8555 section 6.7.1: so that a client can leave them out and order the rest."""
        await server.put_profile(
            profile("narrow", identifiers={"dns": {"suffixes": ["example.test"], "wildcards": False}})
        )
        await client.register()
        url = f"{server.url}/acme/narrow/new-order"
        wanted = ["a.example.test", "b.other.test", "*.example.test"]
        answer = await client.post(url, {"identifiers": [{"type": "dns", "value": name} for name in wanted]})
        assert (answer.status, answer.problem) == (403, "rejectedIdentifier")
        assert "identifier" not in answer.json
        assert {one["identifier"]["value"] for one in answer.json["subproblems"]} == set(wanted[1:])

    async def test_different_errors_are_a_compound(self, client: AcmeClient) -> None:
        await client.register()
        wanted: list[dict[str, Any]] = [
            {"type": "dns", "value": "a.example.test"},
            {"type": "dns", "value": "-.example.test"},
            {"type": "email", "value": "a@example.test"},
        ]
        answer = await client.post(client.directory["newOrder"], {"identifiers": wanted})
        assert (answer.status, answer.problem) == (400, "compound")
        kinds = {one["type"].rpartition(":")[2] for one in answer.json["subproblems"]}
        assert kinds == {"malformed", "unsupportedIdentifier"}

    async def test_a_request_in_pem_is_malformed_and_told_so(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        order = await ordered(server, client, "a.example.test")
        der = make_csr("a.example.test")
        pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.b64encode(der) + b"\n"
        for value in (pem.decode(), base64.b64encode(der).decode() + "=", b64(der) + "=="):
            answer = await client.post(order["finalize"], {"csr": value})
            assert (answer.status, answer.problem) == (400, "malformed")
            assert "DER" in answer.json["detail"]
        assert (await client.finalize(order, pem)).problem == "badCSR"
