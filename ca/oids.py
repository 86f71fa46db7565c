"""Object identifiers and the names RFC 5280 gives them, encoded once."""

from typing import Final

from ca import asn1, der

COMMON_NAME: Final = "2.5.4.3"

SUBJECT_KEY_IDENTIFIER: Final = "2.5.29.14"
KEY_USAGE: Final = "2.5.29.15"
SUBJECT_ALT_NAME: Final = "2.5.29.17"
BASIC_CONSTRAINTS: Final = "2.5.29.19"
NAME_CONSTRAINTS: Final = "2.5.29.30"
CRL_DISTRIBUTION_POINTS: Final = "2.5.29.31"
AUTHORITY_KEY_IDENTIFIER: Final = "2.5.29.35"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"
AUTHORITY_INFO_ACCESS: Final = "1.3.6.1.5.5.7.1.1"
TLS_FEATURE: Final = "1.3.6.1.5.5.7.1.24"

AD_OCSP: Final = "1.3.6.1.5.5.7.48.1"
AD_CA_ISSUERS: Final = "1.3.6.1.5.5.7.48.2"

EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"
MICROSOFT_EXTENSION_REQUEST: Final = "1.3.6.1.4.1.311.2.1.14"

# KeyUsage, RFC 5280 4.2.1.3: name -> bit. Bit 1 under its present X.509 name; RFC 5280 wrote nonRepudiation.
KEY_USAGE_BITS: Final[dict[str, int]] = {
    "digitalSignature": 0,
    "contentCommitment": 1,
    "keyEncipherment": 2,
    "dataEncipherment": 3,
    "keyAgreement": 4,
    "keyCertSign": 5,
    "cRLSign": 6,
    "encipherOnly": 7,
    "decipherOnly": 8,
}
KEY_USAGE_NAMES: Final[dict[int, str]] = {bit: name for name, bit in KEY_USAGE_BITS.items()}

# ExtendedKeyUsage, RFC 5280 4.2.1.12: name -> dotted. A dotted OID stands for itself everywhere.
EXTENDED_KEY_USAGES: Final[dict[str, str]] = {
    "anyExtendedKeyUsage": "2.5.29.37.0",
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "clientAuth": "1.3.6.1.5.5.7.3.2",
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
    "timeStamping": "1.3.6.1.5.5.7.3.8",
    "OCSPSigning": "1.3.6.1.5.5.7.3.9",
}
EXTENDED_KEY_USAGE_NAMES: Final[dict[str, str]] = {
    dotted: name for name, dotted in EXTENDED_KEY_USAGES.items()
}


def encoded(dotted: str) -> bytes:
    """The OBJECT IDENTIFIER element of `dotted`."""
    return der.oid(dotted)


def body(dotted: str) -> bytes:
    """The content octets of `dotted`: what a reader compares with."""
    return der.oid(dotted)[2:]


def read_key_usage(value: bytes) -> tuple[str, ...]:
    """The names in a KeyUsage value, in bit order; asn1.Malformed when it is none."""
    bits = asn1.named_bits(asn1.content(value, asn1.BIT_STRING))
    if not bits <= KEY_USAGE_NAMES.keys():
        raise asn1.Malformed("a key usage bit that RFC 5280 does not define")
    return tuple(KEY_USAGE_NAMES[bit] for bit in sorted(bits))


def read_extended_key_usage(value: bytes) -> tuple[str, ...]:
    """The purposes in an ExtendedKeyUsage value in their order, by name where they have one here, else dotted."""
    purposes = asn1.children(value, asn1.SEQUENCE)
    if not purposes:
        raise asn1.Malformed("an extended key usage without a purpose")
    found = [asn1.dotted(asn1.content(purpose, asn1.OBJECT_IDENTIFIER)) for purpose in purposes]
    return tuple([EXTENDED_KEY_USAGE_NAMES.get(dotted, dotted) for dotted in found])
