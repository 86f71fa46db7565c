"""4.1.2.3, 4.1.2.4: algorithm and issuer are those of the authority that signs, octet for octet."""

from collections.abc import Sequence

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, issuer: Issuer) -> Sequence[str]:
    faults = []
    if tbs.signature_algorithm != issuer.signature_algorithm:
        faults.append("the signature algorithm is not the issuer's")
    if tbs.issuer != issuer.subject:
        faults.append("the issuer is not the subject of the authority's certificate")
    return faults
