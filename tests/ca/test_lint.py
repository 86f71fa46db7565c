"""Every rule objects to what it is there for, and to nothing else; good certificates pass all of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

import ca.lint
from ca import asn1, der, extensions, oids
from ca.certificate import Issuer, to_be_signed
from ca.keys import KeyAlgorithm
from ca.lint import RULES, lint
from ca.lint.tbs import read
from ca.names import Identifier, IdentifierType, parse_identifier
from tests.ca.factories import (
    DAY,
    NO_NAME,
    NOW,
    authority,
    common_name,
    content,
    dns,
    make_authority,
    make_issuer,
    spki,
)
from tests.ca.test_hierarchy import CA, SKI, other_authority, usage

KEY_USAGES = {
    KeyAlgorithm.RSA: ("digitalSignature", "keyEncipherment", "dataEncipherment"),
    KeyAlgorithm.P256: ("digitalSignature", "keyAgreement", "encipherOnly"),
    KeyAlgorithm.P384: ("keyAgreement", "decipherOnly"),
    KeyAlgorithm.P521: ("digitalSignature",),
    KeyAlgorithm.ED25519: ("digitalSignature", "contentCommitment"),
    KeyAlgorithm.ML_DSA_44: ("digitalSignature",),
    KeyAlgorithm.ML_DSA_65: ("digitalSignature",),
    KeyAlgorithm.ML_DSA_87: ("digitalSignature",),
}


ORGANIZATION = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Org")]).public_bytes()


def rules(tbs: bytes, issuer: Issuer | None = None) -> set[str]:
    return {finding.rule for finding in lint(tbs, issuer or authority().issuer)}


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
@pytest.mark.parametrize("issuer", KeyAlgorithm)
def test_good_certificates(algorithm: KeyAlgorithm, issuer: KeyAlgorithm) -> None:
    said = content(spki=spki(algorithm), key_usage=KEY_USAGES[algorithm], must_staple=True)
    assert lint(to_be_signed(authority(issuer).issuer, said), authority(issuer).issuer) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": common_name("A.example.com").public_bytes()},
        {"identifiers": (parse_identifier("ip", "192.0.2.1"), parse_identifier("ip", "2001:db8::1"))},
        {
            "identifiers": (parse_identifier("email", "Jo@example.com"),),
            "extended_key_usage": ("emailProtection", "clientAuth"),
        },
        {
            "identifiers": (parse_identifier("uri", "spiffe://example.org/a"),),
            "extended_key_usage": ("clientAuth",),
        },
        {"identifiers": (), "subject": ORGANIZATION, "extended_key_usage": ("clientAuth",)},
        {"extended_key_usage": ()},
        {"extended_key_usage": ("1.2.3.4", "clientAuth")},
        {"extended_key_usage": ("timeStamping",)},
        {"extended_key_usage": ("codeSigning",)},
        {"extended_key_usage": ("OCSPSigning",)},
        {"not_after": NOW + 1825 * DAY},
        {"not_before": datetime(1949, 1, 1, tzinfo=UTC)},
    ],
)
def test_good_contents(changes: dict[str, Any]) -> None:
    assert rules(to_be_signed(authority().issuer, content(**changes))) == set()


# --- one wrong thing at a time: content that can be said ---


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"serial": 0}, {"rfc5280/serial_number", "house/serial_entropy"}),
        ({"serial": 1 << 160}, {"rfc5280/serial_number"}),
        ({"serial": (1 << 64) - 1}, {"house/serial_entropy"}),
        ({"not_after": NOW - DAY}, {"rfc5280/validity"}),
        ({"not_after": NOW, "not_before": NOW}, {"rfc5280/validity"}),
        ({"not_after": NOW + 1826 * DAY}, {"house/within_issuer"}),
        (
            {"subject": NO_NAME, "identifiers": (), "extended_key_usage": ()},
            {"rfc5280/subject_alternative_name"},
        ),
        ({"identifiers": dns("a.example") * 2}, {"rfc5280/subject_alternative_name"}),
        (
            {"identifiers": (Identifier(IdentifierType.DNS, "a_b.example"),)},
            {"rfc5280/subject_alternative_name"},
        ),
        (
            {"identifiers": (Identifier(IdentifierType.DNS, "A.example"),)},
            {"rfc5280/subject_alternative_name"},
        ),
        (
            {"identifiers": (Identifier(IdentifierType.DNS, "a.example."),)},
            {"rfc5280/subject_alternative_name"},
        ),
        (
            {"identifiers": (*dns("a.example"), Identifier(IdentifierType.URI, "a"))},
            {"rfc5280/subject_alternative_name"},
        ),
        ({"subject": common_name("b.example").public_bytes()}, {"house/common_name"}),
        ({"subject": common_name("Jo Doe").public_bytes()}, {"house/common_name"}),
        ({"key_usage": ("keyEncipherment",)}, {"rfc5280/key_usage"}),
        (
            {"spki": spki(KeyAlgorithm.RSA), "key_usage": ("digitalSignature", "keyAgreement")},
            {"rfc5280/key_usage"},
        ),
        (
            {"spki": spki(KeyAlgorithm.ED25519), "key_usage": ("digitalSignature", "keyAgreement")},
            {"rfc5280/key_usage"},
        ),
        ({"key_usage": ("digitalSignature", "encipherOnly")}, {"rfc5280/key_usage"}),
        ({"key_usage": ("digitalSignature", "keyCertSign")}, {"house/subscriber"}),
        ({"key_usage": ("digitalSignature", "cRLSign")}, {"house/subscriber"}),
        ({"key_usage": ("contentCommitment",)}, {"rfc5280/extended_key_usage"}),
        ({"extended_key_usage": ("clientAuth", "clientAuth")}, {"rfc5280/extended_key_usage"}),
        ({"extended_key_usage": ("timeStamping", "clientAuth")}, {"rfc5280/extended_key_usage"}),
        ({"extended_key_usage": ("anyExtendedKeyUsage",)}, {"house/purposes"}),
        ({"extended_key_usage": ("emailProtection",)}, {"house/purposes"}),
        ({"identifiers": (parse_identifier("email", "a@example.com"),)}, {"house/purposes"}),
        ({"spki": der.sequence(der.sequence(der.oid("1.2.3")), der.bit_string(b"k"))}, {"house/public_key"}),
    ],
)
def test_contents_that_are_refused(changes: dict[str, Any], expected: set[str]) -> None:
    assert rules(to_be_signed(authority().issuer, content(**changes))) == expected


def test_a_short_rsa_key_and_a_compressed_point() -> None:
    body = der.sequence(der.integer((1 << 2039) + 1), der.integer(65537))
    short = der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL), der.bit_string(body))
    empty = der.sequence(
        der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL), der.bit_string(der.sequence())
    )
    for key in (short, empty):
        assert rules(to_be_signed(authority().issuer, content(spki=key))) == {"house/public_key"}
    p256 = spki()
    algorithm = asn1.children(p256, asn1.SEQUENCE)[0]
    point = der.sequence(algorithm, der.bit_string(b"\x02" + p256[-64:-32]))
    assert rules(to_be_signed(authority().issuer, content(spki=point))) == {"house/public_key"}


# --- one wrong thing at a time: octets that the template never writes ---


def parts(tbs: bytes) -> list[bytes]:
    return asn1.children(tbs, asn1.SEQUENCE)


def listed(tbs: bytes) -> list[bytes]:
    return asn1.children(asn1.children(parts(tbs)[7], 0xA3)[0], asn1.SEQUENCE)


def with_part(index: int, new: bytes) -> bytes:
    made = parts(to_be_signed(authority().issuer, content()))
    made[index] = new
    return der.sequence(*made)


def with_extensions(change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The ordinary certificate after `change` to its extensions, which are whole elements by dotted OID."""
    found: dict[str, bytes] = {}
    for one in listed(to_be_signed(authority().issuer, content())):
        kind = asn1.children(one, asn1.SEQUENCE)[0]
        found[asn1.dotted(asn1.content(kind, asn1.OBJECT_IDENTIFIER))] = one
    change(found)
    return with_part(7, der.tlv(0xA3, der.sequence(*found.values())))


def replaced(dotted: str, new: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda found: found.__setitem__(dotted, new)


def removed(dotted: str) -> Callable[[dict[str, bytes]], None]:
    return lambda found: found.__delitem__(dotted)


SAN_VALUE = der.sequence(der.tlv(0x82, b"a.example.com"))
PURPOSE = der.sequence(der.oid(oids.EXTENDED_KEY_USAGES["serverAuth"]))


def raw(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    return der.extension(der.oid(dotted), value, critical=critical)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _found: None, set()),
        (replaced("again", raw(oids.TLS_FEATURE, b"\x05\x00") * 2), {"rfc5280/unique_extensions"}),
        (replaced("new", raw("1.2.3.4", b"\x05\x00")), {"house/known_extensions"}),
        (
            replaced("new", raw("1.2.3.4", b"\x05\x00", critical=True)),
            {"house/known_extensions", "rfc5280/criticality"},
        ),
        (replaced(oids.SUBJECT_ALT_NAME, raw(oids.SUBJECT_ALT_NAME, SAN_VALUE)), {"rfc5280/criticality"}),
        (
            replaced(oids.EXTENDED_KEY_USAGE, raw(oids.EXTENDED_KEY_USAGE, PURPOSE, critical=True)),
            {"rfc5280/criticality"},
        ),
        (replaced(oids.KEY_USAGE, raw(oids.KEY_USAGE, der.named_bits({0}))), {"rfc5280/criticality"}),
        (
            replaced(oids.BASIC_CONSTRAINTS, raw(oids.BASIC_CONSTRAINTS, der.sequence())),
            {"rfc5280/criticality"},
        ),
        (
            replaced(oids.BASIC_CONSTRAINTS, extensions.authority(None)),
            {"house/subscriber"},
        ),
        (
            replaced(
                oids.BASIC_CONSTRAINTS,
                raw(oids.BASIC_CONSTRAINTS, der.sequence(b"\x01\x01\x00"), critical=True),
            ),
            {"house/subscriber"},
        ),
        (removed(oids.BASIC_CONSTRAINTS), {"house/subscriber"}),
        (removed(oids.KEY_USAGE), {"rfc5280/key_usage", "rfc5280/extended_key_usage"}),
        (
            replaced(oids.KEY_USAGE, raw(oids.KEY_USAGE, der.named_bits(set()), critical=True)),
            {"rfc5280/key_usage", "rfc5280/extended_key_usage"},
        ),
        (removed(oids.SUBJECT_KEY_IDENTIFIER), {"rfc5280/subject_key_identifier"}),
        (
            replaced(oids.SUBJECT_KEY_IDENTIFIER, extensions.subject_key_identifier(bytes(20))),
            {"rfc5280/subject_key_identifier"},
        ),
        (removed(oids.AUTHORITY_KEY_IDENTIFIER), {"rfc5280/authority_key_identifier"}),
        (
            replaced(oids.AUTHORITY_KEY_IDENTIFIER, extensions.authority_key_identifier(bytes(20))),
            {"rfc5280/authority_key_identifier"},
        ),
        (
            replaced(oids.SUBJECT_ALT_NAME, raw(oids.SUBJECT_ALT_NAME, der.sequence(), critical=True)),
            {"rfc5280/subject_alternative_name", "house/purposes"},
        ),
        (
            replaced(
                oids.SUBJECT_ALT_NAME,
                raw(
                    oids.SUBJECT_ALT_NAME,
                    der.sequence(der.tlv(0x82, b"a\x00b"), der.tlv(0x88, b"\x2a")),
                    critical=True,
                ),
            ),
            {"rfc5280/subject_alternative_name"},
        ),
    ],
)
def test_extensions_that_are_refused(change: Callable[[dict[str, bytes]], None], expected: set[str]) -> None:
    assert rules(with_extensions(change)) == expected


UTC_2050 = der.sequence(b"\x17\x0d261125120000Z", b"\x18\x0f20270101000000Z")


@pytest.mark.parametrize(
    ("index", "new", "expected"),
    [
        (2, der.sequence(der.oid("1.2.840.10045.4.3.3")), {"rfc5280/issuer_fields"}),
        (3, common_name("somebody else").public_bytes(), {"rfc5280/issuer_fields"}),
        (4, UTC_2050, {"rfc5280/validity"}),
        (5, der.sequence(der.NULL), {"rfc5280/subject", "rfc5280/criticality"}),
        (0, bytes.fromhex("a003020101"), {"rfc5280/encoding"}),
        (1, b"\x02\x01\xff", {"rfc5280/encoding"}),
        (1, b"\x02\x02\x00\x01", {"rfc5280/encoding"}),
        (4, der.sequence(b"\x17\x0b2611251200Z", b"\x17\x0d261125120000Z"), {"rfc5280/encoding"}),
        (4, der.sequence(b"\x17\x0d261125120000+", b"\x17\x0d261125120000Z"), {"rfc5280/encoding"}),
        (4, der.sequence(b"\x17\x0d261325120000Z", b"\x17\x0d261125120000Z"), {"rfc5280/encoding"}),
        (4, der.sequence(b"\x17\x0d261125120000Z"), {"rfc5280/encoding"}),
        (6, b"\x30\x00", {"rfc5280/encoding"}),
        (7, b"", {"rfc5280/encoding"}),
        (7, b"\xa3\x00", {"rfc5280/encoding"}),
        (7, der.tlv(0xA3, der.sequence(der.sequence(der.oid("1.2.3")))), {"rfc5280/encoding"}),
        (7, der.tlv(0xA1, der.sequence()), {"rfc5280/encoding"}),
    ],
)
def test_fields_that_are_refused(index: int, new: bytes, expected: set[str]) -> None:
    assert rules(with_part(index, new)) == expected


@pytest.mark.parametrize("index", range(8))
def test_every_field_is_of_its_type(index: int) -> None:
    made = parts(to_be_signed(authority().issuer, content()))[index]
    # Algorithm and issuer are compared with the issuer's, the subject has a rule of its own.
    rule = {2: "rfc5280/issuer_fields", 3: "rfc5280/issuer_fields", 5: "rfc5280/subject"}.get(
        index, "rfc5280/encoding"
    )
    assert rule in rules(with_part(index, b"\x31" + made[1:]))


@given(st.binary(max_size=64), st.integers(0, 600), st.integers(0, 3))
def test_lints_never_raise(new: bytes, at: int, length: int) -> None:
    whole = to_be_signed(authority().issuer, content())
    lint(new, authority().issuer)
    lint(whole[:at] + new + whole[at + length :], authority().issuer)


def test_an_issuer_limited_in_its_purposes() -> None:
    purposes = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oids.EXTENDED_KEY_USAGES["clientAuth"])])
    issuer = make_issuer(
        other_authority(authority(), CA, usage(), SKI, (purposes, False), not_after=NOW + 999 * DAY)
    )
    assert rules(to_be_signed(issuer, content(extended_key_usage=("clientAuth",))), issuer) == set()
    for others in (("serverAuth",), ("clientAuth", "serverAuth"), ()):
        assert rules(to_be_signed(issuer, content(extended_key_usage=others)), issuer) == {"house/purposes"}
    anything = x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.37.0")])
    issuer = make_issuer(
        other_authority(authority(), CA, usage(), SKI, (anything, False), not_after=NOW + 999 * DAY)
    )
    assert rules(to_be_signed(issuer, content()), issuer) == set()


def test_an_issuer_with_name_constraints() -> None:
    constraints = x509.NameConstraints([x509.DNSName("corp.example")], None)
    issuer = make_authority(name_constraints=constraints).issuer
    assert rules(to_be_signed(issuer, content(identifiers=dns("a.corp.example"))), issuer) == set()
    assert rules(to_be_signed(issuer, content()), issuer) == {"rfc5280/name_constraints"}


def test_every_rule_is_a_file_and_every_file_a_rule() -> None:
    folder = Path(ca.lint.__file__).parent
    files = {f"{path.parent.name}/{path.stem}" for path in folder.glob("*/*.py") if path.stem != "__init__"}
    assert sorted(name for name, _ in RULES) == sorted(files)
    for name, check in RULES:
        assert check.__module__ == f"ca.lint.{name.replace('/', '.')}"


def test_what_lints_read_is_what_cryptography_reads() -> None:
    tbs = to_be_signed(authority().issuer, content(must_staple=True))
    certificate = x509.load_der_x509_certificate(
        der.sequence(tbs, authority().issuer.signature_algorithm, der.bit_string(b"no signature"))
    )
    found = read(tbs)
    assert found.serial == certificate.serial_number
    assert (found.not_before, found.not_after) == (
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
    assert found.issuer == certificate.issuer.public_bytes()
    assert found.subject == certificate.subject.public_bytes()
    assert {kind: (one.critical, one.value) for kind, one in found.extensions.items()} == {
        one.oid.dotted_string: (one.critical, one.value.public_bytes()) for one in certificate.extensions
    }
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in found.names] == san.get_values_for_type(x509.DNSName)
