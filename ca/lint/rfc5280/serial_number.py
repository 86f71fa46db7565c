"""4.1.2.2: a serial number is positive and has at most 20 octets."""

from collections.abc import Iterator

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Iterator[str]:
    if tbs.serial <= 0:
        yield "the serial number is not positive"
    if tbs.serial_octets > 20:
        yield "the serial number has more than 20 octets"
