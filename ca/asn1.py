"""Read DER strictly, without building objects: offsets into one buffer, every bound checked.

Used on what strangers send and on what is about to be signed. High tag numbers, indefinite and non-minimal
lengths and elements that leave their parent are refused with `Malformed`; nothing else is ever raised.
"""

from functools import lru_cache
from typing import Final, NamedTuple

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31


class Malformed(ValueError):
    """The bytes are not the DER that stands here."""


class Element(NamedTuple):
    """Where one element lies in its buffer: header at `at`, content from `start` to `stop`."""

    tag: int
    at: int
    start: int
    stop: int


def element(data: bytes, at: int, stop: int) -> Element:
    """The element that begins at `at` and ends at or before `stop`."""
    if at + 2 > stop:
        raise Malformed("the encoding ends too early")
    tag = data[at]
    if tag & 0x1F == 0x1F:
        raise Malformed("a tag number above 30 has no place here")
    length = data[at + 1]
    start = at + 2
    if length >= 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 4:
            raise Malformed("an indefinite or oversized length")
        start += octets
        if start > stop:
            raise Malformed("the encoding ends too early")
        length = int.from_bytes(data[at + 2 : start], "big")
        if length < 0x80 or length >> (8 * (octets - 1)) == 0:
            raise Malformed("a length that is not in its shortest form")
    end = start + length
    if end > stop:
        raise Malformed("the encoding ends too early")
    return Element(tag, at, start, end)


def children(data: bytes, parent: Element) -> list[Element]:
    """The elements that fill `parent` exactly, in order."""
    found = []
    _, _, at, stop = parent
    while at < stop:
        if at + 2 <= stop and data[at + 1] < 0x80 and (tag := data[at]) & 0x1F != 0x1F:
            # The short form, without a call: nearly every element of a certificate has it.
            end = at + 2 + data[at + 1]
            if end > stop:
                raise Malformed("the encoding ends too early")
            child = _make(Element, (tag, at, at + 2, end))
        else:
            child = element(data, at, stop)
            end = child.stop
        found.append(child)
        at = end
    return found


_make: Final = tuple.__new__  # what Element() comes down to, at half its price


def only(data: bytes, tag: int) -> Element:
    """The single element of `tag` that `data` consists of: no trailing octets."""
    found = element(data, 0, len(data))
    if found.tag != tag or found.stop != len(data):
        raise Malformed("not one element of the expected type")
    return found


def whole(data: bytes, found: Element) -> bytes:
    """The element with its header."""
    return data[found.at : found.stop]


def content(data: bytes, found: Element, tag: int) -> bytes:
    """The content octets of `found`, which must be of type `tag`."""
    if found.tag != tag:
        raise Malformed("an element of another type than expected")
    return data[found.start : found.stop]


def octets(data: bytes, found: Element) -> bytes:
    """The octets of `found`, a BIT STRING without unused bits: signatures and keys are such."""
    body = content(data, found, BIT_STRING)
    if body[:1] != b"\x00":
        raise Malformed("not a BIT STRING of whole octets")
    return body[1:]


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
