"""What other people's programs say of our chains: openssl's strict verification, and pkilint."""

import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pkilint import loader, validation
from pkilint.pkix import certificate, extension, name

from ca import asn1, der
from ca.certificate import CertificateContent, to_be_signed
from ca.keys import KeyAlgorithm
from ca.names import parse_identifier
from ca.signer import Signer
from tests.ca.factories import (
    DAY,
    NOW,
    Authority,
    Claim,
    authority,
    common_name,
    content,
    dns,
    make_authority,
    spki,
)

# What openssl 3.0, which Debian 12 has, can verify.
OPENSSL = [kind for kind in KeyAlgorithm if not kind.startswith("ml-dsa")]

ORGANIZATION = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Größe GmbH"),
        x509.NameAttribute(NameOID.COMMON_NAME, "a.example.com"),
    ]
)

SHAPES: dict[str, dict[str, Any]] = {
    "tls": {},
    "wildcard": {"identifiers": dns("a.example.com", "*.a.example.com")},
    "tls with a common name": {"subject": common_name("a.example.com").public_bytes()},
    "tls with an organization": {"subject": ORGANIZATION.public_bytes()},
    "tls by address": {
        "identifiers": (parse_identifier("ip", "192.0.2.1"), parse_identifier("ip", "2001:db8::1")),
    },
    "must staple": {"must_staple": True},
    "mutual tls": {"extended_key_usage": ("serverAuth", "clientAuth")},
    "spiffe": {
        "identifiers": (parse_identifier("uri", "spiffe://example.org/ns/a/sa/b"),),
        "extended_key_usage": ("clientAuth",),
    },
    "mail": {
        "identifiers": (parse_identifier("email", "jo@example.com"),),
        "key_usage": ("digitalSignature", "contentCommitment"),
        "extended_key_usage": ("emailProtection",),
    },
    "code": {
        "subject": ORGANIZATION.public_bytes(),
        "extended_key_usage": ("codeSigning",),
    },
    "time stamps": {
        "subject": ORGANIZATION.public_bytes(),
        "extended_key_usage": ("timeStamping",),
    },
    "to the issuer's end": {"not_after": NOW + 1825 * DAY},
}


# Where pkilint knows less than the RFCs: it reads RFC 5280 4.2.1.6 without the wildcards of RFC 9525 6.3, and its URI
# library does not know the scheme of SPIFFE.
NOT_KNOWN_TO_PKILINT = {
    "wildcard": {"pkix.invalid_domain_name_syntax"},
    "spiffe": {"pkix.invalid_uri_syntax"},
}


def plain(**changes: Any) -> CertificateContent:
    """The ordinary content, without its wildcard."""
    return content(**{"identifiers": dns("a.example.com", "b.example.com"), **changes})


def issue(made: Authority, said: CertificateContent) -> x509.Certificate:
    signer = Signer(made.issuer, made.key, Claim)
    return x509.load_der_x509_certificate(signer.issue(signer.prepare(Claim(), said)))


def verify(folder: Path, made: Authority, leaf: x509.Certificate, *options: str) -> str:
    for label, one in (("root", made.root), ("issuing", made.certificate), ("leaf", leaf)):
        (folder / f"{label}.pem").write_bytes(one.public_bytes(Encoding.PEM))
    command = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp()))]
    command += ["-CAfile", "root.pem", "-untrusted", "issuing.pem", *options, "leaf.pem"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("algorithm", OPENSSL)
@pytest.mark.parametrize("subscriber", OPENSSL)
def test_openssl_verifies_every_kind_of_key(
    algorithm: KeyAlgorithm, subscriber: KeyAlgorithm, tmp_path: Path
) -> None:
    made = authority(algorithm)
    leaf = issue(made, content(spki=spki(subscriber)))
    assert (
        verify(tmp_path, made, leaf, "-purpose", "sslserver", "-verify_hostname", "x.b.example.com")
        == "leaf.pem: OK\n"
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_openssl_verifies_every_shape(shape: str, tmp_path: Path) -> None:
    assert verify(tmp_path, authority(), issue(authority(), content(**SHAPES[shape]))) == "leaf.pem: OK\n"


def test_openssl_keeps_to_name_constraints_as_the_lint_does(tmp_path: Path) -> None:
    constraints = x509.NameConstraints([x509.DNSName("example.com")], [x509.DNSName("secret.example.com")])
    made = make_authority(name_constraints=constraints)
    assert verify(tmp_path, made, issue(made, content())) == "leaf.pem: OK\n"
    outside = content(identifiers=(parse_identifier("dns", "a.example.org"),))
    leaf = _signed(made, to_be_signed(made.issuer, outside))
    assert "permitted subtree violation" in verify(tmp_path, made, leaf)


def _signed(made: Authority, tbs: bytes) -> x509.Certificate:
    """A certificate that no lint looked at."""
    signature = der.bit_string(made.key.sign(tbs))
    return x509.load_der_x509_certificate(der.sequence(tbs, made.issuer.signature_algorithm, signature))


def test_openssl_would_object_to_a_wrong_chain(tmp_path: Path) -> None:
    """The verification above can fail: the same certificate under another authority does."""
    leaf = issue(authority(), content())
    assert "error" in verify(tmp_path, authority(KeyAlgorithm.P384), leaf)


@lru_cache(maxsize=1)
def pkix() -> Any:
    """Pkilint's RFC 5280 linter, put together as its command does."""
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def findings(one: x509.Certificate) -> set[str]:
    """What pkilint finds of severity NOTICE and above."""
    document = loader.load_certificate(one.public_bytes(Encoding.DER), "certificate")
    return {
        described.finding.code
        for result in pkix().validate(document.root)
        for described in result.finding_descriptions
        if described.finding.severity <= validation.ValidationFindingSeverity.NOTICE
    }


@pytest.mark.parametrize("subscriber", KeyAlgorithm)
@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_pkilint_finds_nothing_in_any_kind_of_key(algorithm: KeyAlgorithm, subscriber: KeyAlgorithm) -> None:
    assert findings(issue(authority(algorithm), plain(spki=spki(subscriber)))) == set()


@pytest.mark.parametrize("shape", SHAPES)
def test_pkilint_finds_nothing_in_any_shape(shape: str) -> None:
    assert findings(issue(authority(), plain(**SHAPES[shape]))) == NOT_KNOWN_TO_PKILINT.get(shape, set())


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_pkilint_finds_nothing_in_the_authorities(algorithm: KeyAlgorithm) -> None:
    made = authority(algorithm)
    assert findings(made.root) == set()
    assert findings(made.certificate) == set()
    constraints = x509.NameConstraints([x509.DNSName("example.com")], None)
    assert findings(make_authority(algorithm, name_constraints=constraints).certificate) == set()


def test_pkilint_would_find_something() -> None:
    """The linter above can object: to names that are critical, or not, against RFC 5280 4.2.1.6."""
    made = authority()
    said = plain()
    tbs = to_be_signed(made.issuer, said)
    critical = der.oid("2.5.29.17") + der.TRUE
    assert critical in tbs
    parts = asn1.children(tbs, asn1.SEQUENCE)
    parts[5] = common_name("a.example.com").public_bytes()
    assert findings(_signed(made, der.sequence(*parts))) == {
        "pkix.san_extension_is_critical_non_empty_subject"
    }
