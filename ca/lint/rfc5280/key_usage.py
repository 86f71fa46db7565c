"""4.2.1.3: a key usage is there, and is one that a key of this kind can have.

RSA: RFC 3279 2.3.1. Curves: RFC 5480 3 and RFC 8813. Ed25519: RFC 9295. ML-DSA: RFC 9881 5.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ca.certificate import Issuer
from ca.keys import KeyAlgorithm
from ca.lint.tbs import ToBeSigned

_SIGNING: Final = frozenset({"digitalSignature", "contentCommitment", "keyCertSign", "cRLSign"})
_CURVE: Final = _SIGNING | {"keyAgreement", "encipherOnly", "decipherOnly"}
_POSSIBLE: Final = {
    KeyAlgorithm.RSA: _SIGNING | {"keyEncipherment", "dataEncipherment"},
    KeyAlgorithm.P256: _CURVE,
    KeyAlgorithm.P384: _CURVE,
    KeyAlgorithm.P521: _CURVE,
}
_DIRECTIONS: Final = frozenset({"encipherOnly", "decipherOnly"})


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    return _faults(tbs.key_usage, tbs.key_algorithm)


@lru_cache(maxsize=64)  # a profile writes the same into all its certificates
def _faults(usage: tuple[str, ...], algorithm: KeyAlgorithm | None) -> Sequence[str]:
    faults = [] if usage else ["there is no key usage"]
    possible = _POSSIBLE.get(algorithm, _SIGNING) if algorithm else _SIGNING
    faults += [
        f"a key of algorithm {algorithm} cannot be used for {name}" for name in usage if name not in possible
    ]
    if "keyAgreement" not in usage and not _DIRECTIONS.isdisjoint(usage):
        faults.append("encipherOnly and decipherOnly mean nothing without keyAgreement")
    return tuple(faults)
