"""What is read from a request, and the words in which one is refused."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ca import der
from ca.csr import CsrRefused, parse_csr
from ca.csr import request as request_module
from ca.keys import KeyAlgorithm, KeyDescription, subject_public_key_info
from ca.names import parse_identifier
from tests.ca.factories import (
    common_name,
    dns,
    key,
    make_request,
    private,
    raw_name,
    raw_request,
    raw_san,
    spki,
)

BITS = {
    KeyAlgorithm.RSA: 2048,
    KeyAlgorithm.P256: 256,
    KeyAlgorithm.P384: 384,
    KeyAlgorithm.P521: 521,
    KeyAlgorithm.ED25519: 256,
    KeyAlgorithm.ML_DSA_44: 10496,
    KeyAlgorithm.ML_DSA_65: 15616,
    KeyAlgorithm.ML_DSA_87: 20736,
}


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_every_kind_of_key(algorithm: KeyAlgorithm) -> None:
    data = make_request("a.example", algorithm=algorithm)
    request = parse_csr(data)
    public_key = key(algorithm, "subscriber").public_key
    assert request.der == data
    assert request.key == KeyDescription(algorithm, BITS[algorithm])
    assert request.public_key == public_key
    assert request.spki == subject_public_key_info(public_key)
    assert len(request.spki_sha256) == 32
    assert request.identifiers == request.san == frozenset(dns("a.example"))


def test_a_request_without_wishes() -> None:
    request = parse_csr(make_request())
    assert request.identifiers == request.san == frozenset()
    assert request.extensions == frozenset()
    assert (request.common_name, request.other_names) == (None, ())
    assert (request.key_usage, request.extended_key_usage) == (None, None)
    assert not request.must_staple
    assert not request.basic_constraints_ca
    assert request.subject == x509.Name([])


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("A.example.COM", "dns:a.example.com"),
        ("*.example.com", "dns:*.example.com"),
        ("nas", "dns:nas"),
        ("192.0.2.1", "ip:192.0.2.1"),
        ("2001:DB8::1", "ip:2001:db8::1"),
        ("Jo Doe", None),
        ("a_b.example.com", None),
        ("SN 4711", None),
        ("4711", None),
        ("jo@example.com", None),
    ],
)
def test_a_common_name_counts_where_it_is_a_name(text: str, identifier: str | None) -> None:
    request = parse_csr(make_request("b.example", subject=common_name(text)))
    counted = {str(name) for name in request.identifiers - request.san}
    assert counted == ({identifier} if identifier else set())
    assert request.common_name == text


def test_a_common_name_in_an_old_string_type() -> None:
    request = parse_csr(raw_request(raw_name(0x1E, "A.example".encode("utf-16-be"))))
    assert request.identifiers == frozenset(dns("a.example"))
    assert request.subject == common_name("A.example")


def test_the_subject_of_a_request_is_written_anew() -> None:
    request = parse_csr(raw_request(raw_name(0x14, b"Z\xfcrich", "2.5.4.7")))
    assert request.subject.get_attributes_for_oid(NameOID.LOCALITY_NAME)[0].value == "Zürich"


def refused(data: bytes) -> str:
    with pytest.raises(CsrRefused) as info:
        parse_csr(data)
    assert info.value.reason == str(info.value)
    return info.value.reason


def test_octets_behind_the_request() -> None:
    assert "not a certification request" in refused(make_request() + b"\x00")


def test_a_request_is_bounded() -> None:
    assert "65536 octets" in refused(bytes(65537))
    many = raw_san(*[der.tlv(0x82, b"n%d" % number) for number in range(1001)])
    assert "1000 names" in refused(raw_request(attributes=many))


def test_a_signature_by_another_key() -> None:
    data = raw_request(signing_key=private(KeyAlgorithm.P256, "other"))
    assert "not signed by the key" in refused(data)


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_a_changed_request(algorithm: KeyAlgorithm) -> None:
    data = make_request("a.example", algorithm=algorithm)
    assert "not signed by the key" in refused(data.replace(b"a.example", b"b.example"))


def test_an_algorithm_of_another_kind_of_key() -> None:
    for other in ("1.2.840.113549.1.1.11", "1.3.101.112", "2.16.840.1.101.3.4.3.17"):
        reason = refused(raw_request(algorithm=der.sequence(der.oid(other))))
        assert "not supported" in reason or "not signed" in reason


@pytest.mark.parametrize("parameters", [b"", der.NULL])
@pytest.mark.parametrize(
    ("dotted", "name"),
    [("1.2.840.113549.1.1.5", "SHA-1"), ("1.2.840.113549.1.1.4", "MD5"), ("1.2.840.10045.4.1", "SHA-1")],
)
def test_broken_hashes_are_named(dotted: str, name: str, parameters: bytes) -> None:
    reason = refused(raw_request(algorithm=der.sequence(der.oid(dotted), parameters)))
    assert f"signed with {name}," in reason


def test_sha1_as_openssl_makes_it(tmp_path: Path) -> None:
    command = (
        "openssl req -new -newkey rsa:2048 -nodes -sha1 -subj /CN=a.example -outform DER -keyout k -out r"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    assert "signed with SHA-1" in refused((tmp_path / "r").read_bytes())


def test_sha224_is_too_short() -> None:
    data = raw_request(algorithm=der.sequence(der.oid("1.2.840.10045.4.3.1")), digest=hashes.SHA224())
    assert "SHA224" in refused(data)


def test_sha3_is_read() -> None:
    data = raw_request(algorithm=der.sequence(der.oid("2.16.840.1.101.3.4.3.10")), digest=hashes.SHA3_256())
    assert parse_csr(data).key.algorithm is KeyAlgorithm.P256


def test_pss_signatures_by_an_ordinary_rsa_key() -> None:
    rsa_key = private(KeyAlgorithm.RSA, "subscriber")
    assert isinstance(rsa_key, rsa.RSAPrivateKey)
    builder = x509.CertificateSigningRequestBuilder().subject_name(common_name("a.example"))
    for digest in (hashes.SHA256(), hashes.SHA384()):
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        data = builder.sign(rsa_key, digest, rsa_padding=pss).public_bytes(Encoding.DER)
        assert parse_csr(data).identifiers == frozenset(dns("a.example"))


def _with_key(spki_der: bytes) -> str:
    return refused(raw_request(spki_der=spki_der))


def test_a_compressed_point() -> None:
    public_key = key(KeyAlgorithm.P256, "subscriber").public_key
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    point = public_key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7"))
    assert "uncompressed" in _with_key(der.sequence(algorithm, der.bit_string(point)))


def test_a_point_off_its_curve() -> None:
    off = spki()[:-1] + bytes((spki()[-1] ^ 1,))
    assert "not valid" in _with_key(off)


def test_keys_of_other_kinds_and_other_spellings() -> None:
    brainpool = ec.generate_private_key(ec.BrainpoolP256R1()).public_key()
    dsa_key = dsa.generate_private_key(1024).public_key()
    for public_key in (brainpool, dsa_key):
        encoded = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert "not supported" in _with_key(encoded)
    no_null = spki(KeyAlgorithm.RSA).replace(der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL), b"")
    inner = no_null[no_null.index(b"\x03\x82\x01\x0f") :]
    assert "not supported" in _with_key(der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1")), inner))
    assert "not supported" in _with_key(der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.10")), inner))


def _rsa_spki(modulus: int, exponent: int) -> bytes:
    body = der.sequence(der.integer(modulus), der.integer(exponent))
    return der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL), der.bit_string(body))


@pytest.mark.parametrize(
    ("modulus", "exponent"),
    [(2**1022 + 1, 65537), (2**8192 + 1, 65537), (2**2047 + 1, 2**64 + 1), (0, 3), (1, 1), (2**2047 + 1, 0)],
)
def test_rsa_keys_that_cost_too_much_or_are_none(modulus: int, exponent: int) -> None:
    reason = _with_key(_rsa_spki(modulus, exponent))
    assert "RSA" in reason or "not valid" in reason


@pytest.mark.parametrize(
    "subject",
    [raw_name(0x0C, b""), raw_name(0x0C, b"a\x00.example"), raw_name(0x02, b"\x01"), raw_name(0x0C, b"\xff")],
)
def test_strange_subjects(subject: bytes) -> None:
    assert "subject attribute 2.5.4.3" in refused(raw_request(subject))


def test_two_readers_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were cryptography ever to see another request in these octets than the walk does, it is refused."""
    mine = make_request("a.example")
    other = x509.load_der_x509_csr(make_request("b.example"))
    monkeypatch.setattr(request_module, "_load", lambda _data: other)
    assert "read in two ways" in refused(mine)
    other_key = x509.load_der_x509_csr(make_request("a.example", algorithm=KeyAlgorithm.ED25519))
    monkeypatch.setattr(request_module, "_load", lambda _data: other_key)
    assert "public key can be read in two ways" in refused(mine)


@pytest.mark.parametrize(
    "data",
    [
        der.sequence(der.sequence(), der.sequence()),
        der.sequence(der.sequence(der.integer(0)), der.sequence(), der.bit_string(b"")),
        der.sequence(
            der.sequence(der.integer(0), b"\x30\x00", b"\x30\x00", b"\xa0\x00"), b"\x30\x00", b"\x03\x01\x00"
        ),
        der.sequence(der.NULL, der.sequence(), der.bit_string(b"")),
    ],
)
def test_the_walk_does_not_lean_on_the_other_reader(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    other = x509.load_der_x509_csr(make_request("b.example"))
    monkeypatch.setattr(request_module, "_load", lambda _data: other)
    assert "strict DER" in refused(data)


def test_what_openssl_makes(tmp_path: Path) -> None:
    command = (
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -subj /C=DE/O=Org/CN=a.example"
        " -addext subjectAltName=DNS:b.example,IP:192.0.2.7 -outform DER -keyout k -out r"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    request = parse_csr((tmp_path / "r").read_bytes())
    assert request.identifiers == {*dns("a.example", "b.example"), parse_identifier("ip", "192.0.2.7")}
    assert request.subject.rfc4514_string() == "CN=a.example,O=Org,C=DE"
