"""The fast DNS code against dnspython, which is the judge."""

import contextlib

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policy.validation.dns_wire import (
    MalformedMessage,
    RRType,
    name_on_the_wire,
    question,
    read_reply,
    text_of,
)

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
NAME = st.lists(LABEL, min_size=1, max_size=6).map(".".join)
TXT = st.lists(st.binary(max_size=255), min_size=1, max_size=4)


@st.composite
def rrsets(draw: st.DrawFn, owner: str) -> dns.rrset.RRset:
    kind = draw(st.sampled_from(["A", "AAAA", "TXT", "CNAME", "CAA", "MX"]))
    text = {
        "A": st.ip_addresses(v=4).map(str),
        "AAAA": st.ip_addresses(v=6).map(str),
        "TXT": TXT.map(lambda parts: " ".join('"' + "".join(f"\\{b:03d}" for b in p) + '"' for p in parts)),
        "CNAME": NAME.map(lambda name: name + "."),
        "CAA": st.just('0 issue "ca.test"'),
        "MX": st.just("10 mail.test."),
    }[kind]
    size = 1 if kind == "CNAME" else 4
    texts = draw(st.lists(text, min_size=1, max_size=size, unique=True))
    return dns.rrset.from_text_list(owner + ".", draw(st.integers(0, 2**31 - 1)), "IN", kind, texts)


@st.composite
def replies(draw: st.DrawFn) -> tuple[bytes, dns.message.Message]:
    name = draw(NAME)
    asked = question(draw(st.integers(0, 65535)), name_on_the_wire(name), draw(st.sampled_from(RRType)))
    reply = dns.message.make_response(dns.message.from_wire(asked), recursion_available=True)
    reply.set_rcode(draw(st.sampled_from([dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL])))
    owners = draw(st.lists(st.one_of(st.just(name), NAME), max_size=4, unique=True))
    reply.answer = [draw(rrsets(owner)) for owner in owners]
    return asked, reply


def _flat(message: dns.message.Message) -> list[tuple[str, int, bytes | str]]:
    return sorted(
        (
            (
                rrset.name.to_text(omit_final_dot=True),
                int(rdata.rdtype),
                rdata.target.to_text(omit_final_dot=True)
                if rdata.rdtype == dns.rdatatype.CNAME
                else rdata.to_wire(),
            )
            for rrset in message.answer
            for rdata in rrset
        ),
        key=repr,
    )


@given(replies())
def test_answers_read_as_dnspython_wrote_them(case: tuple[bytes, dns.message.Message]) -> None:
    asked, message = case
    reply = read_reply(message.to_wire(max_size=65535), asked)
    assert reply.rcode == message.rcode()
    ours = sorted(((r.owner, r.rrtype, r.data) for r in reply.records if r.rrtype != 15), key=repr)
    assert ours == [record for record in _flat(message) if record[1] != 15]  # MX holds a name: compressed


@given(NAME, st.integers(0, 65535), st.sampled_from(RRType), st.booleans())
def test_dnspython_reads_our_questions(name: str, number: int, rrtype: RRType, edns: bool) -> None:
    message = dns.message.from_wire(question(number, name_on_the_wire(name), rrtype, edns=edns))
    assert message.id == number
    assert message.question[0].name == dns.name.from_text(name)
    assert int(message.question[0].rdtype) == rrtype
    assert message.flags == dns.flags.RD
    assert (message.edns, message.payload) == ((0, 1232) if edns else (-1, 0))


@given(st.binary(max_size=200))
@example(b"")
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    asked = question(0x1234, name_on_the_wire("a.test"), RRType.A)
    for wire in (data, asked[:2] + b"\x81\x80\0\1\0\5\0\0\0\0" + asked[12:24] + data):
        with contextlib.suppress(MalformedMessage):
            read_reply(wire, asked)


@given(replies(), st.data())
def test_a_bent_answer_is_refused_or_read(
    case: tuple[bytes, dns.message.Message], data: st.DataObject
) -> None:
    asked, message = case
    wire = bytearray(message.to_wire(max_size=65535))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(wire)))
    try:
        reply = read_reply(bytes(wire[:cut]), asked)
    except MalformedMessage:
        return
    for record in reply.records:
        if record.rrtype == RRType.TXT and isinstance(record.data, bytes):
            with contextlib.suppress(MalformedMessage):
                text_of(record.data)


ASKED = question(7, name_on_the_wire("a.test"), RRType.A)
HEAD = ASKED[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + ASKED[12:24]
GOOD = HEAD + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1"  # each case below has one fault against this


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"\0\0" + GOOD[2:], id="another id"),
        pytest.param(GOOD[:2] + b"\1" + GOOD[3:], id="a question"),
        pytest.param(GOOD[:2] + b"\x89" + GOOD[3:], id="another opcode"),
        pytest.param(GOOD[:5] + b"\0" + GOOD[6:], id="no question inside"),
        pytest.param(GOOD[:5] + b"\2" + GOOD[6:], id="two questions"),
        pytest.param(GOOD[:11], id="shorter than a header"),
        pytest.param(GOOD.replace(b"\1a\4test", b"\1b\4test"), id="another name"),
        pytest.param(HEAD[:-4] + b"\0\x1c\0\1" + GOOD[24:], id="another type"),
        pytest.param(HEAD, id="no record though one is promised"),
        pytest.param(HEAD + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\5\x7f\0\0\1", id="record over the end"),
        pytest.param(HEAD + b"\xc0\x50\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1", id="forward pointer"),
        pytest.param(HEAD + b"\xc0\x18\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1", id="pointer to itself"),
        pytest.param(HEAD + b"\x41x\0\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1", id="unknown label kind"),
        pytest.param(HEAD + b"\3a.b\0\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1", id="dot in a label"),
        pytest.param(HEAD + b"\3a\0b\0\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1", id="zero byte in a label"),
        pytest.param(HEAD + b"\xc0\x0c\0\5\0\1\0\0\0\0\0\4\1b\0\0", id="CNAME of the wrong length"),
        pytest.param(HEAD + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1\0\0\0\0\0\0", id="name too long"),
    ],
)
def test_what_is_no_answer_to_us(wire: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_reply(wire, ASKED)


def test_the_good_one_beside_them() -> None:
    (record,) = read_reply(GOOD, ASKED).records
    assert record == ("a.test", RRType.A, b"\x7f\0\0\1")


def test_the_longest_name_that_there_is() -> None:
    longest = b"\x3f" + b"x" * 63
    name = longest * 3 + b"\x3d" + b"y" * 61 + b"\0"
    (record,) = read_reply(HEAD + name + GOOD[26:], ASKED).records
    assert len(record.owner) == 253
    with pytest.raises(MalformedMessage):
        read_reply(HEAD + longest * 3 + b"\x3e" + b"y" * 62 + b"\0" + GOOD[26:], ASKED)


def test_an_answer_that_was_cut_short_is_not_read() -> None:
    assert read_reply(GOOD[:2] + b"\x83" + GOOD[3:-3], ASKED) == (0, True, ())


def test_an_error_may_leave_the_question_out() -> None:
    assert read_reply(ASKED[:2] + b"\x80\1" + bytes(8), ASKED).rcode == 1


def test_other_classes_do_not_count() -> None:
    assert read_reply(HEAD + b"\xc0\x0c\0\1\0\3\0\0\0\0\0\4\x7f\0\0\1", ASKED).records == ()


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, "a." * 130 + "a", ".a"])
def test_names_that_cannot_be_asked_for(name: str) -> None:
    with pytest.raises(MalformedMessage):
        name_on_the_wire(name)


@given(TXT)
def test_strings_of_a_text_are_joined(parts: list[bytes]) -> None:
    assert text_of(b"".join(bytes([len(p)]) + p for p in parts)) == b"".join(parts)


@pytest.mark.parametrize("rdata", [b"\5abc", b"\1a\2b"])
def test_a_text_that_runs_over_its_end(rdata: bytes) -> None:
    with pytest.raises(MalformedMessage):
        text_of(rdata)


def test_no_text_at_all() -> None:
    assert text_of(b"") == b""
    assert text_of(b"\0") == b""
