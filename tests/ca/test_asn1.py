"""The reader refuses what is not strict DER, and never raises anything but Malformed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca import asn1, der


def walk(element: bytes, tag: int, depth: int = 0) -> None:
    children = asn1.children(element, tag)
    assert b"".join(children) == asn1.content(element, tag)
    for child in children:
        assert child.endswith(asn1.content(child, child[0]))
        if child[0] & 0x20 and depth < 8:
            walk(child, child[0], depth + 1)


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_malformed(data: bytes) -> None:
    for element in (data, der.sequence(data)):
        with contextlib.suppress(asn1.Malformed):
            walk(element, asn1.SEQUENCE)
        with contextlib.suppress(asn1.Malformed):
            asn1.octets(element)
    for read in (asn1.dotted, asn1.boolean, asn1.unsigned, asn1.named_bits):
        with contextlib.suppress(asn1.Malformed):
            read(data)


@pytest.mark.parametrize(
    "text",
    [
        "",  # nothing
        "30",  # no length
        "3001",  # too short
        "300000",  # trailing octet
        "3080 0000",  # indefinite length
        "308100",  # long form of a short length
        "30817f" + "00" * 127,
        "30820080" + "00" * 128,  # leading zero in the length
        "3085 0000000001 00",  # more length octets than any certificate needs
        "3081",  # length octets missing
        "3f 8101 00",  # high tag number
        "3f8100",
    ],
)
def test_what_is_not_one_strict_sequence(text: str) -> None:
    for read in (asn1.children, asn1.content):
        with pytest.raises(asn1.Malformed):
            read(bytes.fromhex(text), asn1.SEQUENCE)


@pytest.mark.parametrize("text", ["3003 0202 01", "3002 1f01", "3001 02", "3004 02810101", "3003 02800101"])
def test_children_that_do_not_fill_their_parent(text: str) -> None:
    with pytest.raises(asn1.Malformed):
        asn1.children(bytes.fromhex(text), asn1.SEQUENCE)


def test_children_are_whole_elements() -> None:
    long = der.octet_string(bytes(200))
    assert asn1.children(der.sequence(), asn1.SEQUENCE) == []
    assert asn1.children(der.sequence(der.NULL, long, b"\x04\x00"), asn1.SEQUENCE) == [
        der.NULL,
        long,
        b"\x04\x00",
    ]


@pytest.mark.parametrize("text", ["", "80", "8001", "2a80", "ff" * 65])
def test_malformed_object_identifiers(text: str) -> None:
    with pytest.raises(asn1.Malformed):
        asn1.dotted(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["", "80", "0001", "ff01"])
def test_integers_that_are_negative_or_not_minimal(text: str) -> None:
    with pytest.raises(asn1.Malformed):
        asn1.unsigned(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["", "0880", "0700", "07c0", "0781", "01", "0000", "00" + "01" * 9])
def test_malformed_named_bits(text: str) -> None:
    with pytest.raises(asn1.Malformed):
        asn1.named_bits(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["", "01", "0000", "fe"])
def test_booleans_are_zero_or_all_ones(text: str) -> None:
    with pytest.raises(asn1.Malformed):
        asn1.boolean(bytes.fromhex(text))


def test_a_bit_string_with_unused_bits_is_no_key_and_no_signature() -> None:
    for text in ("03020780", "0300", "04020080"):
        with pytest.raises(asn1.Malformed):
            asn1.octets(bytes.fromhex(text))
    assert asn1.octets(bytes.fromhex("03020080")) == b"\x80"


def test_elements_of_another_type() -> None:
    with pytest.raises(asn1.Malformed):
        asn1.children(der.NULL, asn1.SEQUENCE)
    with pytest.raises(asn1.Malformed):
        asn1.content(der.NULL, asn1.INTEGER)
    with pytest.raises(asn1.Malformed):
        asn1.content(der.octet_string(bytes(200)), asn1.BIT_STRING)
