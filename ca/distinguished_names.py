"""Distinguished names from strangers: decoded, checked and encoded anew, so that no odd encoding is passed on."""

import re
from functools import lru_cache
from typing import Final

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


def read_name(data: bytes, name: asn1.Element) -> tuple[x509.Name, str | None]:
    """The name and its CN. SubjectRefused for what no certificate should repeat, asn1.Malformed for no name at all."""
    if name.tag != asn1.SEQUENCE:
        raise asn1.Malformed("a name was expected")
    if name.start == name.stop:
        return EMPTY, None
    rdns = []
    common_name = None
    count = 0
    for rdn in asn1.children(data, name):
        pairs = asn1.children(data, rdn)
        if rdn.tag != asn1.SET or not pairs:
            raise asn1.Malformed("a relative distinguished name was expected")
        count += len(pairs)
        if count > MAX_ATTRIBUTES:
            raise SubjectRefused(f"the subject has more than {MAX_ATTRIBUTES} attributes")
        attributes = []
        for pair in pairs:
            attribute = _attribute(data, pair)
            if attribute.oid == NameOID.COMMON_NAME:
                if common_name is not None:
                    raise SubjectRefused("the subject has more than one common name")
                common_name = str(attribute.value)
            attributes.append(attribute)
        rdns.append(_rdn(attributes))
    return x509.Name(rdns), common_name


_object_identifier: Final = lru_cache(maxsize=256)(x509.ObjectIdentifier)


def _attribute(data: bytes, pair: asn1.Element) -> x509.NameAttribute[str | bytes]:
    parts = asn1.children(data, pair)
    if pair.tag != asn1.SEQUENCE or len(parts) != 2:
        raise asn1.Malformed("an attribute of a name was expected")
    dotted = asn1.dotted(asn1.content(data, parts[0], asn1.OBJECT_IDENTIFIER))
    charset = _CHARSETS.get(parts[1].tag)
    if charset is None:
        raise SubjectRefused(f"the subject attribute {dotted} is not text")
    try:
        text = data[parts[1].start : parts[1].stop].decode(charset)
        oid = _object_identifier(dotted)
    except ValueError:
        raise SubjectRefused(f"the subject attribute {dotted} is not in its character set") from None
    narrow = _NARROW.get(oid)
    if not text or not text.isprintable() or (narrow is not None and not narrow.fullmatch(text)):
        raise SubjectRefused(f"the subject attribute {dotted} is empty or has characters that it cannot have")
    if len(text) > _BOUNDS.get(oid, _BOUND):
        raise SubjectRefused(
            f"the subject attribute {dotted} has more than {_BOUNDS.get(oid, _BOUND)} characters"
        )
    return _name_attribute(oid, text)


def _name_attribute(oid: x509.ObjectIdentifier, text: str) -> x509.NameAttribute[str | bytes]:
    try:
        return x509.NameAttribute(oid, text)
    except ValueError:  # cryptography counts the octets of some bounds, RFC 5280 the characters
        raise SubjectRefused(f"the subject attribute {oid.dotted_string} is too long") from None


def _rdn(attributes: list[x509.NameAttribute[str | bytes]]) -> x509.RelativeDistinguishedName:
    try:
        return x509.RelativeDistinguishedName(attributes)
    except ValueError:
        raise SubjectRefused("the subject has the same attribute twice in one place") from None
