"""What a request asks for in its extensions, and the shapes in which that is refused."""

from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca import asn1, der
from ca.csr import CsrRefused, parse_csr
from ca.csr.wishes import read_wishes
from tests.ca.factories import (
    EXTENSION_REQUEST,
    common_name,
    dns,
    make_request,
    raw_extension,
    raw_extension_request,
    raw_request,
    raw_san,
)

NAMES = x509.SubjectAlternativeName(
    [
        x509.DNSName("B.example"),
        x509.IPAddress(ip_address("2001:db8::1")),
        x509.RFC822Name("Jo@B.example"),
        x509.UniformResourceIdentifier("spiffe://b.example/x"),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a"),
        x509.DirectoryName(common_name("dir")),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
    ]
)
USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=True,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=True,
)


def test_all_wishes() -> None:
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, x509.ObjectIdentifier("1.2.3.4")])
    request = parse_csr(
        make_request(
            subject=common_name("A.example"),
            extensions=(
                (NAMES, True),
                (USAGE, True),
                (purposes, False),
                (x509.BasicConstraints(ca=True, path_length=0), True),
                (x509.TLSFeature([x509.TLSFeatureType.status_request]), False),
                (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"x"), True),
            ),
        )
    )
    assert request.common_name == "A.example"
    assert request.identifiers - request.san == frozenset(dns("a.example"))
    assert {str(name) for name in request.san} == {
        "dns:b.example",
        "ip:2001:db8::1",
        "email:Jo@b.example",
        "uri:spiffe://b.example/x",
    }
    assert request.other_names == ("otherName 1.3.6.1.4.1.311.20.2.3", "directoryName", "registeredID 1.2.3")
    assert request.key_usage == (
        "digitalSignature",
        "contentCommitment",
        "keyAgreement",
        "keyCertSign",
        "decipherOnly",
    )
    assert request.extended_key_usage == ("clientAuth", "1.2.3.4")
    assert request.must_staple
    assert request.basic_constraints_ca
    assert request.extensions == {
        "2.5.29.17",
        "2.5.29.15",
        "2.5.29.37",
        "2.5.29.19",
        "1.3.6.1.5.5.7.1.24",
        "1.2.3.4",
    }


def test_names_that_cryptography_cannot_read_are_reported() -> None:
    request = parse_csr(raw_request(attributes=raw_san(der.tlv(0xA3, der.sequence()), der.tlv(0xA5, b""))))
    assert request.other_names == ("x400Address", "ediPartyName")


def refused(data: bytes) -> str:
    with pytest.raises(CsrRefused) as info:
        parse_csr(data)
    return info.value.reason


def test_the_extension_request_of_old_windows_clients() -> None:
    wanted = raw_extension("2.5.29.17", der.sequence(der.tlv(0x82, b"a.example")))
    attribute = der.sequence(der.oid("1.3.6.1.4.1.311.2.1.14"), der.tlv(0x31, der.sequence(wanted)))
    assert parse_csr(raw_request(attributes=attribute)).san == frozenset(dns("a.example"))


def test_other_attributes_are_passed_over() -> None:
    challenge = der.sequence(der.oid("1.2.840.113549.1.9.7"), der.tlv(0x31, der.tlv(0x0C, b"secret")))
    request = parse_csr(raw_request(attributes=challenge + raw_san(der.tlv(0x82, b"a.example"))))
    assert request.san == frozenset(dns("a.example"))
    assert b"secret".hex() not in repr(request)
    assert "secret" not in repr(request)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        (raw_san(), "without names"),
        (raw_san(der.tlv(0x82, b"")), "empty"),
        (raw_san(der.tlv(0x82, b"a\x00.example")), "not a DNS name"),
        (raw_san(der.tlv(0x82, b"\xff.example")), "A-labels"),
        (raw_san(der.tlv(0x82, b"a_b.example")), "a_b.example"),
        (raw_san(der.tlv(0x82, b"192.0.2.1")), "IP address"),
        (raw_san(der.tlv(0x87, bytes(5))), "4 nor 16"),
        (raw_san(der.tlv(0x87, bytes(10) + b"\xff\xff" + bytes(4))), "maps an IPv4"),
        (raw_san(der.tlv(0x81, b"a")), "mail address"),
        (raw_san(der.tlv(0x86, b"a")), "URI"),
        (raw_san(der.tlv(0x88, b"\x80")), "strict DER"),
        (raw_san(der.tlv(0xA0, b"")), "strict DER"),
        (raw_san(der.tlv(0x89, b"")), "strict DER"),
        (raw_san(der.NULL), "strict DER"),
        (raw_san(der.tlv(0x82, b"a")) * 2, "same attribute twice"),
        (
            raw_extension_request(*[raw_extension("2.5.29.17", der.sequence(der.tlv(0x82, b"a")))] * 2),
            "twice",
        ),
        (raw_extension_request(raw_extension("1.2.3", b"") * 2), "twice"),
        (raw_extension_request(raw_extension("2.5.29.15", b"\x03\x02\x00\x80")), "strict DER"),
        (raw_extension_request(raw_extension("2.5.29.15", b"\x03\x03\x00\x80\x20")), "strict DER"),
        (raw_extension_request(raw_extension("2.5.29.15", b"\x03\x03\x06\x00\x40")), "does not define"),
        (raw_extension_request(raw_extension("2.5.29.37", der.sequence())), "without a purpose"),
        (raw_extension_request(raw_extension("2.5.29.37", der.sequence(der.NULL))), "strict DER"),
        (raw_extension_request(raw_extension("2.5.29.19", b"")), "strict DER"),
        (raw_extension_request(raw_extension("2.5.29.19", der.sequence(b"\x01\x01\x01"))), "strict DER"),
        (raw_extension_request(raw_extension("1.3.6.1.5.5.7.1.24", der.sequence(der.NULL))), "strict DER"),
        (
            raw_extension_request(der.sequence(der.oid("1.2.3"), b"\x01\x01\x00", der.octet_string(b""))),
            "written out",
        ),
        (raw_extension_request(der.sequence(der.oid("1.2.3"))), "strict DER"),
        (raw_extension_request(der.NULL), "strict DER"),
        (der.sequence(EXTENSION_REQUEST, der.tlv(0x31, b"")), "more or less than one"),
        (der.sequence(EXTENSION_REQUEST, der.tlv(0x31, der.sequence() * 2)), "more or less than one"),
        (der.sequence(EXTENSION_REQUEST, der.tlv(0x31, der.NULL)), "strict DER"),
        (
            der.sequence(EXTENSION_REQUEST, der.tlv(0x31, der.sequence()))
            + der.sequence(der.oid("1.3.6.1.4.1.311.2.1.14"), der.tlv(0x31, der.sequence())),
            "more or less than one",
        ),
    ],
)
def test_strange_wishes(attributes: bytes, words: str) -> None:
    assert words in refused(raw_request(attributes=attributes))


def test_wishes_of_the_wrong_shape() -> None:
    for attributes in (der.sequence(), der.tlv(0xA0, der.sequence()), der.tlv(0xA0, der.NULL)):
        with pytest.raises(asn1.Malformed):
            read_wishes(attributes)


def test_basic_constraints_of_an_end_entity() -> None:
    request = parse_csr(make_request(extensions=((x509.BasicConstraints(ca=False, path_length=None), True),)))
    assert not request.basic_constraints_ca
    assert request.extensions == {"2.5.29.19"}
