"""A serial number has room for 64 bits of chance and more; a short one was not drawn by this authority."""

from collections.abc import Iterator

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Iterator[str]:
    if tbs.serial.bit_length() <= 64:
        yield "the serial number is too short to hold 64 random bits"
