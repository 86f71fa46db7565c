"""The writer against the standard's examples, and against the reader that shares no code with it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca import asn1, der

ARCS = st.lists(st.integers(0, 2**70), min_size=1, max_size=8)


@given(st.binary(max_size=70_000))
def test_what_is_written_is_read_back(body: bytes) -> None:
    written = der.octet_string(body)
    assert asn1.content(written, asn1.OCTET_STRING) == body


@pytest.mark.parametrize(
    ("length", "head"),
    [(0, "0400"), (127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100"), (65536, "0483010000")],
)
def test_lengths_are_minimal(length: int, head: str) -> None:
    assert der.octet_string(bytes(length))[: len(head) // 2].hex() == head


@given(st.integers(0, 2**160))
def test_integers(value: int) -> None:
    written = der.integer(value)
    assert asn1.unsigned(asn1.content(written, asn1.INTEGER)) == value


def test_negative_integers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        der.integer(-1)


@given(st.integers(0, 2), st.integers(0, 39), ARCS)
def test_object_identifiers(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, (first, second, *rest)))
    written = der.oid(dotted)
    if len(written) <= 66:
        assert asn1.dotted(written[2:]) == dotted


def test_a_second_arc_above_39_belongs_to_the_third_root() -> None:
    assert der.oid("2.999.3").hex() == "0603883703"  # X.690 8.19.5
    assert asn1.dotted(bytes.fromhex("883703")) == "2.999.3"


@pytest.mark.parametrize("text", ["", "1", "3.1", "1.40", "1.02", "1..2", "1.2.", "a.b", "1.-2", "1.²"])
def test_what_is_no_object_identifier(text: str) -> None:
    with pytest.raises(ValueError, match="object identifier"):
        der.oid(text)


@given(st.sets(st.integers(0, 8)))
def test_named_bits(positions: set[int]) -> None:
    assert asn1.named_bits(der.named_bits(positions)[2:]) == positions


def test_named_bits_have_no_trailing_zeros() -> None:
    assert der.named_bits({0}).hex() == "03020780"
    assert der.named_bits({5, 6}).hex() == "03020106"
    assert der.named_bits({8}).hex() == "0303070080"
    assert der.named_bits(set()).hex() == "030100"


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(1950, 1, 1, tzinfo=UTC), b"\x17\x0d500101000000Z"),
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
        (datetime(1949, 12, 31, tzinfo=UTC), b"\x18\x0f19491231000000Z"),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x18\x0f99991231235959Z"),
        (datetime(2050, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), b"\x17\x0d491231230000Z"),
    ],
)
def test_times_change_their_form_in_2050(moment: datetime, written: bytes) -> None:
    assert der.time(moment) == written


def test_times_without_zone_or_with_fractions_are_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        der.time(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the case tested
    with pytest.raises(ValueError, match="whole seconds"):
        der.time(datetime(2026, 1, 1, microsecond=1, tzinfo=UTC))
