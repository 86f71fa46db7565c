"""The template, octet for octet against cryptography's CertificateBuilder."""

from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ca import asn1, oids
from ca.certificate import (
    CertificateContent,
    ContentRefused,
    Issuer,
    key_identifier,
    random_serial,
    to_be_signed,
)
from ca.keys import KeyAlgorithm
from ca.names import Identifier, IdentifierType, NameRefused, parse_identifier
from ca.signer import Signer
from tests.ca.factories import NO_NAME, NOW, Claim, authority, content, hash_of, make_issuer, private, spki
from tests.ca.test_hierarchy import CA, SKI, other_authority, usage

URLS = st.none() | st.sampled_from(
    ["http://ca.example/x", "http://127.0.0.1:8080/ocsp/main", "http://a.b/" + "c" * 200]
)


def flags(names: tuple[str, ...]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digitalSignature" in names,
        content_commitment="contentCommitment" in names,
        key_encipherment="keyEncipherment" in names,
        data_encipherment="dataEncipherment" in names,
        key_agreement="keyAgreement" in names,
        key_cert_sign="keyCertSign" in names,
        crl_sign="cRLSign" in names,
        encipher_only="encipherOnly" in names,
        decipher_only="decipherOnly" in names,
    )


def general_name(name: Identifier) -> x509.GeneralName:
    if name.type is IdentifierType.IP:
        return x509.IPAddress(ip_address(name.value))
    kinds: dict[IdentifierType, Any] = {
        IdentifierType.DNS: x509.DNSName,
        IdentifierType.EMAIL: x509.RFC822Name,
        IdentifierType.URI: x509.UniformResourceIdentifier,
    }
    made: x509.GeneralName = kinds[name.type](name.value)
    return made


def built(issuer: Issuer, said: CertificateContent, subject: x509.Name, algorithm: KeyAlgorithm) -> bytes:
    """The TBSCertificate that cryptography makes of the same content."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [(flags(said.key_usage), True)]
    if said.extended_key_usage:
        purposes = [
            x509.ObjectIdentifier(oids.EXTENDED_KEY_USAGES.get(p, p)) for p in said.extended_key_usage
        ]
        critical = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.8") in purposes
        extensions.append((x509.ExtendedKeyUsage(purposes), critical))
    if said.must_staple:
        extensions.append((x509.TLSFeature([x509.TLSFeatureType.status_request]), False))
    extensions.append((x509.BasicConstraints(ca=False, path_length=None), True))
    ski = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    extensions.append((x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), False))
    places = [
        x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
        for method, url in (
            (AuthorityInformationAccessOID.OCSP, issuer.ocsp_url),
            (AuthorityInformationAccessOID.CA_ISSUERS, issuer.ca_issuers_url),
        )
        if url
    ]
    if places:
        extensions.append((x509.AuthorityInformationAccess(places), False))
    if issuer.crl_url:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(issuer.crl_url)], None, None, None)
        extensions.append((x509.CRLDistributionPoints([point]), False))
    extensions.append((x509.SubjectKeyIdentifier(key_identifier(said.spki)), False))
    if said.identifiers:
        names = x509.SubjectAlternativeName([general_name(name) for name in said.identifiers])
        extensions.append((names, not list(subject)))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(load_der_public_key(said.spki))  # type: ignore[arg-type]  # kinds that the tests make
        .serial_number(said.serial)
        .not_valid_before(said.not_before)
        .not_valid_after(said.not_after)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(private(algorithm, "issuing"), hash_of(algorithm)).tbs_certificate_bytes


def parsed(kind: str, text: str) -> Identifier | None:
    try:
        return parse_identifier(kind, text)
    except NameRefused:
        return None


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
IDENTIFIERS = (
    st.one_of(
        st.builds(parsed, st.just("dns"), HOSTS | HOSTS.map("*.{}".format)),
        st.builds(parsed, st.just("ip"), st.ip_addresses().map(str)),
        st.builds(parsed, st.just("email"), HOSTS.map("Jo.{0}@{0}".format)),
        st.builds(parsed, st.just("uri"), HOSTS.map("spiffe://{0}/ns/{0}".format)),
        st.builds(parsed, st.just("uri"), HOSTS.map("https://{0}:8443/{0}?q#f".format)),
    )
    .filter(lambda name: name is not None)
    .map(lambda name: name or Identifier(IdentifierType.DNS, ""))
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=16)
SUBJECTS = st.lists(
    st.builds(x509.NameAttribute, st.just(NameOID.COUNTRY_NAME), st.sampled_from(["DE", "FR"]))
    | st.builds(x509.NameAttribute, st.sampled_from([NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME]), TEXTS),
    max_size=4,
).map(x509.Name)
USAGES = (
    st.sets(st.sampled_from(sorted(oids.KEY_USAGE_BITS)), min_size=1)
    .filter(lambda names: "keyAgreement" in names or not names & {"encipherOnly", "decipherOnly"})
    .map(lambda names: tuple(sorted(names)))
)
PURPOSES = st.lists(
    st.sampled_from([*oids.EXTENDED_KEY_USAGES, "1.2.3.4", "2.999.5"]), unique=True, max_size=4
).map(tuple)
MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 1)).map(  # noqa: DTZ001 - given a zone right here
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)


@settings(max_examples=120)
@given(
    algorithm=st.sampled_from(
        [KeyAlgorithm.P256, KeyAlgorithm.P256, KeyAlgorithm.ED25519, KeyAlgorithm.P384]
    ),
    subscriber=st.sampled_from(KeyAlgorithm),
    urls=st.tuples(URLS, URLS, URLS),
    serial=st.integers(1, 2**159 - 1),
    not_before=MOMENTS,
    lifetime=st.timedeltas(timedelta(0), timedelta(days=20_000)),
    subject=SUBJECTS,
    identifiers=st.lists(IDENTIFIERS, max_size=6).map(tuple),
    key_usage=USAGES,
    extended_key_usage=PURPOSES,
    must_staple=st.booleans(),
)
def test_the_template_is_what_the_builder_makes(
    algorithm: KeyAlgorithm,
    subscriber: KeyAlgorithm,
    urls: tuple[str | None, str | None, str | None],
    serial: int,
    not_before: datetime,
    lifetime: timedelta,
    subject: x509.Name,
    identifiers: tuple[Identifier, ...],
    key_usage: tuple[str, ...],
    extended_key_usage: tuple[str, ...],
    must_staple: bool,
) -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    said = CertificateContent(
        serial=serial,
        not_before=not_before,
        not_after=min(not_before + min(lifetime, end - not_before), end).replace(microsecond=0),
        subject=subject.public_bytes(),
        spki=spki(subscriber),
        identifiers=identifiers,
        key_usage=key_usage,
        extended_key_usage=extended_key_usage,
        must_staple=must_staple,
    )
    ocsp, issuers, crl = urls
    issuer = make_issuer(authority(algorithm).certificate, ocsp_url=ocsp, ca_issuers_url=issuers, crl_url=crl)
    assert to_be_signed(issuer, said) == built(issuer, said, subject, algorithm)


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_every_issuer_algorithm(algorithm: KeyAlgorithm) -> None:
    issuer = authority(algorithm).issuer
    assert to_be_signed(issuer, content()) == built(issuer, content(), x509.Name([]), algorithm)


@pytest.mark.parametrize("year", [1999, 2049, 2050, 9999])
def test_the_2050_rule(year: int) -> None:
    issuer = authority().issuer
    said = content(
        not_before=datetime(1999, 1, 1, tzinfo=UTC), not_after=datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    )
    assert to_be_signed(issuer, said) == built(issuer, said, x509.Name([]), KeyAlgorithm.P256)


def test_times_in_another_zone_are_the_same_moments() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    said = content(not_before=NOW.astimezone(zone))
    assert to_be_signed(authority().issuer, said) == to_be_signed(authority().issuer, content(not_before=NOW))


def test_an_issuer_is_named_octet_for_octet() -> None:
    """An imported authority may have its name in another string type than an encoder would choose."""
    utf8 = authority().certificate
    tbs = utf8.tbs_certificate_bytes
    assert asn1.children(tbs, asn1.SEQUENCE)[5] == authority().issuer.subject
    printable = authority().issuer.subject.replace(b"\x0c\x16Test issuing", b"\x13\x16Test issuing")
    assert printable != authority().issuer.subject
    odd = x509.load_der_x509_certificate(
        utf8.public_bytes(Encoding.DER).replace(authority().issuer.subject, printable)
    )
    assert make_issuer(odd).subject == printable
    assert printable in to_be_signed(make_issuer(odd), content())


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": -1},
        {"not_before": NOW.replace(tzinfo=None)},
        {"not_after": NOW.replace(microsecond=5)},
        {"key_usage": ()},
        {"key_usage": ("digitalsignature",)},
        {"key_usage": ("nonRepudiation",)},
        {"extended_key_usage": ("tlsServer",)},
        {"extended_key_usage": ("1.2.3.x",)},
        {"spki": b""},
        {"spki": b"\x30\x00"},
        {"spki": spki() + b"\x00"},
        {"identifiers": (Identifier(IdentifierType.DNS, "é"),)},
        {"identifiers": (Identifier(IdentifierType.IP, "localhost"),)},
    ],
)
def test_content_without_an_encoding(changes: dict[str, Any]) -> None:
    with pytest.raises(ContentRefused):
        to_be_signed(authority().issuer, content(**changes))


def test_serials_are_positive_long_and_different() -> None:
    serials = {random_serial() for _ in range(1000)}
    assert len(serials) == 1000
    assert all(serial.bit_length() == 127 for serial in serials)
    ones = [sum(serial >> bit & 1 for serial in serials) for bit in range(126)]
    assert min(ones) > 350  # a bit that chance does not move would show: 350 of 1000 is 9 sigma away
    assert max(ones) < 650


def test_an_issuer_knows_its_chain_as_text() -> None:
    issuer = authority().issuer
    assert issuer.chain_pem.startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert issuer.chain_pem.endswith(b"-----END CERTIFICATE-----\n")
    assert b"\r" not in issuer.chain_pem
    assert b"\n\n" not in issuer.chain_pem
    assert x509.load_pem_x509_certificates(issuer.chain_pem) == [issuer.certificate]


def test_issuers_that_could_not_issue() -> None:
    root, issuing = authority().root, authority().certificate
    with pytest.raises(ValueError, match="issuer main: the chain does not begin"):
        make_issuer(issuing, chain=())
    with pytest.raises(ValueError, match="the chain does not begin"):
        make_issuer(issuing, chain=(root, issuing))
    with pytest.raises(ValueError, match="not an absolute URI"):
        make_issuer(issuing, crl_url="/crl")
    for missing in ((CA, usage()), (CA, SKI), (usage(), SKI)):
        with pytest.raises(ValueError, match=r"issuer main: its certificate has no extension 2\.5\.29\."):
            make_issuer(other_authority(authority(), *missing))
    leaf = x509.load_der_x509_certificate(_signed_leaf())
    with pytest.raises(ValueError, match="not that of a certificate authority"):
        make_issuer(leaf)


def _signed_leaf() -> bytes:
    signer = Signer(authority().issuer, authority().key, Claim)
    return signer.issue(signer.prepare(Claim(), content()))


def test_the_empty_name_is_the_one_without_a_subject() -> None:
    assert x509.Name([]).public_bytes() == NO_NAME
