"""The reader refuses what is not strict DER, and never raises anything but Malformed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca import asn1


def walk(data: bytes, parent: asn1.Element, depth: int = 0) -> None:
    for child in asn1.children(data, parent):
        assert parent.start <= child.at < child.start <= child.stop <= parent.stop
        asn1.whole(data, child)
        if child.tag & 0x20 and depth < 8:
            walk(data, child, depth + 1)


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_malformed(data: bytes) -> None:
    with contextlib.suppress(asn1.Malformed):
        walk(data, asn1.only(data, asn1.SEQUENCE))
    with contextlib.suppress(asn1.Malformed):
        walk(data, asn1.Element(asn1.SEQUENCE, 0, 0, len(data)))
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
    with pytest.raises(asn1.Malformed):
        asn1.only(bytes.fromhex(text), asn1.SEQUENCE)


@pytest.mark.parametrize("text", ["3003 0202 01", "3002 1f01", "3001 02", "3004 02810101", "3003 02800101"])
def test_children_that_do_not_fill_their_parent(text: str) -> None:
    data = bytes.fromhex(text)
    with pytest.raises(asn1.Malformed):
        asn1.children(data, asn1.Element(asn1.SEQUENCE, 0, 2, len(data)))


def test_a_child_does_not_leave_its_parent_for_the_octets_behind_it() -> None:
    data = bytes.fromhex("3003 0202 01") + b"\x01"
    with pytest.raises(asn1.Malformed):
        asn1.children(data, asn1.Element(asn1.SEQUENCE, 0, 2, 5))


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
    data = bytes.fromhex("03020780")
    with pytest.raises(asn1.Malformed):
        asn1.octets(data, asn1.only(data, asn1.BIT_STRING))


def test_elements_of_another_type() -> None:
    data = bytes.fromhex("0500")
    with pytest.raises(asn1.Malformed):
        asn1.only(data, asn1.SEQUENCE)
    with pytest.raises(asn1.Malformed):
        asn1.content(data, asn1.element(data, 0, 2), asn1.INTEGER)
