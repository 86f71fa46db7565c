"""Keys that sign and never show themselves: the KeyHandle protocol and the algorithms it may have."""

from ca.keys.algorithms import (
    KeyAlgorithm,
    KeyDescription,
    PrivateKey,
    PublicKey,
    describe,
    key_algorithm_of,
    signature_algorithm,
    subject_public_key_info,
    verifier,
)
from ca.keys.handle import KeyHandle

__all__ = [
    "KeyAlgorithm",
    "KeyDescription",
    "KeyHandle",
    "PrivateKey",
    "PublicKey",
    "describe",
    "key_algorithm_of",
    "signature_algorithm",
    "subject_public_key_info",
    "verifier",
]
