"""The key is of a kind this authority works with, written in its canonical form; RSA moduli have 2048 bits and more."""

from collections.abc import Sequence
from typing import Final

from ca import asn1
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


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    algorithm, octets = tbs.key_algorithm, len(tbs.public_key_bits)
    if algorithm is None:
        return ["the algorithm of the public key is unknown"]
    if algorithm is KeyAlgorithm.RSA:
        return ["the RSA key has less than 2048 bits"] if _modulus_bits(tbs.public_key_bits) < 2048 else ()
    return () if octets == _SIZES[algorithm] else [f"the public key is not one of algorithm {algorithm}"]


def _modulus_bits(key: bytes) -> int:
    """The size of the modulus in an RSAPublicKey (RFC 8017 A.1.1); 0 when there is none."""
    try:
        modulus, _exponent = asn1.children(key, asn1.SEQUENCE)
        return asn1.unsigned(asn1.content(modulus, asn1.INTEGER)).bit_length()
    except ValueError:
        return 0
