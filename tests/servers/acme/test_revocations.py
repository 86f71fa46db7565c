"""Revocation over ACME (RFC 8555 section 7.6)."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from policy.revocation import ALLOWED
from store import certificates
from store.records import Certificate
from tests.common.acme_client import AcmeClient, Answer
from tests.common.acme_server import AcmeServer
from tests.common.world import make_csr
from tests.servers.acme.signing import ALGORITHMS, b64, new_key
from tests.servers.acme.steps import another, issued, ordered, rows


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


async def revoke(client: AcmeClient, certificate: x509.Certificate, **fields: Any) -> Answer:
    how = {name: fields.pop(name) for name in ("jwk", "key", "kid") if name in fields}
    payload = {"certificate": b64(der(certificate))} | fields
    return await client.post(client.directory["revokeCert"], payload, **how)


async def stored(server: AcmeServer, certificate: x509.Certificate) -> Certificate:
    digest = sha256(der(certificate)).hexdigest()
    found = await server.world.database.read(lambda tx: certificates.with_digest(tx, digest))
    assert found is not None
    return found


class TestByAccount:
    async def test_that_ordered_it(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        _, certificate = await issued(server, client, "a.example.test")
        answer = await revoke(client, certificate)
        assert (answer.status, answer.body) == (200, b"")
        found = await stored(server, certificate)
        assert (found.revoked_at, found.revocation_reason) == (server.world.now, 0)

    @pytest.mark.parametrize("reason", sorted(ALLOWED))
    async def test_for_a_reason(self, server: AcmeServer, client: AcmeClient, reason: int) -> None:
        await client.register()
        _, certificate = await issued(server, client, "a.example.test")
        assert (await revoke(client, certificate, reason=int(reason))).status == 200
        assert (await stored(server, certificate)).revocation_reason == reason

    async def test_not_for_others(self, server: AcmeServer, client: AcmeClient) -> None:
        """Those for authorities and holds, numbers never assigned, what is no number; the answer lists the rest."""
        await client.register()
        _, certificate = await issued(server, client, "a.example.test")
        reasons: tuple[Any, ...] = (2, 6, 7, 8, 10, 11, -1, 2**62, 1.0, "1", True, None, [], {})
        for reason in reasons:
            answer = await revoke(client, certificate, reason=reason)
            assert (answer.status, answer.problem) == (400, "badRevocationReason"), reason
            assert "0, 1, 3, 4, 5, 9" in answer.json["detail"] or "RFC 5280" in answer.json["detail"]
        assert (await stored(server, certificate)).revoked_at is None

    async def test_only_once(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        _, certificate = await issued(server, client, "a.example.test")
        await revoke(client, certificate, reason=4)
        answer = await revoke(client, certificate, reason=1)
        assert (answer.status, answer.problem) == (400, "alreadyRevoked")
        assert (await stored(server, certificate)).revocation_reason == 4

    async def test_that_holds_all_its_names_today(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        _, certificate = await issued(server, client, "a.example.test", "b.example.test")
        other = await another(server, client)
        await other.register()
        for names in ((), ("a.example.test",)):
            if names:
                await ordered(server, other, *names)
            answer = await revoke(other, certificate)
            assert (answer.status, answer.problem) == (403, "unauthorized")
        await ordered(server, other, "b.example.test")
        server.world.pass_time(days=8)
        client.nonce = other.nonce = None
        assert (await revoke(other, certificate)).problem == "unauthorized"  # it held them last week
        await ordered(server, other, "a.example.test", "b.example.test")
        # Blocking a key for good is for those who have it, or who brought it.
        answer = await revoke(other, certificate, reason=1)
        assert (answer.status, answer.problem) == (400, "badRevocationReason")
        assert (await revoke(other, certificate, reason=4)).status == 200
        found = await stored(server, certificate)
        assert found.revocation_reason == 4
        assert found.revoked_by != found.principal_id

    async def test_a_wildcard_is_held_by_its_own_proof(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        order = (await client.order("*.w.example.test")).json
        await prove_by_dns(server, client, order)
        done = await client.finalize(order, make_csr("*.w.example.test"))
        chain = await client.post(done.json["certificate"])
        certificate = x509.load_pem_x509_certificates(chain.body)[0]
        other = await another(server, client)
        await other.register()
        await ordered(server, other, "w.example.test")
        assert (await revoke(other, certificate)).problem == "unauthorized"
        await prove_by_dns(server, other, (await other.order("*.w.example.test")).json)
        assert (await revoke(other, certificate)).status == 200

    async def test_the_account_key_as_jwk_revokes_nothing(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        """Jwk speaks for the certificate's key alone: clients that mix the two up are told."""
        await client.register()
        _, certificate = await issued(server, client, "a.example.test")
        answer = await revoke(client, certificate, jwk=True)
        assert (answer.status, answer.problem) == (403, "unauthorized")
        assert "kid" in answer.json["detail"]
        assert (await stored(server, certificate)).revoked_at is None


class TestByKey:
    @pytest.mark.parametrize("alg", ALGORITHMS)
    async def test_of_the_certificate(self, server: AcmeServer, client: AcmeClient, alg: str) -> None:
        """Whoever has it, account or not."""
        await client.register()
        key = new_key(alg)
        csr = make_csr("a.example.test", key=key.private) if alg != "EdDSA" else ed25519_csr(key.private)
        order = await ordered(server, client, "a.example.test")
        done = await client.finalize(order, csr)
        chain = await client.post(done.json["certificate"])
        certificate = x509.load_pem_x509_certificates(chain.body)[0]
        finder = await another(server, client)
        answer = await revoke(finder, certificate, jwk=True, key=key, reason=1)
        assert (answer.status, answer.body) == (200, b"")
        found = await stored(server, certificate)
        assert (found.revocation_reason, found.revoked_by) == (1, found.principal_id)

    async def test_of_another_certificate(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        first, second = new_key("ES256"), new_key("ES256")
        await issued(server, client, "a.example.test", key=first.private)
        _, certificate = await issued(server, client, "b.example.test", key=second.private)
        answer = await revoke(client, certificate, jwk=True, key=first)
        assert (answer.status, answer.problem) == (403, "unauthorized")

    async def test_a_compromised_key_is_never_certified_again(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        key = new_key("ES256")
        _, certificate = await issued(server, client, "a.example.test", key=key.private)
        await revoke(client, certificate, jwk=True, key=key, reason=1)
        order = await ordered(server, client, "b.example.test")
        answer = await client.finalize(order, make_csr("b.example.test", key=key.private))
        assert (answer.status, answer.problem) == (400, "badCSR")
        assert "revoked as compromised" in answer.json["detail"]

    async def test_with_jwk_and_no_account_it_works_after_the_account_ended(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        key = new_key("ES256")
        _, certificate = await issued(server, client, "a.example.test", key=key.private)
        await client.post(str(client.kid), {"status": "deactivated"})
        assert (await revoke(client, certificate)).status == 401
        assert (await revoke(client, certificate, jwk=True, key=key)).status == 200


class TestOther:
    async def test_a_certificate_of_somebody_else(
        self, server: AcmeServer, client: AcmeClient, fresh_url: str
    ) -> None:
        await client.register()
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([])
        now = datetime(2026, 1, 1, tzinfo=UTC)
        foreign = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(7)
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        before = rows(fresh_url)
        for certificate in (foreign, server.world.issuer.certificate):
            answer = await revoke(client, certificate)
            assert (answer.status, answer.problem) == (404, "malformed")
        assert rows(fresh_url) == before

    async def test_what_is_no_certificate(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        _, certificate = await issued(server, client, "a.example.test")
        good = der(certificate)
        values: tuple[Any, ...] = (
            None,
            7,
            [],
            "",
            "AAAA",
            "not base64!",
            b64(good) + "=",
            b64(good[:-1]),
            b64(good + b"\0"),
            b64(certificate.public_bytes(Encoding.PEM)),
            certificate.public_bytes(Encoding.PEM).decode(),
            b64(make_csr("a.example.test")),
            "A" * 44_000,
        )
        for value in values:
            answer = await client.post(client.directory["revokeCert"], {"certificate": value})
            assert (answer.status, answer.problem) in ((400, "malformed"), (404, "malformed")), str(value)[
                :40
            ]
        assert (await client.post(client.directory["revokeCert"], {})).problem == "malformed"
        assert (await stored(server, certificate)).revoked_at is None


async def prove_by_dns(server: AcmeServer, client: AcmeClient, order: dict[str, Any]) -> None:
    for url in order["authorizations"]:
        challenge = await client.challenge(url, "dns-01")
        server.dns.zone.add_txt("_acme-challenge.w.example.test", client.dns_value(challenge))
        assert (await client.post(challenge["url"], {})).json["status"] == "valid"


def ed25519_csr(key: Any) -> bytes:
    names = x509.SubjectAlternativeName([x509.DNSName("a.example.test")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.add_extension(names, critical=False).sign(key, None).public_bytes(Encoding.DER)
