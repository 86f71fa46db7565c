"""Orders: what they promise, when they end, who wins a race (RFC 8555 section 7.4)."""

import asyncio
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ca.csr import parse_csr
from policy import scheduler
from policy.profiles import DEFAULT, GATED
from store import certificates
from store.records import Verdict
from tests.common.acme_client import AcmeClient, sign
from tests.common.acme_server import AcmeServer, make_acme_server
from tests.common.world import make_csr
from tests.servers.acme.signing import b64, compact
from tests.servers.acme.steps import another, csr, issued, ordered, profile, prove, question, rows

WEEK = DEFAULT.acme.order_lifetime


def moment(server: AcmeServer, **later: float) -> str:
    at = datetime.fromtimestamp(server.world.now / 1000, UTC) + timedelta(**later)
    return at.isoformat().replace("+00:00", "Z")


def deactivate() -> dict[str, str]:
    return {"status": "deactivated"}


class TestObject:
    """RFC 8555 section 7.1.3."""

    async def test_a_new_order_reflects_what_was_asked(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        answer = await client.order("a.example.test", "b.example.test")
        url = answer.headers["Location"]
        assert answer.json == {
            "status": "pending",
            "expires": moment(server, seconds=WEEK.total_seconds()),
            "identifiers": [
                {"type": "dns", "value": "a.example.test"},
                {"type": "dns", "value": "b.example.test"},
            ],
            "authorizations": answer.json["authorizations"],
            "finalize": f"{url}/finalize",
        }
        assert len(set(answer.json["authorizations"])) == 2
        assert (await client.post(url)).json == answer.json

    async def test_its_lists_never_change(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        order, _ = await issued(server, client, "b.example.test", "a.example.test")
        seen = (await client.post(order["url"])).json
        assert [one["value"] for one in seen["identifiers"]] == ["b.example.test", "a.example.test"]
        assert seen["authorizations"] == order["authorizations"]

    async def test_it_goes_through_its_states(self, server: AcmeServer, gated: AcmeClient) -> None:
        """RFC 8555 section 7.1.6: pending, ready, processing, valid; the error member in no good state."""
        made = await gated.order("a.example.test")
        url = made.headers["Location"]
        seen = [made.json]
        await prove(server, gated, made.json)
        seen.append((await gated.post(url)).json)
        seen.append((await gated.finalize(made.json, make_csr("a.example.test"))).json)
        await server.world.decide(await question(server), "alice", Verdict.APPROVE)
        seen.append((await gated.post(url)).json)
        assert [one["status"] for one in seen] == ["pending", "ready", "processing", "valid"]
        assert all("expires" in one and "error" not in one for one in seen)
        assert ["certificate" in one for one in seen] == [False, False, False, True]

    async def test_only_its_owner_sees_it(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        order, _ = await issued(server, client, "a.example.test")
        stranger = await another(server, client)
        await stranger.register()
        authorization = order["authorizations"][0]
        challenge = (await client.post(authorization)).json["challenges"][0]["url"]
        for url, payload in (
            (order["url"], None),
            (order["finalize"], {"csr": b64(make_csr("a.example.test"))}),
            (order["finalize"], {"csr": "AAAA"}),
            (order["certificate"], None),
            (authorization, None),
            (authorization, deactivate()),
            (challenge, None),
            (challenge, {}),
        ):
            answer = await stranger.post(url, payload)
            assert (answer.status, answer.problem) == (403, "unauthorized"), url

    async def test_what_is_not_there_is_not_found(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        request = {"csr": b64(make_csr("a.example.test"))}
        for path, payload in (
            ("order/0", None),
            ("order/0/finalize", request),
            ("order/0/finalize", {"csr": "AAAA"}),
            ("cert/0", None),
            ("authz/0", None),
            ("authz/0", deactivate()),
            ("chall/0/http-01", None),
            ("chall/0/http-01", {}),
            ("order/zz", None),
            ("order/%00", None),
            ("order/" + "0" * 65, None),
            ("nothing", None),
        ):
            answer = await client.post(f"{server.url}/acme/{path}", payload)
            assert (answer.status, answer.problem) == (404, "malformed"), path
        order = await client.order("a.example.test")
        authorization = order.json["authorizations"][0]
        for method in ("http", "01", "-", "tls-sni-01", "dns-account-01"):
            url = authorization.replace("/authz/", "/chall/") + f"/{method}"
            for payload in (None, {}):
                answer = await client.post(url, payload)
                assert (answer.status, answer.problem) == (404, "malformed"), method


class TestDates:
    """notBefore and notAfter (RFC 8555 section 7.4)."""

    async def test_wishes_within_the_profile_are_granted(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        wanted = {"notBefore": moment(server, hours=1), "notAfter": moment(server, days=2)}
        answer = await client.order("a.example.test", **wanted)
        assert {name: answer.json[name] for name in wanted} == wanted
        await prove(server, client, answer.json)
        done = await client.finalize(answer.json, make_csr("a.example.test"))
        (leaf, _) = x509.load_pem_x509_certificates((await client.post(done.json["certificate"])).body)
        assert leaf.not_valid_before_utc == datetime.fromisoformat(wanted["notBefore"])
        assert leaf.not_valid_after_utc == datetime.fromisoformat(wanted["notAfter"])

    async def test_any_offset_names_the_same_moment(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        at = datetime.fromtimestamp(server.world.now / 1000, UTC) + timedelta(days=1)
        for text in (
            at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            at.strftime("%Y-%m-%dt%H:%M:%Sz"),
            at.strftime("%Y-%m-%dT%H:%M:%S.000+00:00"),
            (at + timedelta(hours=4)).strftime("%Y-%m-%dT%H:%M:%S+04:00"),
        ):
            answer = await client.order("a.example.test", notAfter=text)
            assert answer.json["notAfter"] == at.strftime("%Y-%m-%dT%H:%M:%SZ"), answer.body

    async def test_wishes_beyond_it_are_refused(
        self, server: AcmeServer, client: AcmeClient, fresh_url: str
    ) -> None:
        """Never a certificate with other dates than those that were asked for."""
        await client.register()
        before = rows(fresh_url)
        for wanted in (
            {"notAfter": moment(server, days=10_000)},
            {"notAfter": moment(server, seconds=-1)},
            {"notBefore": moment(server, days=-30)},
            {"notBefore": moment(server, days=10_000)},
            {"notBefore": moment(server, days=2), "notAfter": moment(server, days=1)},
        ):
            answer = await client.order("a.example.test", **wanted)
            assert (answer.status, answer.problem) == (400, "malformed"), wanted
            assert "not" in answer.json["detail"]
        assert rows(fresh_url) == before

    async def test_what_is_no_date_is_malformed(self, client: AcmeClient) -> None:
        await client.register()
        values: tuple[Any, ...] = (
            "",
            "tomorrow",
            "2026-11-26",
            "2026-11-26T12:00:00",
            "2026-13-26T12:00:00Z",
            "0000-00-00T00:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59",
            "2026-11-26T12:00:00+99:99",
            "2026-W48-4T12:00:00Z",
            "20261126T120000Z",
            "2026-11-26 12:00:00Z",
            1795694400,
            [],
            {},
            True,
        )
        for value in values:
            for name in ("notBefore", "notAfter"):
                answer = await client.order("a.example.test", **{name: value})
                assert (answer.status, answer.problem) == (400, "malformed"), value


class TestEnd:
    async def test_an_order_that_was_not_finalized_in_time(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        pending = (await client.order("a.example.test")).headers["Location"]
        ready = await ordered(server, client, "b.example.test")
        server.world.pass_time(seconds=WEEK.total_seconds() - 1)
        client.nonce = None
        assert (await client.post(pending)).json["status"] == "pending"
        assert (await client.post(ready["url"])).json["status"] == "ready"
        server.world.pass_time(seconds=1)
        for url in (pending, ready["url"]):
            seen = (await client.post(url)).json
            assert seen["status"] == "invalid"
            assert "not finalized in time" in seen["error"]["detail"]
            authorization = (await client.post(seen["authorizations"][0])).json
            assert authorization["status"] == "expired"
        answer = await client.finalize(ready, make_csr("b.example.test"))
        assert (answer.status, answer.problem) == (403, "orderNotReady")

    async def test_a_valid_one_stays_valid(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        order, _ = await issued(server, client, "a.example.test")
        server.world.pass_time(days=30)
        client.nonce = None
        assert (await client.post(order["url"])).json["status"] == "valid"
        assert (await client.post(order["certificate"])).status == 200

    async def test_one_that_was_approved_can_be_collected_until_its_window_closes(
        self, server: AcmeServer, gated: AcmeClient
    ) -> None:
        """Later than the order itself would have lived: `expires` says until when."""
        order = await ordered(server, gated, "a.example.test")
        await gated.finalize(order, make_csr("a.example.test"))
        server.world.pass_time(days=6)
        await server.world.decide(await question(server), "alice", Verdict.APPROVE)
        assert GATED.approval is not None
        window = GATED.approval.reuse_window
        server.world.pass_time(seconds=window.total_seconds() - 1)
        gated.nonce = None
        assert server.world.now / 1000 > datetime.fromisoformat(order["expires"]).timestamp()
        assert (await gated.post(order["url"])).json["status"] == "valid"

    async def test_one_that_was_approved_and_never_collected(
        self, server: AcmeServer, gated: AcmeClient, fresh_url: str
    ) -> None:
        order = await ordered(server, gated, "a.example.test")
        await gated.finalize(order, make_csr("a.example.test"))
        await server.world.decide(await question(server), "alice", Verdict.APPROVE)
        assert GATED.approval is not None
        server.world.pass_time(seconds=GATED.approval.reuse_window.total_seconds())
        gated.nonce = None
        for _ in range(2):
            seen = (await gated.post(order["url"])).json
            assert seen["status"] == "invalid"
            assert (
                "not collected" in seen["error"]["detail"] or "did not come back" in seen["error"]["detail"]
            )
            await scheduler.tick(server.world.database, server.world.now)
        assert rows(fresh_url)["certificates"] == 0


class TestFinalize:
    async def test_only_a_ready_order_can_be_finalized(self, server: AcmeServer, client: AcmeClient) -> None:
        """Whatever is sent to it: not a word about the request where the order is the trouble."""
        await client.register()
        pending = (await client.order("a.example.test")).json
        valid, _ = await issued(server, client, "b.example.test")
        dead = (await client.order("c.example.test")).json
        await client.post(dead["authorizations"][0], deactivate())
        for order in (pending, valid, dead):
            for der in (make_csr("a.example.test"), b"", b"nonsense"):
                answer = await client.finalize(order, der)
                assert (answer.status, answer.problem) == (403, "orderNotReady")

    async def test_of_two_at_the_same_moment_one_wins(
        self, server: AcmeServer, client: AcmeClient, fresh_url: str
    ) -> None:
        await client.register()
        order = await ordered(server, client, "a.example.test")
        before = rows(fresh_url)
        bodies = []
        for _ in range(6):
            header = {
                "alg": client.key.alg,
                "kid": client.kid,
                "url": order["finalize"],
                "nonce": await client.fresh_nonce(),
            }
            payload = compact({"csr": b64(make_csr("a.example.test"))})
            bodies.append(sign(client.key, header, payload))
        answers = await asyncio.gather(*[client.send(order["finalize"], body) for body in bodies])
        assert sorted(answer.status for answer in answers) == [200] + [403] * 5
        (won,) = [answer for answer in answers if answer.status == 200]
        assert won.json["status"] == "valid"
        assert all(answer.problem == "orderNotReady" for answer in answers if answer is not won)
        added = {table: count - before[table] for table, count in rows(fresh_url).items()}
        assert (added["requests"], added["jobs"], added["certificates"]) == (1, 1, 1)

    async def test_of_two_gated_ones_nobody_is_asked_twice(
        self, server: AcmeServer, gated: AcmeClient, fresh_url: str
    ) -> None:
        order = await ordered(server, gated, "a.example.test")
        bodies = []
        for _ in range(3):
            header = {
                "alg": gated.key.alg,
                "kid": gated.kid,
                "url": order["finalize"],
                "nonce": await gated.fresh_nonce(),
            }
            bodies.append(sign(gated.key, header, compact({"csr": b64(make_csr("a.example.test"))})))
        answers = await asyncio.gather(*[gated.send(order["finalize"], body) for body in bodies])
        assert sorted(answer.status for answer in answers) == [200, 403, 403]
        assert rows(fresh_url)["approvals"] == 1

    async def test_a_slow_worker_leaves_it_processing_and_the_client_collects(
        self, fresh_url: str, session: Any, events: object
    ) -> None:

        async with make_acme_server(fresh_url, worker=False, issuance_wait=0.05) as server:
            client = await AcmeClient(session, server.directory).start()
            await client.register()
            order = await ordered(server, client, "a.example.test")
            done = await client.finalize(order, make_csr("a.example.test"))
            assert done.json["status"] == "processing"
            assert "Retry-After" in done.headers
            # Past its own end it is still being worked on, and says no date that it would not keep.
            server.world.pass_time(days=8)
            client.nonce = None
            late = await client.post(order["url"])
            assert late.json["status"] == "processing"
            assert "expires" not in late.json
            server.start_worker()
            for _ in range(100):
                seen = (await client.post(order["url"])).json
                if seen["status"] == "valid":
                    break
                await asyncio.sleep(0.02)
            assert seen["status"] == "valid"

    async def test_what_cannot_be_issued_makes_the_order_invalid(
        self, fresh_url: str, session: Any, events: object
    ) -> None:
        """A key that is blocked while the job waits."""
        async with make_acme_server(fresh_url, worker=False, issuance_wait=0.01) as server:
            client = await AcmeClient(session, server.directory).start()
            await client.register()
            order = await ordered(server, client, "a.example.test")
            key = ec.generate_private_key(ec.SECP256R1())
            await client.finalize(order, make_csr("a.example.test", key=key))

            spki = parse_csr(make_csr("a.example.test", key=key)).spki_sha256.hex()
            by = server.world.people["admin"].id
            await server.world.write(
                lambda tx: certificates.block_key(tx, spki, "it was found", server.world.now, by)
            )
            await server.world.worker.turn()
            seen = (await client.post(order["url"])).json
            assert seen["status"] == "invalid"
            assert seen["error"]["type"].endswith(":serverInternal")
            assert "it was found" in seen["error"]["detail"]


class TestAddresses:
    """RFC 8738."""

    async def test_both_families_in_one_order(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        wanted = [{"type": "ip", "value": "127.0.0.1"}, {"type": "dns", "value": "a.example.test"}]
        order = (await client.post(client.directory["newOrder"], {"identifiers": wanted})).json
        assert order["identifiers"] == wanted
        address, name = [(await client.post(url)).json for url in order["authorizations"]]
        assert address["identifier"] == wanted[0]
        assert [one["type"] for one in address["challenges"]] == ["http-01", "tls-alpn-01"]
        assert [one["type"] for one in name["challenges"]] == ["http-01", "dns-01", "tls-alpn-01"]
        await prove(server, client, order)
        assert {"host": f"127.0.0.1:{server.http01.port}"}.items() <= server.http01.requests[
            0
        ].headers.items()

        names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("a.example.test")]
        done = await client.finalize(order, csr(names))
        assert done.json["status"] == "valid", done.json
        leaf = x509.load_pem_x509_certificates((await client.post(done.json["certificate"])).body)[0]
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert san.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]

    async def test_one_spelling_each(self, client: AcmeClient) -> None:
        """RFC 8738 section 3: the text of RFC 5952."""
        await client.register()
        fields = {"identifiers": [{"type": "ip", "value": "2001:DB8:0:0:0:0:0:1"}]}
        order = (await client.post(client.directory["newOrder"], fields)).json
        assert order["identifiers"] == [{"type": "ip", "value": "2001:db8::1"}]

    async def test_what_is_no_address(self, client: AcmeClient) -> None:
        await client.register()
        for value in (
            "",
            "a.example.test",
            "127.0.0.1/32",
            "127.0.0.1:80",
            "[::1]",
            "fe80::1%eth0",
            "127.1",
            "0x7f.0.0.1",
            "::ffff:127.0.0.1",
            "*.0.0.1",
        ):
            answer = await client.post(
                client.directory["newOrder"], {"identifiers": [{"type": "ip", "value": value}]}
            )
            assert (answer.status, answer.problem) == (400, "malformed"), value


class TestProvable:
    async def test_a_name_that_no_challenge_of_the_profile_proves_is_refused_at_once(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """Rather than an authorization without challenges that stays pending for ever."""
        await server.put_profile(profile("web", acme={"challenges": ["http-01", "tls-alpn-01"]}))
        await server.put_profile(profile("zone", acme={"challenges": ["dns-01"]}))
        await client.register()
        for name, identifier in (
            ("web", {"type": "dns", "value": "*.example.test"}),
            ("zone", {"type": "ip", "value": "127.0.0.1"}),
        ):
            answer = await client.post(f"{server.url}/acme/{name}/new-order", {"identifiers": [identifier]})
            assert (answer.status, answer.problem) == (403, "rejectedIdentifier")
            assert answer.json["subproblems"][0]["identifier"] == identifier
