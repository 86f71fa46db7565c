"""The key algorithms of this authority, with the exact AlgorithmIdentifiers of the RFCs that define them.

RSA: RFC 3279 and 4055 (PKCS #1 v1.5 with SHA-256, NULL parameters). ECDSA: RFC 5480 and 5758 (the hash is as
wide as the curve, no parameters). Ed25519: RFC 8410. ML-DSA: RFC 9881, pure, empty context.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca import der

PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)
PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)


class KeyAlgorithm(StrEnum):
    """A kind of key, spelt as in profiles."""

    RSA = "rsa"
    P256 = "p256"
    P384 = "p384"
    P521 = "p521"
    ED25519 = "ed25519"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"


class KeyDescription(NamedTuple):
    """`bits`: the modulus for RSA, the field for curves, the encoded public key for ML-DSA."""

    algorithm: KeyAlgorithm
    bits: int


_CURVES: Final = {
    "secp256r1": KeyDescription(KeyAlgorithm.P256, 256),
    "secp384r1": KeyDescription(KeyAlgorithm.P384, 384),
    "secp521r1": KeyDescription(KeyAlgorithm.P521, 521),
}
_HASHES: Final[dict[KeyAlgorithm, hashes.HashAlgorithm]] = {
    KeyAlgorithm.RSA: hashes.SHA256(),
    KeyAlgorithm.P256: hashes.SHA256(),
    KeyAlgorithm.P384: hashes.SHA384(),
    KeyAlgorithm.P521: hashes.SHA512(),
}
_PKCS1: Final = padding.PKCS1v15()
_ECDSA: Final = {curve.algorithm: ec.ECDSA(_HASHES[curve.algorithm]) for curve in _CURVES.values()}
_SIGNATURE_ALGORITHMS: Final[dict[KeyAlgorithm, bytes]] = {
    KeyAlgorithm.RSA: der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL),
    KeyAlgorithm.P256: der.sequence(der.oid("1.2.840.10045.4.3.2")),
    KeyAlgorithm.P384: der.sequence(der.oid("1.2.840.10045.4.3.3")),
    KeyAlgorithm.P521: der.sequence(der.oid("1.2.840.10045.4.3.4")),
    KeyAlgorithm.ED25519: der.sequence(der.oid("1.3.101.112")),
    KeyAlgorithm.ML_DSA_44: der.sequence(der.oid("2.16.840.1.101.3.4.3.17")),
    KeyAlgorithm.ML_DSA_65: der.sequence(der.oid("2.16.840.1.101.3.4.3.18")),
    KeyAlgorithm.ML_DSA_87: der.sequence(der.oid("2.16.840.1.101.3.4.3.19")),
}


_KEY_ALGORITHMS: Final[dict[bytes, KeyAlgorithm]] = {
    der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL): KeyAlgorithm.RSA,
    der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7")): KeyAlgorithm.P256,
    der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.3.132.0.34")): KeyAlgorithm.P384,
    der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.3.132.0.35")): KeyAlgorithm.P521,
    der.sequence(der.oid("1.3.101.112")): KeyAlgorithm.ED25519,
    der.sequence(der.oid("2.16.840.1.101.3.4.3.17")): KeyAlgorithm.ML_DSA_44,
    der.sequence(der.oid("2.16.840.1.101.3.4.3.18")): KeyAlgorithm.ML_DSA_65,
    der.sequence(der.oid("2.16.840.1.101.3.4.3.19")): KeyAlgorithm.ML_DSA_87,
}


def key_algorithm_of(identifier: bytes) -> KeyAlgorithm | None:
    """The algorithm whose SubjectPublicKeyInfo has exactly this AlgorithmIdentifier (DER), if it is one of ours."""
    return _KEY_ALGORITHMS.get(identifier)


def describe(public_key: object) -> KeyDescription:
    """What kind of key this is and its size; ValueError for a kind this authority does not work with."""
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        name = public_key.curve.name
        curve = _CURVES.get(name)
        if curve is None:
            raise ValueError(f"the curve {name} is not supported")
        return curve
    if isinstance(public_key, rsa.RSAPublicKey):
        return KeyDescription(KeyAlgorithm.RSA, public_key.key_size)
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return KeyDescription(KeyAlgorithm.ED25519, 256)
    if isinstance(public_key, mldsa.MLDSA44PublicKey):
        return KeyDescription(KeyAlgorithm.ML_DSA_44, 8 * 1312)
    if isinstance(public_key, mldsa.MLDSA65PublicKey):
        return KeyDescription(KeyAlgorithm.ML_DSA_65, 8 * 1952)
    if isinstance(public_key, mldsa.MLDSA87PublicKey):
        return KeyDescription(KeyAlgorithm.ML_DSA_87, 8 * 2592)
    raise ValueError("this kind of public key is not supported")


def signature_algorithm(algorithm: KeyAlgorithm) -> bytes:
    """DER AlgorithmIdentifier of the signatures that this authority makes with such a key."""
    return _SIGNATURE_ALGORITHMS[algorithm]


def subject_public_key_info(public_key: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo in its one canonical form."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def verifier(public_key: PublicKey) -> Callable[[bytes, bytes], None]:
    """A check (signature, data) that raises cryptography's InvalidSignature. For signatures of `signature_algorithm`."""
    if isinstance(public_key, rsa.RSAPublicKey):
        rsa_key, digest = public_key, _HASHES[KeyAlgorithm.RSA]
        return lambda signature, data: rsa_key.verify(signature, data, _PKCS1, digest)
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        ec_key, ecdsa = public_key, _ECDSA[describe(public_key).algorithm]
        return lambda signature, data: ec_key.verify(signature, data, ecdsa)
    return public_key.verify


def signature_maker(private_key: PrivateKey) -> Callable[[bytes], bytes]:
    """From data to signature octets, of the kind that `signature_algorithm` names."""
    if isinstance(private_key, rsa.RSAPrivateKey):
        rsa_key, digest = private_key, _HASHES[KeyAlgorithm.RSA]
        return lambda data: rsa_key.sign(data, _PKCS1, digest)
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        ec_key, ecdsa = private_key, _ECDSA[describe(private_key.public_key()).algorithm]
        return lambda data: ec_key.sign(data, ecdsa)
    return private_key.sign
