"""DNS messages as a stub resolver needs them (RFC 1035 4, RFC 6891 EDNS): build a question, read its answer.

One http-01 check asks twice. By dnspython a question costs two to four times what both cost here
(bench/validation.py), more than everything else in the check.
The tests hold this module to dnspython's verdict, message by message.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

UDP_PAYLOAD: Final = 1232  # fits every path without fragments
_ASK: Final = b"\1\0\0\1\0\0\0\0\0\0"  # recursion desired, one question
_ASK_EDNS: Final = b"\1\0\0\1\0\0\0\0\0\1"
_HEADER: Final = struct.Struct("!6H")
_RECORD: Final = struct.Struct("!HHIH")
_NAME_BYTES: Final = bytes(byte for byte in range(0x21, 0x7F) if byte not in b".\\")
_OPT: Final = b"\0\0\x29" + UDP_PAYLOAD.to_bytes(2, "big") + b"\0\0\0\0\0\0"


class RRType(IntEnum):
    """Record types asked for."""

    A = 1
    CNAME = 5
    TXT = 16
    AAAA = 28
    CAA = 257


class MalformedMessage(ValueError):
    """The bytes are no DNS message, or not the answer to this question."""


class Record(NamedTuple):
    """One resource record of the answer section. ``data`` is its RDATA; for a CNAME, the target as text."""

    owner: str
    rrtype: int
    data: bytes | str


class Reply(NamedTuple):
    """What an answer says. ``rcode`` 0 is NOERROR, 3 NXDOMAIN."""

    rcode: int
    truncated: bool
    records: tuple[Record, ...]


def name_on_the_wire(name: str) -> bytes:
    """A name of ASCII labels, with or without its final dot, as length-prefixed labels (RFC 1035 3.1).

    Raises:
        MalformedMessage: an empty or over-long label, or more than 253 characters.
    """
    text = name.removesuffix(".")
    labels = text.encode("ascii", "replace").split(b".")
    if len(text) > 253 or not all(0 < len(label) < 64 for label in labels):
        raise MalformedMessage("no name that DNS can be asked for")
    return b"".join([bytes((len(label),)) + label for label in labels]) + b"\0"


def question(message_id: int, name: bytes, rrtype: int, *, edns: bool = True) -> bytes:
    """A recursive query for one name, given as on the wire."""
    head = message_id.to_bytes(2, "big") + (_ASK_EDNS if edns else _ASK)
    return b"%b%b%b\0\1%b" % (head, name, rrtype.to_bytes(2, "big"), _OPT if edns else b"")


def read_reply(wire: bytes, asked: bytes) -> Reply:
    """The answer to the question ``asked`` (as made by `question`).

    Raises:
        MalformedMessage: broken, or an answer to something else; a stub must go on waiting then, since
            anybody can send it datagrams (RFC 5452 9.1).
    """
    if len(wire) < 12 or wire[:2] != asked[:2]:
        raise MalformedMessage("not an answer to this question")
    _, flags, questions, answers, _, _ = _HEADER.unpack_from(wire)
    if flags & 0xF800 != 0x8000:  # a response, to a standard query
        raise MalformedMessage("not an answer to this question")
    rcode, truncated = flags & 0xF, bool(flags & 0x200)
    if questions == 0 and rcode and len(wire) == 12:
        return Reply(rcode, truncated, ())  # FORMERR and the like may leave the question out (RFC 6891 7)
    end = asked.index(b"\0", 12) + 5
    if questions != 1 or wire[12:end].lower() != asked[12:end].lower():
        raise MalformedMessage("not an answer to this question")
    if truncated or not answers:
        return Reply(rcode, truncated, ())
    return Reply(rcode, truncated, _records(wire, end, answers))


def _records(wire: bytes, at: int, count: int) -> tuple[Record, ...]:
    records = []
    asked = ""
    for _ in range(count):
        if wire[at : at + 2] == b"\xc0\x0c":  # nearly always: the name that was asked for
            owner = asked = asked or _name(wire, 12)[0]
            at += 2
        else:
            owner, at = _name(wire, at)
        if at + 10 > len(wire):
            raise MalformedMessage("a record is cut off")
        rrtype, rrclass, _, length = _RECORD.unpack_from(wire, at)
        at += 10
        end = at + length
        if end > len(wire):
            raise MalformedMessage("a record is cut off")
        if rrclass == 1:
            records.append(Record(owner, rrtype, _data(wire, rrtype, at, end)))
        at = end
    return tuple(records)


def _data(wire: bytes, rrtype: int, at: int, end: int) -> bytes | str:
    if rrtype == RRType.CNAME:
        target, after = _name(wire, at)
        if after != end:
            raise MalformedMessage("a CNAME record has the wrong length")
        return target
    return wire[at:end]


def _name(wire: bytes, at: int) -> tuple[str, int]:
    """The lower-case name at an offset, and the offset behind it. Pointers only lead back (RFC 1035 4.1.4)."""
    labels: list[bytes] = []
    after = -1
    total = 0
    earliest = at
    while True:
        length = wire[at] if at < len(wire) else 0xC0
        if 0 < length < 0x40:
            label = wire[at + 1 : at + 1 + length]
            total += length + 1
            if total > 254 or len(label) < length or label.translate(None, _NAME_BYTES):
                raise MalformedMessage("a name is too long, cut off, or no host could have it")
            labels.append(label)
            at += length + 1
        elif length == 0:
            text = b".".join(labels).decode("ascii").lower()
            return text, (after if after >= 0 else at + 1)
        else:
            target = (
                (length & 0x3F) << 8 | wire[at + 1] if length >= 0xC0 and at + 1 < len(wire) else earliest
            )
            if target >= earliest:  # strictly backwards, so this ends
                raise MalformedMessage("a name is cut off or points forward")
            after = at + 2 if after < 0 else after
            at = earliest = target


def text_of(rdata: bytes) -> bytes:
    """The value of a TXT record: its character strings joined (RFC 1035 3.3.14).

    Raises:
        MalformedMessage: a string runs over the end.
    """
    first = rdata[0] if rdata else 0
    if first + 1 == len(rdata):
        return rdata[1:]
    value = bytearray()
    at = 0
    while at < len(rdata):
        end = at + 1 + rdata[at]
        if end > len(rdata):
            raise MalformedMessage("a TXT record is cut off")
        value += rdata[at + 1 : end]
        at = end
    return bytes(value)
