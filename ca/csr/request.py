"""Read one request.

Two readers must agree: cryptography parses the outer shape and the key, the walk here takes it apart. What a
request asks for is reported whole, including what this authority never issues, so that policy can refuse it.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography import x509

from ca import asn1
from ca.csr.proof import read_public_key, verify
from ca.csr.refused import CsrRefused
from ca.csr.wishes import read_wishes
from ca.distinguished_names import SubjectRefused, read_name
from ca.keys import KeyDescription, PublicKey
from ca.names import Identifier, NameRefused, parse_dns, parse_ip

MAX_CSR: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What a request says. Its signature is verified; whether it may be granted is policy's to judge."""

    der: bytes = field(repr=False)  # may carry a challengePassword
    spki: bytes = field(repr=False)
    """DER SubjectPublicKeyInfo in canonical form: equal keys have equal bytes."""
    spki_sha256: bytes
    public_key: PublicKey
    key: KeyDescription
    subject: x509.Name
    """Re-encoded with the string types of RFC 5280; empty when the request has none."""
    common_name: str | None
    identifiers: frozenset[Identifier]
    """The subjectAltName, and the CN where it is a DNS name (single labels too) or an IP address."""
    san: frozenset[Identifier]
    """The subjectAltName alone."""
    other_names: tuple[str, ...]
    """Kinds of subjectAltName that are not issued here, as text: `otherName 1.3.6.1.4.1.311.20.2.3`."""
    extensions: frozenset[str]
    """Dotted OIDs of all extensions asked for."""
    key_usage: tuple[str, ...] | None
    extended_key_usage: tuple[str, ...] | None
    must_staple: bool
    basic_constraints_ca: bool


def parse_csr(data: bytes) -> CertificateRequest:
    """The request in `data`: one DER CertificationRequest of at most 64 KiB, its signature verified.

    Raises CsrRefused for everything that is wrong with it, and nothing else.
    """
    if len(data) > MAX_CSR:
        raise CsrRefused(f"the request has more than {MAX_CSR} octets")
    try:
        return _parse(data)
    except asn1.Malformed as malformed:
        raise CsrRefused(f"the request is not strict DER: {malformed}") from None
    except (NameRefused, SubjectRefused) as refused:
        raise CsrRefused(str(refused)) from None


def _parse(data: bytes) -> CertificateRequest:
    loaded = _load(data)
    outer = asn1.children(data, asn1.SEQUENCE)
    inner = asn1.children(outer[0], asn1.SEQUENCE) if outer else []
    if len(outer) != 3 or len(inner) != 4:
        raise asn1.Malformed("not the parts of RFC 2986 4")
    info, algorithm, signature = outer
    _version, name, spki, attributes = inner
    public_key, key = read_public_key(loaded, spki)
    if loaded.tbs_certrequest_bytes != info:
        raise CsrRefused("the request can be read in two ways")
    verify(loaded, public_key, algorithm, asn1.octets(signature), info)
    subject, common_name = read_name(name)
    wishes = read_wishes(attributes)
    named = _identifier_of(common_name)
    return CertificateRequest(
        der=data,
        spki=spki,
        spki_sha256=sha256(spki).digest(),
        public_key=public_key,
        key=key,
        subject=subject,
        common_name=common_name,
        identifiers=wishes.san if named is None else wishes.san | {named},
        san=wishes.san,
        other_names=wishes.other_names,
        extensions=wishes.extensions,
        key_usage=wishes.key_usage,
        extended_key_usage=wishes.extended_key_usage,
        must_staple=wishes.must_staple,
        basic_constraints_ca=wishes.basic_constraints_ca,
    )


def _load(data: bytes) -> x509.CertificateSigningRequest:
    try:
        return x509.load_der_x509_csr(data)
    except Exception:  # noqa: BLE001 - whatever a parser of strangers' bytes raises, the request is refused
        raise CsrRefused("this is not a certification request in DER (RFC 2986)") from None


def _identifier_of(common_name: str | None) -> Identifier | None:
    """The identifier that a CN is, if it is one: CNs of people and devices are not."""
    if common_name is None:
        return None
    for parse in (parse_dns, parse_ip):
        try:
            return parse(common_name)
        except NameRefused:
            continue
    return None
