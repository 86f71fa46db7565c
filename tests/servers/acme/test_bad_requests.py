"""Certification requests that must not become certificates (RFC 8555 section 7.4): badCSR, and the order stays ready."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca import der
from ca.csr import parse_csr
from store import certificates
from tests.ca.factories import raw_request
from tests.common.acme_client import AcmeClient
from tests.common.acme_server import AcmeServer
from tests.common.world import make_csr
from tests.servers.acme.signing import b64, new_key
from tests.servers.acme.steps import RowCounter, issued, ordered, rows

NAME = "a.example.test"
SHA1 = der.sequence(der.oid("1.2.840.10045.4.1"))  # ecdsa-with-SHA1


def request(
    *extensions: tuple[x509.ExtensionType, bool], key: Any = None, subject: x509.Name | None = None
) -> bytes:
    """A request for NAME with more in it."""
    names = x509.SubjectAlternativeName([x509.DNSName(NAME)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject or x509.Name([]))
    for extension, critical in ((names, False), *extensions):
        builder = builder.add_extension(extension, critical)
    key = key or ec.generate_private_key(ec.SECP256R1())
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.DER)


def usage(**bits: bool) -> x509.KeyUsage:
    names = [
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ]
    return x509.KeyUsage(**{name: bits.get(name, False) for name in names})


def broken_signature() -> bytes:
    octets = bytearray(make_csr(NAME))
    octets[-1] ^= 1
    return bytes(octets)


def close_key() -> rsa.RSAPrivateKey:
    """An RSA key whose primes lie so close together that a square root finds them."""
    p = rsa.generate_private_key(65537, 2048).private_numbers().p
    q = p + 2
    while pow(2, q - 1, q) != 1 or (q - 1) % 65537 == 0:
        q += 2
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    inverses = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *inverses, public).private_key()


CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "octets that are no request": (lambda: b"nonsense", "request"),
    "nothing": (lambda: b"", "request"),
    "a request in PEM": (
        lambda: x509.load_der_x509_csr(make_csr(NAME)).public_bytes(Encoding.PEM),
        "request",
    ),
    "octets behind it": (lambda: make_csr(NAME) + b"\0", ""),
    "half a request": (lambda: make_csr(NAME)[:100], ""),
    "a signature that is wrong": (broken_signature, "not signed by the key"),
    "a signature with SHA-1": (lambda: raw_request(algorithm=SHA1), "SHA-1"),
    "a key of 1024 bits": (lambda: request(key=rsa.generate_private_key(65537, 1024)), "1024"),
    "a curve that is not offered": (lambda: request(key=ec.generate_private_key(ec.SECP256K1())), "key"),
    "a certificate of an authority": (
        lambda: request((x509.BasicConstraints(ca=True, path_length=None), True)),
        "CA:TRUE",
    ),
    "the usages of an authority": (
        lambda: request((usage(key_cert_sign=True, crl_sign=True), True)),
        "keyCertSign",
    ),
    "a purpose that the profile does not give": (
        lambda: request((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)),
        "codeSigning",
    ),
    "every purpose": (
        lambda: request((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)),
        "purpose",
    ),
    "an extension that nobody knows": (
        lambda: request((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), False)),
        "1.2.3.4",
    ),
    "a critical extension that nobody knows": (
        lambda: request((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)),
        "1.2.3.4",
    ),
    "name constraints": (
        lambda: request((x509.NameConstraints([x509.DNSName(NAME)], None), True)),
        "2.5.29.30",
    ),
    "another common name": (
        lambda: request(subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "b.example.test")])),
        "b.example.test",
    ),
    "no names at all": (make_csr, "without names"),
}


class TestRefused:
    @pytest.mark.parametrize("what", CASES)
    async def test_it_is_bad_and_says_what_is(
        self, server: AcmeServer, client: AcmeClient, fresh_url: str, what: str
    ) -> None:
        make, words = CASES[what]
        await client.register()
        order = await ordered(server, client, NAME)
        before = rows(fresh_url)
        answer = await client.finalize(order, make())
        assert (answer.status, answer.problem) == (400, "badCSR"), answer.body
        assert words in answer.json["detail"], answer.json["detail"]
        assert {**rows(fresh_url), "audit": 0} == {**before, "audit": 0}
        assert (await client.post(order["url"])).json["status"] == "ready"
        assert (await client.finalize(order, make_csr(NAME))).json["status"] == "valid"

    async def test_a_request_is_refused_for_everything_at_once(
        self, server: AcmeServer, client: AcmeClient
    ) -> None:
        await client.register()
        order = await ordered(server, client, NAME, "b.example.test")
        csr = request(
            (x509.BasicConstraints(ca=True, path_length=None), True),
            key=rsa.generate_private_key(65537, 1024),
        )
        answer = await client.finalize(order, csr)
        assert answer.problem == "badCSR"
        for words in ("b.example.test", "1024", "CA:TRUE"):
            assert words in answer.json["detail"]

    async def test_it_is_on_the_record(self, server: AcmeServer, client: AcmeClient, fresh_url: str) -> None:
        await client.register()
        order = await ordered(server, client, NAME)
        before = rows(fresh_url)["audit"]
        await client.finalize(order, make_csr("b.example.test"))
        assert rows(fresh_url)["audit"] == before + 1

    async def test_the_key_of_an_account(self, server: AcmeServer, client: AcmeClient) -> None:
        """RFC 8555 section 11.1: of this one, of any other, of one that was rolled over."""
        await client.register()
        other = await AcmeClient(client.session, client.directory_url, new_key("RS256")).start()
        await other.register()
        order = await ordered(server, client, NAME)
        for key in (client.key, other.key):
            answer = await client.finalize(order, make_csr(NAME, key=key.private))
            assert (answer.status, answer.problem) == (400, "badCSR")
            assert "account" in answer.json["detail"]

    async def test_a_key_that_is_blocked(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        key = new_key("ES256")
        _, certificate = await issued(server, client, "b.example.test", key=key.private)
        assert certificate.serial_number
        spki = parse_csr(make_csr(NAME, key=key.private)).spki_sha256.hex()
        by = server.world.people["admin"].id
        await server.world.write(
            lambda tx: certificates.block_key(tx, spki, "it was published", server.world.now, by)
        )
        order = await ordered(server, client, NAME)
        answer = await client.finalize(order, make_csr(NAME, key=key.private))
        assert answer.problem == "badCSR"
        assert "it was published" in answer.json["detail"]

    async def test_a_weak_key(self, server: AcmeServer, client: AcmeClient) -> None:
        """Two primes so close that a square root finds them."""
        await client.register()
        order = await ordered(server, client, NAME)
        answer = await client.finalize(order, request(key=close_key()))
        assert answer.problem == "badCSR"
        assert "close" in answer.json["detail"], answer.json["detail"]


class TestTaken:
    """What clients ask for that is harmless: answered by the profile, not refused."""

    @pytest.mark.parametrize(
        "extensions",
        [
            [(usage(digital_signature=True, key_encipherment=True), True)],
            [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)],
            [(x509.BasicConstraints(ca=False, path_length=None), True)],
            [(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)],
        ],
        ids=["usage", "purpose", "no authority", "must-staple"],
    )
    async def test_it_is_taken(self, server: AcmeServer, client: AcmeClient, extensions: list[Any]) -> None:
        await client.register()
        order = await ordered(server, client, NAME)
        done = await client.finalize(order, request(*extensions))
        assert done.json["status"] == "valid", done.json

    async def test_names_in_the_subject_are_not_copied(self, server: AcmeServer, client: AcmeClient) -> None:
        await client.register()
        order = await ordered(server, client, NAME)
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, NAME),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Somebody Else"),
            ]
        )
        done = await client.finalize(order, request(subject=subject))
        leaf = x509.load_pem_x509_certificates((await client.post(done.json["certificate"])).body)[0]
        assert "Somebody Else" not in leaf.subject.rfc4514_string()


@pytest.fixture
async def in_hand(server: AcmeServer, client: AcmeClient) -> dict[str, Any]:
    await client.register()
    return await ordered(server, client, NAME)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_a_bent_request_is_bad(
    client: AcmeClient, in_hand: dict[str, Any], fresh_url: str, data: st.DataObject
) -> None:
    octets = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(octets) - 1))
        match data.draw(st.sampled_from(["bit", "cut", "drop", "add"])):
            case "bit":
                octets[where] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del octets[where:]
            case "drop":
                del octets[where]
            case "add":
                octets[where:where] = data.draw(st.binary(min_size=1, max_size=4))
        if not octets:
            octets = bytearray(b"\0")
    if bytes(octets) == GOOD:
        return
    with RowCounter(fresh_url) as counter:
        before = dict(counter.rows())
        answer = await client.post(in_hand["finalize"], {"csr": b64(bytes(octets))})
        assert (answer.status, answer.problem) == (400, "badCSR"), answer.body
        assert {**counter.rows(), "audit": 0} == {**before, "audit": 0}


GOOD = make_csr(NAME)
