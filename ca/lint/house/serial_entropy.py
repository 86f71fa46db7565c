"""A serial number has room for 64 bits of chance and more; a short one was not drawn by this authority."""

from collections.abc import Sequence

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    if tbs.serial.bit_length() > 64:
        return ()
    return ["the serial number is too short to hold 64 random bits"]
