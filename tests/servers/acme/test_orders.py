"""Orders: what they promise, when they end, who wins a race (RFC 8555 section 7.4)."""

import asyncio
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ca.csr import parse_csr
from policy import profile_changes, scheduler
from policy.profile_cache import ProfileCache, ProfileUnreadable
from policy.profiles import DEFAULT, GATED
from store import certificates
from store.ids import ProfileName
from store.records import Verdict
from tests.common.acme_client import AcmeClient, sign
from tests.common.acme_server import AcmeServer, make_acme_server
from tests.common.world import make_csr
from tests.servers.acme.signing import b64, compact
from tests.servers.acme.steps import another, bind, csr, issued, ordered, profile, prove, question, rows

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


def trusting(name: str, **rules: Any) -> Any:
    why = "only machines of the build network reach this server"
    return profile(name, acme={"mode": "trusted", "trusted_without_external_account": why} | rules)


async def drop(server: AcmeServer, name: str) -> None:

    world = server.world
    by = world.people["admin"].id
    await world.write(
        lambda tx: profile_changes.propose(tx, ProfileName(name), None, by, world.now, world.cache)
    )
