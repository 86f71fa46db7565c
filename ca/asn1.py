"""Read DER strictly, without building objects: an element is its octets, and every bound is checked.

Used on what strangers send and on what is about to be signed. High tag numbers, indefinite and non-minimal
lengths and elements that leave their parent are refused with `Malformed`; nothing else is ever raised.
"""

from functools import lru_cache
from typing import Final

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31


class Malformed(ValueError):
    """The bytes are not the DER that stands here."""


def children(element: bytes, tag: int) -> list[bytes]:
    """The elements that fill `element` exactly, in order; it must be one element of `tag` and nothing more."""
    stop = len(element)
    # Short forms without a call, here and below: nearly every element of a certificate has one.
    at = 2 if 2 <= stop < _LONG and element[1] == stop - 2 and element[0] == tag else _start(element, tag)
    found = []
    try:
        while at < stop:
            end = at + 2 + element[at + 1]
            if element[at + 1] >= 0x80 or element[at] & 0x1F == 0x1F:
                end = _header(element, at)[1]
            found.append(element[at:end])
            at = end
    except IndexError:
        raise Malformed(_TOO_EARLY) from None
    if at != stop:
        raise Malformed(_TOO_EARLY)
    return found


def content(element: bytes, tag: int) -> bytes:
    """The content octets of `element`, which must be one element of `tag` and nothing more."""
    if 2 <= len(element) < _LONG and element[1] == len(element) - 2 and element[0] == tag:
        return element[2:]
    return element[_start(element, tag) :]


def octets(element: bytes) -> bytes:
    """The octets of a BIT STRING without unused bits: signatures and keys are such."""
    body = content(element, BIT_STRING)
    if body[:1] != b"\x00":
        raise Malformed("not a BIT STRING of whole octets")
    return body[1:]


_LONG: Final = 2 + 0x80
"""Elements of this size and more have the long form of length."""

_TOO_EARLY: Final = "the encoding ends too early"


def _start(element: bytes, tag: int) -> int:
    """Where the content of the one element of `tag` begins that `element` consists of."""
    start, end = _header(element, 0)
    if end > len(element):
        raise Malformed(_TOO_EARLY)
    if element[0] != tag or end != len(element):
        raise Malformed("not one element of the expected type")
    return start


def _header(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and where it ends, be that behind the end of `data`."""
    if at + 2 > len(data):
        raise Malformed(_TOO_EARLY)
    if data[at] & 0x1F == 0x1F:
        raise Malformed("a tag number above 30 has no place here")
    length = data[at + 1]
    start = at + 2
    if length >= 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 4:
            raise Malformed("an indefinite or oversized length")
        start += octets
        if start > len(data):
            raise Malformed(_TOO_EARLY)
        length = int.from_bytes(data[at + 2 : start], "big")
        if length < 0x80 or data[at + 2] == 0:
            raise Malformed("a length that is not in its shortest form")
    return start, start + length


@lru_cache(maxsize=512)
def dotted(body: bytes) -> str:
    """Dotted decimal of the content octets of an OBJECT IDENTIFIER; at most 64 octets are read."""
    if not body or len(body) > 64 or body[-1] & 0x80:
        raise Malformed("not an object identifier")
    arcs: list[int] = []
    value = 0
    fresh = True
    for octet in body:
        if fresh and octet == 0x80:
            raise Malformed("an object identifier arc that is not in its shortest form")
        value = value << 7 | octet & 0x7F
        fresh = octet < 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def boolean(body: bytes) -> bool:
    """The value of a DER BOOLEAN from its content octets."""
    if body not in (b"\x00", b"\xff"):
        raise Malformed("not a BOOLEAN")
    return body == b"\xff"


def unsigned(body: bytes) -> int:
    """The value of a non-negative INTEGER from its content octets."""
    if not body or body[0] & 0x80 or (len(body) > 1 and body[0] == 0 and not body[1] & 0x80):
        raise Malformed("not a non-negative INTEGER in its shortest form")
    return int.from_bytes(body, "big")


def named_bits(body: bytes) -> frozenset[int]:
    """The positions set in a named bit list, from the content octets of its BIT STRING (X.690 11.2)."""
    if not body or body[0] > 7:
        raise Malformed("not a BIT STRING")
    unused, bits = body[0], body[1:]
    if len(bits) > 8:
        raise Malformed("more named bits than any type here has")
    if bits:
        # the last bit kept must be a one, and the unused ones zero: that is one mask
        if bits[-1] & ((1 << (unused + 1)) - 1) != 1 << unused:
            raise Malformed("a named bit list with trailing zeros")
    elif unused:
        raise Malformed("not a BIT STRING")
    value = int.from_bytes(bits, "big")
    size = 8 * len(bits)
    return frozenset(position for position in range(size) if value >> (size - 1 - position) & 1)
