"""Sealed secrets open with the right secret, for the right purpose, and unaltered; otherwise not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.sealing import Sealer

SEALER = Sealer(b"m" * 32)


@given(st.binary(max_size=200), st.text(max_size=40))
def test_what_was_sealed_opens(secret: bytes, purpose: str) -> None:
    assert SEALER.unseal(SEALER.seal(secret, purpose), purpose) == secret


@given(st.binary(min_size=1, max_size=64), st.data())
def test_one_altered_bit_and_it_does_not(secret: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(secret, "p"))
    place = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[place // 8] ^= 1 << place % 8
    with pytest.raises(ValueError, match="sealed"):
        SEALER.unseal(bytes(sealed), "p")


@given(st.binary(max_size=80))
def test_nor_does_what_was_never_sealed(octets: bytes) -> None:
    with pytest.raises(ValueError, match="sealed"):
        SEALER.unseal(octets, "p")


def test_another_purpose_or_another_secret_opens_nothing() -> None:
    sealed = SEALER.seal(b"key", "eab:one")
    with pytest.raises(ValueError, match="sealed"):
        SEALER.unseal(sealed, "eab:two")
    with pytest.raises(ValueError, match="sealed"):
        Sealer(b"n" * 32).unseal(sealed, "eab:one")


def test_the_same_secret_never_looks_the_same() -> None:
    assert SEALER.seal(b"key", "p") != SEALER.seal(b"key", "p")


def test_a_short_secret_is_refused_and_none_is_shown() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        Sealer(b"m" * 31)
    assert "mmm" not in repr(SEALER)
