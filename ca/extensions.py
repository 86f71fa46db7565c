"""Certificate extensions (RFC 5280 4.2), each encoded with the criticality the RFC gives it."""

from typing import Final

from ca import der, oids


def key_usage(names: tuple[str, ...]) -> bytes:
    """KeyUsage, critical; ValueError for none, or a name RFC 5280 4.2.1.3 does not have."""
    unknown = [name for name in names if name not in oids.KEY_USAGE_BITS]
    if unknown or not names:
        raise ValueError(f"no key usage of RFC 5280: {', '.join(unknown) or 'none given'}")
    bits = der.named_bits({oids.KEY_USAGE_BITS[name] for name in names})
    return der.extension(oids.encoded(oids.KEY_USAGE), bits, critical=True)


def extended_key_usage(purposes: tuple[str, ...]) -> bytes:
    """ExtendedKeyUsage in the order given; ValueError for what is neither a name nor a dotted OID.

    Critical for time stamping, as RFC 3161 2.3 demands, else not.
    """
    dotted = [oids.EXTENDED_KEY_USAGES.get(purpose, purpose) for purpose in purposes]
    encoded = der.sequence(*[der.oid(purpose) for purpose in dotted])
    critical = oids.EXTENDED_KEY_USAGES["timeStamping"] in dotted
    return der.extension(oids.encoded(oids.EXTENDED_KEY_USAGE), encoded, critical=critical)


def authority(path_length: int | None) -> bytes:
    """Critical basicConstraints of a certificate authority; None leaves the path length unbounded."""
    bound = b"" if path_length is None else der.integer(path_length)
    return der.extension(oids.encoded(oids.BASIC_CONSTRAINTS), der.sequence(der.TRUE, bound), critical=True)


END_ENTITY: Final = der.extension(oids.encoded(oids.BASIC_CONSTRAINTS), der.sequence(), critical=True)
"""Critical basicConstraints of everybody else: cA is left at its default, FALSE."""

MUST_STAPLE: Final = der.extension(oids.encoded(oids.TLS_FEATURE), der.sequence(der.integer(5)))
"""TLS feature status_request (RFC 7633 4.2.3.1)."""


def subject_key_identifier(identifier: bytes) -> bytes:
    """SubjectKeyIdentifier, not critical."""
    return der.extension(oids.encoded(oids.SUBJECT_KEY_IDENTIFIER), der.octet_string(identifier))


def authority_key_identifier(identifier: bytes) -> bytes:
    """AuthorityKeyIdentifier with the key identifier alone, not critical."""
    return der.extension(oids.encoded(oids.AUTHORITY_KEY_IDENTIFIER), der.sequence(der.tlv(0x80, identifier)))


def authority_information_access(*, ocsp_url: str | None, ca_issuers_url: str | None) -> bytes:
    """AuthorityInfoAccess (RFC 5280 4.2.2.1), not critical; no octets when neither is given."""
    places = [
        der.sequence(oids.encoded(method), der.tlv(0x86, url.encode("ascii")))
        for method, url in ((oids.AD_OCSP, ocsp_url), (oids.AD_CA_ISSUERS, ca_issuers_url))
        if url is not None
    ]
    return der.extension(oids.encoded(oids.AUTHORITY_INFO_ACCESS), der.sequence(*places)) if places else b""


def crl_distribution_point(url: str | None) -> bytes:
    """CRLDistributionPoints with one full name (RFC 5280 4.2.1.13), not critical; no octets without `url`."""
    if url is None:
        return b""
    full_name = der.tlv(0xA0, der.tlv(0x86, url.encode("ascii")))
    return der.extension(
        oids.encoded(oids.CRL_DISTRIBUTION_POINTS), der.sequence(der.sequence(der.tlv(0xA0, full_name)))
    )
