"""Base64url without padding (RFC 7515 section 2): every text has one meaning, every octet string one text."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.acme.base64url import NotBase64url, decode, encode

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary())
def test_there_and_back(octets: bytes) -> None:
    text = encode(octets)
    assert text == base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
    assert decode(text) == octets


@given(
    st.text(ALPHABET, max_size=12) | st.text(ALPHABET + "+/= \n!\x00é", max_size=12) | st.text(max_size=12)
)
def test_what_decodes_is_exactly_what_encodes(text: str) -> None:
    try:
        octets = decode(text)
    except NotBase64url:
        padded = text + "=" * (-len(text) % 4)
        if set(text) <= set(ALPHABET) and len(text) % 4 != 1:
            assert encode(base64.urlsafe_b64decode(padded)) != text
    else:
        assert encode(octets) == text


def test_every_last_character() -> None:
    """All of the short texts, since the rule about trailing bits is easy to get wrong."""
    for head in ("", "A"):
        good = [head + "A" + last for last in ALPHABET if _decodes(head + "A" + last)]
        assert len(good) == (64 if len(head) == 2 else {0: 4, 1: 16}[len(head)])


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AAAAA",
        "AA=",
        "AA==",
        "=",
        "A A",
        "AAA\n",
        "\nAAAA",
        "A+AA",
        "A/AA",
        "\u0410\u0410\u0410\u0410",
        "\ud800",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(NotBase64url):
        decode(text)


def _decodes(text: str) -> bool:
    try:
        decode(text)
    except NotBase64url:
        return False
    return True
