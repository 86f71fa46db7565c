"""To-be-signed subscriber certificates (RFC 5280 4.1) from a DER template.

Everything that does not change between two certificates of an issuer is encoded once; the rest is put together
as bytes. The tests compare the result octet by octet with cryptography's CertificateBuilder.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca import asn1, der, extensions, oids
from ca.keys import KeyAlgorithm, PublicKey, describe, signature_algorithm
from ca.names import Identifier, IdentifierType, parse_uri

SERIAL_OCTETS: Final = 16


class ContentRefused(ValueError):
    """The content has no encoding as a certificate; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateContent:
    """What a subscriber certificate says. The issuer's part (AKI, AIA, CDP, algorithm) comes from the Issuer."""

    serial: int
    not_before: datetime
    not_after: datetime
    """Aware, whole seconds, both inclusive (RFC 5280 4.1.2.5)."""
    subject: bytes
    """DER Name; `30 00` for none, then the subjectAltName is critical."""
    spki: bytes
    """DER SubjectPublicKeyInfo."""
    identifiers: tuple[Identifier, ...]
    """The subjectAltName in this order; no extension when empty."""
    key_usage: tuple[str, ...]
    """Names as in `oids.KEY_USAGE_BITS`."""
    extended_key_usage: tuple[str, ...] = ()
    """Names as in `oids.EXTENDED_KEY_USAGES`, or dotted OIDs; no extension when empty."""
    must_staple: bool = False
    """A TLS feature extension that demands status_request (RFC 7633)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An issuing authority: its certificate and what it writes into every certificate it issues."""

    name: str
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    """What a subscriber sends along: this certificate first, without the root."""
    ocsp_url: str | None = None
    ca_issuers_url: str | None = None
    crl_url: str | None = None

    public_key: PublicKey = field(init=False, repr=False)
    algorithm: KeyAlgorithm = field(init=False, repr=False)
    key_identifier: bytes = field(init=False, repr=False)
    not_before: datetime = field(init=False, repr=False)
    not_after: datetime = field(init=False, repr=False)
    subject: bytes = field(init=False, repr=False)
    """DER Name, octet for octet as in the certificate."""
    signature_algorithm: bytes = field(init=False, repr=False)
    """DER AlgorithmIdentifier of what this issuer signs."""
    chain_pem: bytes = field(init=False, repr=False)
    """The chain as RFC 8555 9.1 text: what follows the subscriber's certificate."""
    name_constraints: tuple[x509.NameConstraints, ...] = field(init=False, repr=False)
    """Those of all authorities in the chain."""
    extended_key_usage: frozenset[str] | None = field(init=False, repr=False)
    """The purposes the issuer is limited to, by name; None when it is not."""
    constant_extensions: bytes = field(init=False, repr=False)
    """basicConstraints, AKI, AIA and CDP, encoded: the same in all certificates of this issuer."""

    def __post_init__(self) -> None:
        """Refuse (ValueError) a certificate that cannot issue, and encode what never changes."""
        certificate = self.certificate
        try:
            _check_issuer(certificate, self.chain, (self.ocsp_url, self.ca_issuers_url, self.crl_url))
        except ValueError as unfit:
            raise ValueError(f"issuer {self.name}: {unfit}") from None
        public_key: PublicKey = certificate.public_key()  # type: ignore[assignment]  # describe() refuses the rest
        algorithm = describe(public_key).algorithm
        key_identifier = certificate.extensions.get_extension_for_class(
            x509.SubjectKeyIdentifier
        ).value.digest
        computed: dict[str, object] = {
            "public_key": public_key,
            "algorithm": algorithm,
            "key_identifier": key_identifier,
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
            "subject": subject_bytes(certificate),
            "signature_algorithm": signature_algorithm(algorithm),
            "name_constraints": tuple(
                constraint for link in self.chain if (constraint := _constraints_of(link))
            ),
            "extended_key_usage": _purposes_of(certificate),
            "chain_pem": b"".join(link.public_bytes(Encoding.PEM) for link in self.chain),
            "constant_extensions": (
                extensions.END_ENTITY
                + extensions.authority_key_identifier(key_identifier)
                + extensions.authority_information_access(
                    ocsp_url=self.ocsp_url, ca_issuers_url=self.ca_issuers_url
                )
                + extensions.crl_distribution_point(self.crl_url)
            ),
        }
        for name, value in computed.items():
            object.__setattr__(self, name, value)


def random_serial() -> int:
    """A serial of 16 octets, positive, 126 bits of it from the system's CSPRNG (RFC 5280 4.1.2.2 allows 20 octets).

    The top bits are fixed to 01 so that every serial has the same length and none is negative.
    """
    return 1 << 126 | secrets.randbits(126)


def key_identifier(spki: bytes) -> bytes:
    """The subject key identifier of a key: the left-most 160 bits of SHA-256 over its bits (RFC 7093 2, method 1).

    RFC 5280's own method is SHA-1, which FIPS modes withdraw; relying parties compare the octets and never
    compute them, so nothing is lost.
    """
    parts = asn1.children(spki, asn1.SEQUENCE)
    if len(parts) != 2:
        raise asn1.Malformed("a public key of two parts was expected")
    return sha256(asn1.octets(parts[1])).digest()[:20]


def subject_bytes(certificate: x509.Certificate) -> bytes:
    """The subject of a certificate as it stands in it; an encoder might choose other string types."""
    parts = asn1.children(certificate.tbs_certificate_bytes, asn1.SEQUENCE)
    return parts[5 if parts[0][0] == 0xA0 else 4]


def _check_issuer(
    certificate: x509.Certificate, chain: tuple[x509.Certificate, ...], urls: tuple[str | None, ...]
) -> None:
    """Raise ValueError for what no certificate of this issuer could be valid with."""
    if not chain or chain[0] != certificate:
        raise ValueError("the chain does not begin with the issuer's certificate")
    describe(certificate.public_key())
    stated = certificate.extensions
    try:
        authority = stated.get_extension_for_class(x509.BasicConstraints).value.ca
        usage = stated.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        stated.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound as missing:
        raise ValueError(f"its certificate has no extension {missing.oid.dotted_string}") from None
    if not authority or not usage:
        raise ValueError("its certificate is not that of a certificate authority")
    for url in urls:
        if url is not None:
            parse_uri(url)


def _constraints_of(certificate: x509.Certificate) -> x509.NameConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None


def _purposes_of(certificate: x509.Certificate) -> frozenset[str] | None:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    names = {oids.EXTENDED_KEY_USAGE_NAMES.get(one.dotted_string, one.dotted_string) for one in purposes}
    return None if "anyExtendedKeyUsage" in names else frozenset(names)


def to_be_signed(issuer: Issuer, content: CertificateContent) -> bytes:
    """DER TBSCertificate of `content` by `issuer`; ContentRefused when a field has no encoding.

    Whether the content is a good idea is not asked here: that is the lints' part.
    """
    try:
        return der.sequence(
            VERSION_3,
            der.integer(content.serial),
            issuer.signature_algorithm,
            issuer.subject,
            der.sequence(der.time(content.not_before), der.time(content.not_after)),
            content.subject,
            content.spki,
            der.tlv(0xA3, der.tlv(0x30, _extensions(issuer, content))),
        )
    except ValueError as fault:
        raise ContentRefused(f"not a certificate: {fault}") from None


def _extensions(issuer: Issuer, content: CertificateContent) -> bytes:
    constant = _usage_extensions(content.key_usage, content.extended_key_usage, content.must_staple)
    own_identifier = _SKI_HEAD + key_identifier(content.spki)
    if not content.identifiers:
        return constant + issuer.constant_extensions + own_identifier
    names = der.tlv(0x30, b"".join([_general_name(kind, value) for kind, value in content.identifiers]))
    critical = content.subject == _NO_NAME  # RFC 5280 4.2.1.6
    return (
        constant + issuer.constant_extensions + own_identifier + der.extension(_SAN, names, critical=critical)
    )


VERSION_3: Final = bytes.fromhex("a003020102")
_NO_NAME: Final = b"\x30\x00"
_SAN: Final = oids.encoded(oids.SUBJECT_ALT_NAME)
_SKI_HEAD: Final = extensions.subject_key_identifier(bytes(20))[:-20]
_NAME_TAGS: Final = {IdentifierType.EMAIL: 0x81, IdentifierType.DNS: 0x82, IdentifierType.URI: 0x86}


def _general_name(kind: IdentifierType, value: str) -> bytes:
    tag = _NAME_TAGS.get(kind)
    if tag is None:
        return der.tlv(0x87, ip_address(value).packed)
    return der.tlv(tag, value.encode("ascii"))


@lru_cache(maxsize=256)
def _usage_extensions(
    key_usage: tuple[str, ...], extended_key_usage: tuple[str, ...], must_staple: bool
) -> bytes:
    encoded = extensions.key_usage(key_usage)
    if extended_key_usage:
        encoded += extensions.extended_key_usage(extended_key_usage)
    return encoded + extensions.MUST_STAPLE if must_staple else encoded
