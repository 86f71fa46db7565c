"""4.2.1.12: every purpose can be served with the key usage; time stamping stands alone (RFC 3161 2.3)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned

_NEEDS: Final = {
    "serverAuth": frozenset({"digitalSignature", "keyEncipherment", "keyAgreement"}),
    "clientAuth": frozenset({"digitalSignature", "keyAgreement"}),
    "codeSigning": frozenset({"digitalSignature"}),
    "emailProtection": frozenset(
        {"digitalSignature", "contentCommitment", "keyEncipherment", "keyAgreement"}
    ),
    "timeStamping": frozenset({"digitalSignature", "contentCommitment"}),
    "OCSPSigning": frozenset({"digitalSignature", "contentCommitment"}),
}


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    return _faults(tbs.extended_key_usage, tbs.key_usage)


@lru_cache(maxsize=64)  # a profile writes the same into all its certificates
def _faults(purposes: tuple[str, ...], key_usage: tuple[str, ...]) -> Sequence[str]:
    faults = []
    for purpose in purposes:
        needs = _NEEDS.get(purpose)
        if needs is not None and needs.isdisjoint(key_usage):
            faults.append(f"{purpose} needs one of the key usages {', '.join(sorted(needs))}")
    if len(set(purposes)) != len(purposes):
        faults.append("a purpose is there twice")
    if "timeStamping" in purposes and len(purposes) > 1:
        faults.append("timeStamping stands alone")
    return tuple(faults)
