"""A TBSCertificate as lints read it: taken apart from its octets, extension values left as they are."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from ca import asn1, oids
from ca.keys import KeyAlgorithm, key_algorithm_of
from ca.names import Identifier, NameRefused, parse_dns, parse_email, parse_ip_octets, parse_uri


class Extension(NamedTuple):
    """`value` is the DER inside the OCTET STRING."""

    critical: bool
    value: bytes


class GeneralName(NamedTuple):
    """One name of a subjectAltName: its context tag and its octets."""

    tag: int
    octets: bytes


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
        return tuple([name for name in map(identifier, self.alternative_names) if name is not None])


def read(tbs: bytes) -> ToBeSigned:
    """Take `tbs` apart; asn1.Malformed where it is not what RFC 5280 4.1 describes."""
    parts = asn1.children(tbs, asn1.only(tbs, asn1.SEQUENCE))
    if len(parts) != 8 or tbs[parts[0].at : parts[0].stop] != _VERSION_3 or parts[7].tag != 0xA3:
        raise asn1.Malformed("not a version 3 certificate with extensions and without unique identifiers")
    _, serial, signature, issuer, validity, subject, spki, wrapped = parts
    serial_body = asn1.content(tbs, serial, asn1.INTEGER)
    times = asn1.children(tbs, validity)
    key = asn1.children(tbs, spki)
    lists = asn1.children(tbs, wrapped)
    if len(times) != 2 or len(key) != 2 or len(lists) != 1 or lists[0].tag != asn1.SEQUENCE:
        raise asn1.Malformed("not the parts of RFC 5280 4.1")
    extensions, duplicates = _extensions(tbs, lists[0])
    usage = extensions.get(oids.KEY_USAGE)
    purposes = extensions.get(oids.EXTENDED_KEY_USAGE)
    names = extensions.get(oids.SUBJECT_ALT_NAME)
    return ToBeSigned(
        serial=asn1.unsigned(serial_body),
        serial_octets=len(serial_body),
        signature_algorithm=asn1.whole(tbs, signature),
        issuer=asn1.whole(tbs, issuer),
        not_before=_time(asn1.whole(tbs, times[0])),
        not_after=_time(asn1.whole(tbs, times[1])),
        times_as_written=(asn1.whole(tbs, times[0]), asn1.whole(tbs, times[1])),
        subject=asn1.whole(tbs, subject),
        spki=asn1.whole(tbs, spki),
        key_algorithm=key_algorithm_of(asn1.whole(tbs, key[0])),
        public_key_bits=asn1.octets(tbs, key[1]),
        extensions=extensions,
        duplicates=duplicates,
        key_usage=_key_usage(usage.value) if usage else (),
        extended_key_usage=_extended_key_usage(purposes.value) if purposes else (),
        alternative_names=_general_names(names.value) if names else (),
    )


def identifier(name: GeneralName) -> Identifier | None:
    """The canonical identifier that `name` stands for; None when it is malformed or of a kind not issued here."""
    try:
        if name.tag == 0x87:
            return parse_ip_octets(name.octets)
        parse = _TEXT_NAMES.get(name.tag)
        return parse(name.octets.decode("latin-1")) if parse else None
    except NameRefused:
        return None


_VERSION_3: Final = bytes.fromhex("a003020102")
_TEXT_NAMES: Final = {0x81: parse_email, 0x82: parse_dns, 0x86: parse_uri}

# Most extensions of an authority are the same in all its certificates: reading each of them once is enough.
_key_usage: Final = lru_cache(maxsize=64)(oids.read_key_usage)
_extended_key_usage: Final = lru_cache(maxsize=64)(oids.read_extended_key_usage)


def _extensions(tbs: bytes, listed: asn1.Element) -> tuple[dict[str, Extension], tuple[str, ...]]:
    found: dict[str, Extension] = {}
    duplicates: list[str] = []
    for _, at, _, stop in asn1.children(tbs, listed):
        kind, extension = _extension(tbs[at:stop])
        if kind in found:
            duplicates.append(kind)
        found[kind] = extension
    return found, tuple(duplicates)


@lru_cache(maxsize=256)
def _extension(whole: bytes) -> tuple[str, Extension]:
    parts = asn1.children(whole, asn1.only(whole, asn1.SEQUENCE))
    critical = len(parts) == 3
    if len(parts) not in (2, 3) or (critical and asn1.whole(whole, parts[1]) != b"\x01\x01\xff"):
        raise asn1.Malformed("an extension that is not encoded as RFC 5280 4.1 says")
    kind = asn1.dotted(asn1.content(whole, parts[0], asn1.OBJECT_IDENTIFIER))
    return kind, Extension(critical, asn1.content(whole, parts[-1], asn1.OCTET_STRING))


def _general_names(value: bytes) -> tuple[GeneralName, ...]:
    listed = asn1.children(value, asn1.only(value, asn1.SEQUENCE))
    return tuple([GeneralName(name.tag, value[name.start : name.stop]) for name in listed])


@lru_cache(maxsize=64)  # under load, many certificates begin in the same second
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
