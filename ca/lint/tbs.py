"""A TBSCertificate as lints read it: taken apart from its octets, extension values left as they are."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from ca import asn1, oids
from ca.distinguished_names import SubjectRefused, read_attributes
from ca.keys import KeyAlgorithm, key_algorithm_of
from ca.names import Identifier, NameRefused, parse_dns, parse_email, parse_ip_octets, parse_uri


class Extension(NamedTuple):
    """`value` is the DER inside the OCTET STRING."""

    critical: bool
    value: bytes


class GeneralName(NamedTuple):
    """One name of a subjectAltName: its context tag, its octets, and what they stand for."""

    tag: int
    octets: bytes
    identifier: Identifier | None
    """None when the octets are malformed or the name of a kind not issued here."""


class Subject(NamedTuple):
    """What a subject says; `fault` is why no certificate should repeat it."""

    common_name: str | None
    fault: str | None


class ToBeSigned(NamedTuple):
    """The fields of RFC 5280 4.1.2; DER values are whole elements."""

    serial: int
    serial_octets: int
    signature_algorithm: bytes
    issuer: bytes
    not_before: datetime
    not_after: datetime
    times_as_written: tuple[bytes, bytes]
    subject: bytes
    spki: bytes
    key_algorithm: KeyAlgorithm | None
    public_key_bits: bytes
    extensions: dict[str, Extension]
    duplicates: tuple[str, ...]
    key_usage: tuple[str, ...]
    extended_key_usage: tuple[str, ...]
    alternative_names: tuple[GeneralName, ...]

    @property
    def names(self) -> tuple[Identifier, ...]:
        """The alternative names that are well formed, in their order."""
        return tuple([name.identifier for name in self.alternative_names if name.identifier is not None])


def read(tbs: bytes) -> ToBeSigned:
    """Take `tbs` apart; asn1.Malformed where it is not what RFC 5280 4.1 describes."""
    parts = asn1.children(tbs, asn1.SEQUENCE)
    if len(parts) != 8 or parts[0] != _VERSION_3:
        raise asn1.Malformed("not a version 3 certificate with extensions and without unique identifiers")
    _, serial, signature, issuer, validity, subject, spki, wrapped = parts
    key = asn1.children(spki, asn1.SEQUENCE)
    lists = asn1.children(wrapped, 0xA3)
    if len(key) != 2 or len(lists) != 1:
        raise asn1.Malformed("not the parts of RFC 5280 4.1")
    serial_body = asn1.content(serial, asn1.INTEGER)
    not_before, not_after, times_as_written = _validity(validity)
    extensions, duplicates = _extensions(lists[0])
    usage = extensions.get(oids.KEY_USAGE)
    purposes = extensions.get(oids.EXTENDED_KEY_USAGE)
    names = extensions.get(oids.SUBJECT_ALT_NAME)
    return ToBeSigned(
        serial=asn1.unsigned(serial_body),
        serial_octets=len(serial_body),
        signature_algorithm=signature,
        issuer=issuer,
        not_before=not_before,
        not_after=not_after,
        times_as_written=times_as_written,
        subject=subject,
        spki=spki,
        key_algorithm=key_algorithm_of(key[0]),
        public_key_bits=asn1.octets(key[1]),
        extensions=extensions,
        duplicates=duplicates,
        key_usage=_key_usage(usage.value) if usage else (),
        extended_key_usage=_extended_key_usage(purposes.value) if purposes else (),
        alternative_names=_general_names(names.value) if names else (),
    )


@lru_cache(maxsize=256)
def read_subject(subject: bytes) -> Subject:
    """What the DER Name says, for the lints that ask."""
    try:
        return Subject(read_attributes(subject)[1], None)
    except (SubjectRefused, asn1.Malformed) as fault:
        return Subject(None, str(fault))


_VERSION_3: Final = bytes.fromhex("a003020102")
_TEXT_NAMES: Final[dict[int, Callable[[str], Identifier]]] = {
    0x81: parse_email,
    0x82: parse_dns,
    0x86: parse_uri,
}

# Most extensions of an authority are the same in all its certificates: reading each of them once is enough.
_key_usage: Final = lru_cache(maxsize=64)(oids.read_key_usage)
_extended_key_usage: Final = lru_cache(maxsize=64)(oids.read_extended_key_usage)


def _extensions(listed: bytes) -> tuple[dict[str, Extension], tuple[str, ...]]:
    found: dict[str, Extension] = {}
    duplicates: list[str] = []
    for whole in asn1.children(listed, asn1.SEQUENCE):
        kind, extension = _extension(whole)
        if kind in found:
            duplicates.append(kind)
        found[kind] = extension
    return found, tuple(duplicates)


@lru_cache(maxsize=256)
def _extension(whole: bytes) -> tuple[str, Extension]:
    parts = asn1.children(whole, asn1.SEQUENCE)
    critical = len(parts) == 3
    if len(parts) not in (2, 3) or (critical and parts[1] != b"\x01\x01\xff"):
        raise asn1.Malformed("an extension that is not encoded as RFC 5280 4.1 says")
    kind = asn1.dotted(asn1.content(parts[0], asn1.OBJECT_IDENTIFIER))
    return kind, Extension(critical, asn1.content(parts[-1], asn1.OCTET_STRING))


def _general_names(value: bytes) -> tuple[GeneralName, ...]:
    names = []
    for name in asn1.children(value, asn1.SEQUENCE):
        tag = name[0]
        octets = asn1.content(name, tag)
        names.append(GeneralName(tag, octets, _identifier(tag, octets)))
    return tuple(names)


def _identifier(tag: int, octets: bytes) -> Identifier | None:
    try:
        if tag == 0x87:
            return parse_ip_octets(octets)
        parse = _TEXT_NAMES.get(tag)
        return parse(octets.decode("latin-1")) if parse else None
    except NameRefused:
        return None


@lru_cache(maxsize=64)  # under load, many certificates begin in the same second
def _validity(validity: bytes) -> tuple[datetime, datetime, tuple[bytes, bytes]]:
    """notBefore, notAfter, and both as they are written."""
    times = asn1.children(validity, asn1.SEQUENCE)
    if len(times) != 2:
        raise asn1.Malformed("not the parts of RFC 5280 4.1")
    return _time(times[0]), _time(times[1]), (times[0], times[1])


def _time(written: bytes) -> datetime:
    """UTCTime or GeneralizedTime in the one form that RFC 5280 4.1.2.5 allows each."""
    digits = written[2:-1]
    if written[-1:] != b"Z" or not digits.isdigit() or (written[:2], len(digits)) not in _TIME_FORMS:
        raise asn1.Malformed("a time that is not written as RFC 5280 4.1.2.5 says")
    if len(digits) == 12:
        digits = (b"19" if digits >= b"50" else b"20") + digits
    month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(4, 14, 2))
    try:
        return datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise asn1.Malformed("a time that does not exist") from None


_TIME_FORMS: Final = {(b"\x17\x0d", 12), (b"\x18\x0f", 14)}
