"""Distinguished names from strangers: decoded, checked and encoded anew, so that no odd encoding is passed on."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from ca import asn1

MAX_ATTRIBUTES: Final = 32

EMPTY: Final = x509.Name([])


class SubjectRefused(ValueError):
    """The name cannot stand in a certificate; the message says why."""


_UTF8: Final = 0x0C
_NUMERIC: Final = 0x12
_PRINTABLE: Final = 0x13
_TELETEX: Final = 0x14
_IA5: Final = 0x16
_VISIBLE: Final = 0x1A
_UNIVERSAL: Final = 0x1C
_BMP: Final = 0x1E

# What each string type's octets are. TeletexString is read as Latin-1, which is what its writers meant.
_CHARSETS: Final = {
    _UTF8: "utf-8",
    _NUMERIC: "ascii",
    _PRINTABLE: "ascii",
    _TELETEX: "latin-1",
    _IA5: "ascii",
    _VISIBLE: "ascii",
    _UNIVERSAL: "utf-32-be",
    _BMP: "utf-16-be",
}

_PRINTABLE_TEXT: Final = re.compile(r"[A-Za-z0-9 '()+,./:=?-]+")
_IA5_TEXT: Final = re.compile(r"[\x20-\x7e]+")
# Types whose syntax RFC 5280 appendix A fixes narrower than DirectoryString.
_NARROW: Final = {
    NameOID.COUNTRY_NAME: re.compile(r"[A-Za-z]{2}"),
    NameOID.JURISDICTION_COUNTRY_NAME: re.compile(r"[A-Za-z]{2}"),
    NameOID.SERIAL_NUMBER: _PRINTABLE_TEXT,
    NameOID.DN_QUALIFIER: _PRINTABLE_TEXT,
    NameOID.DOMAIN_COMPONENT: _IA5_TEXT,
    NameOID.EMAIL_ADDRESS: _IA5_TEXT,
}
# Upper bounds of RFC 5280 appendix A.1; ours where it has none, or one of thousands.
_BOUNDS: Final = {
    NameOID.COMMON_NAME: 64,
    NameOID.ORGANIZATION_NAME: 64,
    NameOID.ORGANIZATIONAL_UNIT_NAME: 64,
    NameOID.TITLE: 64,
    NameOID.SERIAL_NUMBER: 64,
    NameOID.LOCALITY_NAME: 128,
    NameOID.STATE_OR_PROVINCE_NAME: 128,
    NameOID.EMAIL_ADDRESS: 255,
}
_BOUND: Final = 255


class Attribute(NamedTuple):
    """One attribute of a name, its value decoded and checked."""

    oid: x509.ObjectIdentifier
    text: str


def read_name(name: bytes) -> tuple[x509.Name, str | None]:
    """The DER Name and its CN. SubjectRefused for what no certificate should repeat, asn1.Malformed for no name at all."""
    if name == b"\x30\x00":
        return EMPTY, None
    rdns, common_name = read_attributes(name)
    try:
        built = [
            x509.RelativeDistinguishedName([x509.NameAttribute(oid, text) for oid, text in attributes])
            for attributes in rdns
        ]
    except ValueError:  # cryptography has come to be stricter than what is checked here
        raise SubjectRefused("the subject cannot be written anew") from None
    return x509.Name(built), common_name


def read_attributes(name: bytes) -> tuple[list[list[Attribute]], str | None]:
    """What `read_name` builds its name of: the attributes of each relative distinguished name, and the CN."""
    rdns = []
    common_name = None
    count = 0
    for rdn in asn1.children(name, asn1.SEQUENCE):
        pairs = asn1.children(rdn, asn1.SET)
        if not pairs:
            raise asn1.Malformed("a relative distinguished name was expected")
        count += len(pairs)
        if count > MAX_ATTRIBUTES:
            raise SubjectRefused(f"the subject has more than {MAX_ATTRIBUTES} attributes")
        attributes = [_attribute(pair) for pair in pairs]
        for oid, text in attributes:
            if oid == NameOID.COMMON_NAME:
                if common_name is not None:
                    raise SubjectRefused("the subject has more than one common name")
                common_name = text
        if len(attributes) > 1 and len(set(attributes)) != len(attributes):
            raise SubjectRefused("the subject has the same attribute twice in one place")
        rdns.append(attributes)
    return rdns, common_name


class _Syntax(NamedTuple):
    """What the values of a type of attribute look like."""

    oid: x509.ObjectIdentifier
    dotted: str
    narrow: re.Pattern[str] | None
    bound: int


@lru_cache(maxsize=256)
def _syntax(kind: bytes) -> _Syntax:
    """Of the type with these content octets of an OBJECT IDENTIFIER."""
    dotted = asn1.dotted(kind)
    try:
        oid = x509.ObjectIdentifier(dotted)
    except ValueError:  # cryptography takes shorter ones than asn1
        raise SubjectRefused(f"the type {dotted} of a subject attribute is too long") from None
    return _Syntax(oid, dotted, _NARROW.get(oid), _BOUNDS.get(oid, _BOUND))


def _attribute(pair: bytes) -> Attribute:
    parts = asn1.children(pair, asn1.SEQUENCE)
    if len(parts) != 2:
        raise asn1.Malformed("an attribute of a name was expected")
    kind, value = parts
    oid, dotted, narrow, bound = _syntax(asn1.content(kind, asn1.OBJECT_IDENTIFIER))
    charset = _CHARSETS.get(value[0])
    if charset is None:
        raise SubjectRefused(f"the subject attribute {dotted} is not text")
    octets = asn1.content(value, value[0])
    try:
        text = octets.decode(charset)
    except ValueError:
        raise SubjectRefused(f"the subject attribute {dotted} is not in its character set") from None
    if not text or not text.isprintable() or (narrow is not None and not narrow.fullmatch(text)):
        raise SubjectRefused(f"the subject attribute {dotted} is empty or has characters that it cannot have")
    if len(text) > bound:
        raise SubjectRefused(f"the subject attribute {dotted} has more than {bound} characters")
    if oid == NameOID.COMMON_NAME and len(text.encode()) > bound:
        # RFC 5280 counts characters; cryptography, which builds and reads such names, octets.
        raise SubjectRefused(f"the subject attribute {dotted} is too long")
    return Attribute(oid, text)
