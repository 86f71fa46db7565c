"""What this template signs is never an authority: cA stays FALSE and the key signs no certificates and no CRLs."""

from collections.abc import Sequence

from ca import oids
from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    faults = []
    constraints = tbs.extensions.get(oids.BASIC_CONSTRAINTS)
    if constraints is None or constraints.value != b"\x30\x00":
        faults.append("basicConstraints do not say that this is no authority")
    if "keyCertSign" in tbs.key_usage or "cRLSign" in tbs.key_usage:
        faults.append("a subscriber's key signs neither certificates nor CRLs")
    return faults
