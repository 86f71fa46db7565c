"""The key in a request and the signature that proves its possession (RFC 2986 4.1, 4.2)."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ca import asn1, der
from ca.csr.refused import CsrRefused
from ca.keys import KeyAlgorithm, KeyDescription, PublicKey, describe, key_algorithm_of

MIN_RSA_BITS: Final = 1024
MAX_RSA_BITS: Final = 8192
MAX_EXPONENT_BITS: Final = 64


def _algorithm(dotted: str, *parameters: bytes) -> bytes:
    return der.sequence(der.oid(dotted), *parameters)


_POINTS: Final = frozenset({KeyAlgorithm.P256, KeyAlgorithm.P384, KeyAlgorithm.P521})


def read_public_key(loaded: x509.CertificateSigningRequest, spki: bytes) -> tuple[PublicKey, KeyDescription]:
    """The key; refused unless `spki` is its canonical encoding, because keys are compared by these bytes."""
    parts = asn1.children(spki, asn1.SEQUENCE)
    if len(parts) != 2:
        raise asn1.Malformed("a public key of two parts was expected")
    expected = key_algorithm_of(parts[0])
    if expected is None:
        raise CsrRefused("the kind of public key, or the way its parameters are written, is not supported")
    if expected in _POINTS and asn1.octets(parts[1])[:1] != b"\x04":
        raise CsrRefused("the public key is not an uncompressed point")
    try:
        public_key = loaded.public_key()
        key = describe(public_key)
    except Exception:  # noqa: BLE001 - whatever a parser of strangers' bytes raises: a point off its curve, ...
        raise CsrRefused("the public key is not valid") from None
    if key.algorithm is not expected:
        raise CsrRefused("the public key can be read in two ways")
    if expected is KeyAlgorithm.RSA:
        _bound_work(public_key)  # type: ignore[arg-type]  # describe() has just said what it is
    return public_key, key  # type: ignore[return-value]  # describe() knows these kinds only


def _bound_work(public_key: rsa.RSAPublicKey) -> None:
    """Refuse keys that cannot carry a signature, and those that cost more to verify than a stranger may ask for."""
    if public_key.key_size < MIN_RSA_BITS:
        raise CsrRefused(f"the RSA key has less than {MIN_RSA_BITS} bits")
    if public_key.key_size > MAX_RSA_BITS:
        raise CsrRefused(f"the RSA key has more than {MAX_RSA_BITS} bits")
    if public_key.public_numbers().e.bit_length() > MAX_EXPONENT_BITS:
        raise CsrRefused(f"the RSA exponent has more than {MAX_EXPONENT_BITS} bits")


_ACCEPTED_HASHES: Final = frozenset({"sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"})
_PKCS1: Final = padding.PKCS1v15()
_RSA_SIGNATURES: Final[dict[bytes, hashes.HashAlgorithm]] = {
    _algorithm("1.2.840.113549.1.1.11", der.NULL): hashes.SHA256(),
    _algorithm("1.2.840.113549.1.1.12", der.NULL): hashes.SHA384(),
    _algorithm("1.2.840.113549.1.1.13", der.NULL): hashes.SHA512(),
}
_ECDSA_SIGNATURES: Final[dict[bytes, ec.ECDSA]] = {
    _algorithm("1.2.840.10045.4.3.2"): ec.ECDSA(hashes.SHA256()),
    _algorithm("1.2.840.10045.4.3.3"): ec.ECDSA(hashes.SHA384()),
    _algorithm("1.2.840.10045.4.3.4"): ec.ECDSA(hashes.SHA512()),
}
_BROKEN_SIGNATURES: Final[dict[str, str]] = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.3.14.3.2.29": "SHA-1",
    "1.2.840.10045.4.1": "SHA-1",
    "1.2.840.10040.4.3": "SHA-1",
}


def verify(
    loaded: x509.CertificateSigningRequest,
    public_key: PublicKey,
    algorithm: bytes,
    signature: bytes,
    signed: bytes,
) -> None:
    """Raise CsrRefused unless the request is signed by its own key with an algorithm that is still sound."""
    try:
        if algorithm in _ECDSA_SIGNATURES and isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, signed, _ECDSA_SIGNATURES[algorithm])
            return
        if algorithm in _RSA_SIGNATURES and isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, signed, _PKCS1, _RSA_SIGNATURES[algorithm])
            return
    except (InvalidSignature, ValueError):
        raise CsrRefused("the request is not signed by the key it contains") from None
    _verify_rare(loaded)


def _verify_rare(loaded: x509.CertificateSigningRequest) -> None:
    """Everything off the fast path, by cryptography: EdDSA, ML-DSA, RSASSA-PSS, odd hashes."""
    try:
        broken = _BROKEN_SIGNATURES.get(loaded.signature_algorithm_oid.dotted_string)
        digest = None if broken else loaded.signature_hash_algorithm
        valid = broken is None and loaded.is_signature_valid
    except Exception:  # noqa: BLE001 - an algorithm it does not know, parameters that do not fit the key
        raise CsrRefused("the signature algorithm of the request is not supported") from None
    if digest is not None and digest.name not in _ACCEPTED_HASHES:
        broken = digest.name.upper()
    if broken:
        raise CsrRefused(
            f"the request is signed with {broken}, which no longer proves anything; use SHA-256 or better"
        )
    if not valid:
        raise CsrRefused("the request is not signed by the key it contains")
