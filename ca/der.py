"""Write DER (X.690): only the forms that certificate templates need, as plain bytes.

Hot templates concatenate bytes instead of building an object per field; the tests hold every byte against
cryptography's own builder.
"""

from datetime import UTC, datetime
from typing import Final

NULL: Final = b"\x05\x00"
TRUE: Final = b"\x01\x01\xff"

_SHORT: Final = 0x80


def tlv(tag: int, content: bytes) -> bytes:
    """One element: identifier octet `tag`, minimal definite length, content."""
    length = len(content)
    if length < _SHORT:
        return b"%c%c%b" % (tag, length, content)
    octets = (length.bit_length() + 7) // 8
    return b"%c%c%b%b" % (tag, _SHORT | octets, length.to_bytes(octets, "big"), content)


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of elements that are encoded already."""
    return tlv(0x30, b"".join(parts))


def octet_string(content: bytes) -> bytes:
    """OCTET STRING, primitive."""
    return tlv(0x04, content)


def bit_string(content: bytes) -> bytes:
    """BIT STRING of whole octets (no unused bits)."""
    return tlv(0x03, b"\x00" + content)


def named_bits(positions: set[int] | frozenset[int]) -> bytes:
    """BIT STRING of a named bit list; trailing zero bits are cut as X.690 11.2.2 asks. Bit 0 is the first."""
    if not positions:
        return b"\x03\x01\x00"
    size = max(positions) + 1
    octets = (size + 7) // 8
    value = sum(1 << (octets * 8 - 1 - position) for position in positions)
    return tlv(0x03, bytes((octets * 8 - size,)) + value.to_bytes(octets, "big"))


def integer(value: int) -> bytes:
    """INTEGER, two's complement in the fewest octets; certificates have no negative ones, so ValueError."""
    if value < 0:
        raise ValueError("certificates carry no negative INTEGER")
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from dotted decimal; ValueError when the text is not one."""
    arcs = dotted.split(".")
    if len(arcs) < 2 or not all(
        arc.isascii() and arc.isdigit() and (arc == "0" or arc[0] != "0") for arc in arcs
    ):
        raise ValueError(f"not an object identifier: {dotted!r}")
    first, second, *rest = map(int, arcs)
    if first > 2 or (first < 2 and second > 39):
        raise ValueError(f"not an object identifier: {dotted!r}")
    out = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | (arc & 0x7F))
        out += bytes(reversed(groups))
    return tlv(0x06, bytes(out))


def time(moment: datetime) -> bytes:
    """UTCTime through 2049, GeneralizedTime otherwise (RFC 5280 4.1.2.5).

    `moment` is an aware datetime of whole seconds; ValueError otherwise, because silently cutting a fraction
    would sign another validity than the one that was decided.
    """
    if moment.tzinfo is not UTC:
        if moment.utcoffset() is None:
            raise ValueError("a certificate time needs a time zone")
        moment = moment.astimezone(UTC)
    if moment.microsecond:
        raise ValueError("a certificate time has whole seconds")
    year = moment.year
    clock = (moment.month, moment.day, moment.hour, moment.minute, moment.second)
    if 1950 <= year < 2050:
        return b"\x17\x0d%02d%02d%02d%02d%02d%02dZ" % (year % 100, *clock)
    return b"\x18\x0f%04d%02d%02d%02d%02d%02dZ" % (year, *clock)


def extension(identifier: bytes, value: bytes, *, critical: bool = False) -> bytes:
    """Extension (RFC 5280 4.1): `identifier` is an encoded OID, `value` the DER of the extension's type."""
    return sequence(identifier, TRUE if critical else b"", octet_string(value))
