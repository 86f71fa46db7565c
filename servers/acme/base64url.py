"""Base64url as RFC 7515 section 2 means it: no padding, no white space, and one spelling for each octet string."""

import binascii
from typing import Final

_TO_STANDARD: Final = bytes.maketrans(
    b"-_+/=", b"+/!!!"
)  # '!' stands in no alphabet, so the old characters fail
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
# The last character of a group of two or three carries bits beyond the octets; they must be zero, or several texts
# would decode to the same octets.
_LAST_OF_TWO: Final = frozenset("AQgw")
_LAST_OF_THREE: Final = frozenset("AEIMQUYcgkosw048")


class NotBase64url(ValueError):
    """The text is not the base64url encoding of any octet string."""

    def __init__(self) -> None:
        super().__init__("not base64url without padding")


def decode(text: str) -> bytes:
    """Return the octets of `text`; raise NotBase64url unless `encode` would give back that very text."""
    try:
        standard = text.encode("ascii").translate(_TO_STANDARD)
        match len(standard) % 4:
            case 0:
                return binascii.a2b_base64(standard, strict_mode=True)
            case 2 if text[-1] in _LAST_OF_TWO:
                return binascii.a2b_base64(standard + b"==", strict_mode=True)
            case 3 if text[-1] in _LAST_OF_THREE:
                return binascii.a2b_base64(standard + b"=", strict_mode=True)
    except ValueError:  # not ASCII, or a character outside the alphabet
        pass
    raise NotBase64url


def encode(octets: bytes) -> str:
    """Return the base64url text of `octets`, without padding."""
    return binascii.b2a_base64(octets, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")
