"""4.1.2.2: a serial number is positive and has at most 20 octets."""

from collections.abc import Sequence

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    faults = []
    if tbs.serial <= 0:
        faults.append("the serial number is not positive")
    if tbs.serial_octets > 20:
        faults.append("the serial number has more than 20 octets")
    return faults
