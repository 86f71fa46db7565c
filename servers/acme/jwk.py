"""Account keys: a public JWK (RFC 7517, 7518, 8037) becomes a key object and its one name, the thumbprint (RFC 7638).

A JWK here has exactly one spelling per key: coordinates have the curve's full length, integers have no leading
zero octet. Otherwise one key could have two thumbprints and so two accounts. Members that say nothing about the key
itself (`kid`, `use`, `alg`, `key_ops`, ...) are ignored and not kept.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.weak_keys import RSA_MAX_BITS, RSA_MIN_BITS, check_key
from servers.acme import base64url
from servers.acme.refusals import BadPublicKey
from servers.web.problem import quoted
from servers.web.strict_json import JsonValue

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class _Curve:
    curve: EllipticCurve
    octets: int  # of one coordinate
    algorithm: str


_CURVES: Final[dict[str, _Curve]] = {
    "P-256": _Curve(SECP256R1(), 32, "ES256"),
    "P-384": _Curve(SECP384R1(), 48, "ES384"),
    "P-521": _Curve(SECP521R1(), 66, "ES512"),
}

_ED25519_PRIME: Final = 2**255 - 19


@dataclass(frozen=True, slots=True)
class AccountKey:
    """A public key that passed every check. Equal keys have equal thumbprints and the other way round.

    Attributes:
        thumbprint: base64url of SHA-256 over `jwk` (RFC 7638): 43 characters.
        jwk: the canonical JWK as JSON text: the required public members only, in lexicographic order, no white space.
        algorithms: the `alg` values that this key may be used with.
        public_key: the loaded key.
    """

    thumbprint: str
    jwk: str = field(compare=False)
    algorithms: tuple[str, ...] = field(compare=False)
    public_key: PublicKey = field(compare=False, repr=False)

    @property
    def spki_sha256(self) -> str:
        """SHA-256 over the DER SubjectPublicKeyInfo, in hex, to compare with the key of a CSR or a certificate."""
        spki = self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).hexdigest()


def load_public_jwk(jwk: JsonValue) -> AccountKey:
    """Return the account key that a `jwk` header or member stands for.

    Raises:
        BadPublicKey: the value is no JWK of a kind that we take (RSA 2048-8192, P-256/384/521, Ed25519), holds private
            members, is not in canonical form, or the key is weak (RFC 8555 section 6.2).
    """
    key = _load(jwk)
    if reasons := check_key(key.public_key):
        raise BadPublicKey(f"the key is weak: {'; '.join(reasons)}")
    return key


def stands_for(jwk: JsonValue, key: AccountKey) -> bool:
    """Whether a JWK from outside is `key`: its members may be in any order, with others among them."""
    try:
        return _load(jwk) == key
    except BadPublicKey:
        return False


def _load(jwk: JsonValue) -> AccountKey:
    if type(jwk) is not dict:
        raise BadPublicKey("the JWK is not a JSON object")
    if _PRIVATE_MEMBERS & jwk.keys():
        raise BadPublicKey(
            "the JWK holds private members; send the public key only, and treat this key as exposed"
        )
    kty = _text(jwk, "kty")
    match kty:
        case "RSA":
            return _rsa(jwk)
        case "EC":
            return _ec(jwk)
        case "OKP":
            return _okp(jwk)
    raise BadPublicKey(f"the key type {quoted(kty)} is not supported; use RSA, EC or OKP")


def _rsa(jwk: Mapping[str, JsonValue]) -> AccountKey:
    n, e = _integer(jwk, "n"), _integer(jwk, "e")
    # The library's own limits come first otherwise, in its own words; what else can be wrong, check_key finds.
    if not RSA_MIN_BITS <= n.bit_length() <= RSA_MAX_BITS:
        raise BadPublicKey(f"an RSA key has {RSA_MIN_BITS} to {RSA_MAX_BITS} bits, not {n.bit_length()}")
    try:
        key = RSAPublicNumbers(e, n).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise BadPublicKey("n and e are no RSA key") from None
    return _account_key({"e": _text(jwk, "e"), "kty": "RSA", "n": _text(jwk, "n")}, key, ("RS256",))


def _ec(jwk: Mapping[str, JsonValue]) -> AccountKey:
    crv = _text(jwk, "crv")
    if (known := _CURVES.get(crv)) is None:
        raise BadPublicKey(f"the curve {quoted(crv)} is not supported; use {', '.join(_CURVES)}")
    x, y = _octets(jwk, "x", known.octets), _octets(jwk, "y", known.octets)
    try:
        key = EllipticCurvePublicKey.from_encoded_point(known.curve, b"\x04" + x + y)
    except (ValueError, UnsupportedAlgorithm):
        raise BadPublicKey(f"x and y are not a point of {crv}") from None
    canonical = {"crv": crv, "kty": "EC", "x": _text(jwk, "x"), "y": _text(jwk, "y")}
    return _account_key(canonical, key, (known.algorithm,))


def _okp(jwk: Mapping[str, JsonValue]) -> AccountKey:
    crv = _text(jwk, "crv")
    if crv != "Ed25519":
        raise BadPublicKey(f"the curve {quoted(crv)} is not supported; with key type OKP use Ed25519")
    x = _octets(jwk, "x", 32)
    y = int.from_bytes(x, "little") & (2**255 - 1)  # the top bit is the sign of x (RFC 8032 section 5.1.2)
    if y >= _ED25519_PRIME:
        raise BadPublicKey("x is not the canonical encoding of a point")
    key = Ed25519PublicKey.from_public_bytes(x)
    return _account_key({"crv": crv, "kty": "OKP", "x": _text(jwk, "x")}, key, ("EdDSA",))


def _account_key(canonical: dict[str, str], key: PublicKey, algorithms: tuple[str, ...]) -> AccountKey:
    # RFC 7638 section 3: the required members in lexicographic order, no white space. The callers give that order.
    text = json.dumps(canonical, separators=(",", ":"))
    thumbprint = base64url.encode(hashlib.sha256(text.encode("ascii")).digest())
    return AccountKey(thumbprint, text, algorithms, key)


def _text(jwk: Mapping[str, JsonValue], member: str) -> str:
    value = jwk.get(member)
    if type(value) is not str:
        raise BadPublicKey(f"the JWK has no string member {member!r}")
    return value


def _decoded(jwk: Mapping[str, JsonValue], member: str) -> bytes:
    text = _text(jwk, member)
    if len(text) > 2000:  # 8192 bits are 1366 characters
        raise BadPublicKey(f"the JWK member {member!r} is too long")
    try:
        return base64url.decode(text)
    except base64url.NotBase64url as error:
        raise BadPublicKey(f"the JWK member {member!r} is {error}") from None


def _octets(jwk: Mapping[str, JsonValue], member: str, length: int) -> bytes:
    """RFC 7518 section 6.2.1.2: a coordinate has the full length of its field, leading zeros included."""
    octets = _decoded(jwk, member)
    if len(octets) != length:
        raise BadPublicKey(f"the JWK member {member!r} has {len(octets)} octets instead of {length}")
    return octets


def _integer(jwk: Mapping[str, JsonValue], member: str) -> int:
    """RFC 7518 section 2, Base64urlUInt: the fewest octets that hold the number."""
    octets = _decoded(jwk, member)
    if not octets or octets[0] == 0:
        raise BadPublicKey(f"the JWK member {member!r} is empty or starts with a zero octet")
    return int.from_bytes(octets, "big")
