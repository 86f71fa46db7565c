"""The key is of a kind this authority works with, written in its canonical form; RSA moduli have 2048 bits and more."""

from collections.abc import Iterator
from typing import Final

from ca.certificate import Issuer
from ca.keys import KeyAlgorithm
from ca.lint.tbs import ToBeSigned

# Octets in the BIT STRING: an uncompressed point, or the encoded key.
_SIZES: Final = {
    KeyAlgorithm.P256: 65,
    KeyAlgorithm.P384: 97,
    KeyAlgorithm.P521: 133,
    KeyAlgorithm.ED25519: 32,
    KeyAlgorithm.ML_DSA_44: 1312,
    KeyAlgorithm.ML_DSA_65: 1952,
    KeyAlgorithm.ML_DSA_87: 2592,
}
_SMALLEST_RSA: Final = 4 + 4 + 257 + 3  # SEQUENCE, INTEGER of 2048 bits, the shortest exponent


def check(tbs: ToBeSigned, _issuer: Issuer) -> Iterator[str]:
    algorithm, octets = tbs.key_algorithm, len(tbs.public_key_bits)
    if algorithm is None:
        yield "the algorithm of the public key is unknown"
    elif algorithm is KeyAlgorithm.RSA:
        if octets < _SMALLEST_RSA:
            yield "the RSA key has less than 2048 bits"
    elif octets != _SIZES[algorithm]:
        yield f"the public key is not one of algorithm {algorithm}"
