"""Subjects are decoded, checked and written anew."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ca import asn1, der
from ca.distinguished_names import SubjectRefused, read_name
from tests.ca.factories import raw_name


def read(name: bytes) -> tuple[bytes, str | None]:
    found, common_name = read_name(name)
    return found.public_bytes(), common_name


@pytest.mark.parametrize(
    ("tag", "octets", "text"),
    [
        (0x0C, "Zoë".encode(), "Zoë"),
        (0x13, b"Zoe", "Zoe"),
        (0x14, b"Zo\xeb", "Zoë"),
        (0x16, b"Zoe*", "Zoe*"),
        (0x1C, "Zoë".encode("utf-32-be"), "Zoë"),
        (0x1E, "Zoë".encode("utf-16-be"), "Zoë"),
    ],
)
def test_every_string_type_becomes_utf8(tag: int, octets: bytes, text: str) -> None:
    assert read(raw_name(tag, octets)) == (raw_name(0x0C, text.encode()), text)


@pytest.mark.parametrize(
    "name",
    [
        raw_name(0x0C, b""),
        raw_name(0x0C, b"a\x00b"),
        raw_name(0x0C, b"a\nb"),
        raw_name(0x0C, "a\u202eb".encode()),
        raw_name(0x0C, b"\xff"),
        raw_name(0x0C, b"\xed\xa0\x80"),  # a surrogate
        raw_name(0x1E, b"abc"),
        raw_name(0x1E, b"\xd8\x00"),
        raw_name(0x1C, b"\x7f\xff\xff\xff"),
        raw_name(0x13, b"\xe4"),
        raw_name(0x02, b"\x05"),
        raw_name(0x03, b"\x00a"),
        raw_name(0x0C, b"a" * 65),
        raw_name(0x0C, "é".encode() * 40),  # cryptography counts octets here
        raw_name(0x13, b"D", "2.5.4.6"),
        raw_name(0x0C, b"DEU", "2.5.4.6"),
        raw_name(0x0C, "é".encode(), "2.5.4.6"),
        raw_name(0x0C, b"a@b", "2.5.4.5"),
        raw_name(0x0C, "é".encode(), "0.9.2342.19200300.100.1.25"),
        raw_name(0x0C, "é@b".encode(), "1.2.840.113549.1.9.1"),
        raw_name(0x0C, b"", "2.5.4.9"),
        raw_name(0x0C, b"x" * 129, "2.5.4.7"),
    ],
)
def test_what_no_certificate_should_repeat(name: bytes) -> None:
    with pytest.raises(SubjectRefused):
        read(name)


def attribute(dotted: str, text: bytes) -> bytes:
    return der.sequence(der.oid(dotted), der.tlv(0x0C, text))


def test_attributes_keep_their_order_and_types() -> None:
    country = der.sequence(der.oid("2.5.4.6"), der.tlv(0x0C, b"DE"))
    name = der.sequence(
        der.tlv(0x31, country),
        der.tlv(0x31, attribute("2.5.4.10", b"Org")),
        der.tlv(0x31, attribute("2.5.4.3", b"x")),
    )
    found, common_name = read_name(name)
    assert [one.oid for one in found] == [
        NameOID.COUNTRY_NAME,
        NameOID.ORGANIZATION_NAME,
        NameOID.COMMON_NAME,
    ]
    assert b"\x13\x02DE" in found.public_bytes()  # PrintableString, as RFC 5280 appendix A has it
    assert common_name == "x"


def test_two_common_names_are_one_too_many() -> None:
    one = der.tlv(0x31, attribute("2.5.4.3", b"a"))
    two = der.tlv(0x31, attribute("2.5.4.3", b"b"))
    with pytest.raises(SubjectRefused, match="more than one common name"):
        read(der.sequence(one, two))
    with pytest.raises(SubjectRefused, match="more than one common name"):
        read(der.sequence(der.tlv(0x31, attribute("2.5.4.3", b"a") + attribute("2.5.4.3", b"b"))))


def test_the_same_attribute_twice_in_one_place() -> None:
    with pytest.raises(SubjectRefused, match="twice"):
        read(der.sequence(der.tlv(0x31, attribute("2.5.4.11", b"a") * 2)))


def test_a_type_that_cannot_be_written_again() -> None:
    long = der.tlv(0x06, b"\x2a" + b"\xff" * 20 + b"\x01")
    with pytest.raises(SubjectRefused, match="is too long"):
        read(der.sequence(der.tlv(0x31, der.sequence(long, der.tlv(0x0C, b"a")))))


def test_a_builder_that_is_stricter_than_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(_oid: object, _text: str) -> None:
        raise ValueError("not today")

    monkeypatch.setattr(x509, "NameAttribute", picky)
    with pytest.raises(SubjectRefused, match="written anew"):
        read(raw_name(0x0C, b"a"))


def test_too_many_attributes() -> None:
    with pytest.raises(SubjectRefused, match="more than 32"):
        read(der.sequence(*[der.tlv(0x31, attribute("2.5.4.11", b"%d" % i)) for i in range(33)]))


@pytest.mark.parametrize(
    "name",
    [
        der.tlv(0x31, b""),
        der.sequence(der.tlv(0x31, b"")),
        der.sequence(der.sequence(attribute("2.5.4.3", b"a"))),
        der.sequence(der.tlv(0x31, der.sequence(der.oid("2.5.4.3")))),
        der.sequence(der.tlv(0x31, der.tlv(0x31, attribute("2.5.4.3", b"a")))),
        der.sequence(der.tlv(0x31, der.sequence(der.NULL, der.tlv(0x0C, b"a")))),
    ],
)
def test_what_is_no_name(name: bytes) -> None:
    with pytest.raises(asn1.Malformed):
        read_name(name)
