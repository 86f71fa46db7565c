"""What a request asks for in its extensionRequest attribute (RFC 2985 5.4.2): reported whole, granted nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ca import asn1, oids
from ca.csr.refused import CsrRefused
from ca.names import Identifier, parse_dns, parse_email, parse_ip_octets, parse_uri

MAX_NAMES: Final = 1000


@dataclass(slots=True)
class Wishes:
    """What was asked for; the defaults are a request without the attribute."""

    san: frozenset[Identifier] = frozenset()
    other_names: tuple[str, ...] = ()
    extensions: frozenset[str] = frozenset()
    key_usage: tuple[str, ...] | None = None
    extended_key_usage: tuple[str, ...] | None = None
    must_staple: bool = False
    basic_constraints_ca: bool = False


_REQUEST_OIDS: Final = frozenset(
    {oids.body(oids.EXTENSION_REQUEST), oids.body(oids.MICROSOFT_EXTENSION_REQUEST)}
)


def read_wishes(attributes: bytes) -> Wishes:
    """What the [0] element `attributes` asks for."""
    seen: set[bytes] = set()
    wishes: Wishes | None = None
    for attribute in asn1.children(attributes, 0xA0):
        parts = asn1.children(attribute, asn1.SEQUENCE)
        if len(parts) != 2 or parts[1][0] != asn1.SET:
            raise asn1.Malformed("an attribute of two parts was expected")
        kind = asn1.content(parts[0], asn1.OBJECT_IDENTIFIER)
        if kind in seen:
            raise CsrRefused("the request has the same attribute twice")
        seen.add(kind)
        if kind not in _REQUEST_OIDS:
            continue
        values = asn1.children(parts[1], asn1.SET)
        if wishes is not None or len(values) != 1:
            raise CsrRefused("the request has more or less than one list of extensions")
        wishes = _extensions(values[0])
    return wishes or Wishes()


def _extensions(wanted: bytes) -> Wishes:
    wishes = Wishes()
    seen: set[str] = set()
    for extension in asn1.children(wanted, asn1.SEQUENCE):
        parts = asn1.children(extension, asn1.SEQUENCE)
        if len(parts) not in (2, 3):
            raise asn1.Malformed("an extension was expected")
        if len(parts) == 3 and not asn1.boolean(asn1.content(parts[1], asn1.BOOLEAN)):
            raise asn1.Malformed("a default value that is written out")
        kind = asn1.dotted(asn1.content(parts[0], asn1.OBJECT_IDENTIFIER))
        value = asn1.content(parts[-1], asn1.OCTET_STRING)
        if kind in seen:
            raise CsrRefused(f"the request asks for the extension {kind} twice")
        seen.add(kind)
        read = _READERS.get(kind)
        if read is not None:
            read(value, wishes)
    wishes.extensions = frozenset(seen)
    return wishes


def _read_san(value: bytes, wishes: Wishes) -> None:
    names = asn1.children(value, asn1.SEQUENCE)
    if not names:
        raise CsrRefused("the request has a subjectAltName without names")
    if len(names) > MAX_NAMES:
        raise CsrRefused(f"the request has more than {MAX_NAMES} names")
    known: set[Identifier] = set()
    others: list[str] = []
    for name in names:
        tag = name[0]
        read = _GENERAL_NAMES.get(tag)
        if read is None:
            others.append(_other_name(name))
        else:
            known.add(read(asn1.content(name, tag)))
    wishes.san, wishes.other_names = frozenset(known), tuple(others)


def _text_name(parse: Callable[[str], Identifier]) -> Callable[[bytes], Identifier]:
    # latin-1 keeps whatever octets came for the refusal; the parsers accept ASCII only (IA5String).
    return lambda octets: parse(octets.decode("latin-1"))


_GENERAL_NAMES: Final[dict[int, Callable[[bytes], Identifier]]] = {
    0x81: _text_name(parse_email),
    0x82: _text_name(parse_dns),
    0x86: _text_name(parse_uri),
    0x87: parse_ip_octets,
}
_OTHER_KINDS: Final = {0xA0: "otherName", 0xA3: "x400Address", 0xA4: "directoryName", 0xA5: "ediPartyName"}


def _other_name(name: bytes) -> str:
    tag = name[0]
    if tag == 0x88:
        return f"registeredID {asn1.dotted(asn1.content(name, tag))}"
    if tag not in _OTHER_KINDS:
        raise asn1.Malformed("a name of no known kind")
    parts = asn1.children(name, tag)
    if tag == 0xA0:
        if not parts:
            raise asn1.Malformed("an otherName without a type")
        return f"otherName {asn1.dotted(asn1.content(parts[0], asn1.OBJECT_IDENTIFIER))}"
    return _OTHER_KINDS[tag]


def _read_key_usage(value: bytes, wishes: Wishes) -> None:
    wishes.key_usage = oids.read_key_usage(value)


def _read_extended_key_usage(value: bytes, wishes: Wishes) -> None:
    wishes.extended_key_usage = oids.read_extended_key_usage(value)


def _read_basic_constraints(value: bytes, wishes: Wishes) -> None:
    parts = asn1.children(value, asn1.SEQUENCE)
    if parts and parts[0][0] == asn1.BOOLEAN:
        wishes.basic_constraints_ca = asn1.boolean(asn1.content(parts[0], asn1.BOOLEAN))


def _read_tls_feature(value: bytes, wishes: Wishes) -> None:
    features = asn1.children(value, asn1.SEQUENCE)
    wishes.must_staple = 5 in [asn1.unsigned(asn1.content(feature, asn1.INTEGER)) for feature in features]


_READERS: Final[dict[str, Callable[[bytes, Wishes], None]]] = {
    oids.SUBJECT_ALT_NAME: _read_san,
    oids.KEY_USAGE: _read_key_usage,
    oids.EXTENDED_KEY_USAGE: _read_extended_key_usage,
    oids.BASIC_CONSTRAINTS: _read_basic_constraints,
    oids.TLS_FEATURE: _read_tls_feature,
}
