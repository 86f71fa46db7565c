"""Signed requests: flattened JWS (RFC 7515 section 7.2.2) as RFC 8555 section 6.2 narrows it.

`parse` takes a request body apart and checks its form, `verify` checks the signature with a loaded key, `check_url`
where it was meant to go. Two JWS travel inside others: the key-change object (`parse_key_change`, then `verify`) and
the external account binding (`parse_binding`, then `verify_eab`).
"""

import hmac
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from ca.der import sequence, tlv
from servers.acme import base64url
from servers.acme.jwk import AccountKey, stands_for
from servers.acme.refusals import (
    BadNonce,
    BadPublicKey,
    BadSignature,
    BadSignatureAlgorithm,
    MalformedJws,
    WrongUrl,
)
from servers.web.problem import quoted
from servers.web.strict_json import JsonObject, JsonRefused, JsonValue, load, load_object

MAX_BODY: Final = 64 * 1024  # octets
MAX_URL: Final = 2048  # characters of `url` and `kid`
MAX_NONCE: Final = 256  # characters
MIN_MAC_KEY: Final = 16  # octets
SIGNATURE_ALGORITHMS: Final = ("RS256", "ES256", "ES384", "ES512", "EdDSA")
MAC_ALGORITHMS: Final = ("HS256", "HS384", "HS512")

_MAC_HASH: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
# RFC 7518 section 3.4: the signature is r and s, each in the full length of the curve's order.
_ECDSA: Final = {
    "ES256": (32, ECDSA(SHA256())),
    "ES384": (48, ECDSA(SHA384())),
    "ES512": (66, ECDSA(SHA512())),
}
_PKCS1: Final = PKCS1v15()
_SHA256: Final = SHA256()


class SignedRequest(NamedTuple):
    """A well-formed flattened JWS whose signature has *not* been checked.

    A tuple and not a dataclass because it is made for every request and costs a quarter so.

    Attributes:
        alg: the signature algorithm, one of those that the place allows.
        nonce: base64url text, neither checked nor spent; empty in an inner JWS, which has none.
        url: what the signer meant to reach; see `check_url`.
        jwk: the signer's key as JSON, still unchecked; None if `kid` is there.
        kid: the account URL, or the name of a MAC key in a binding; None if `jwk` is there.
        payload: octets; empty for POST-as-GET (RFC 8555 section 6.3).
        signing_input: the octets that were signed.
        signature: octets.
    """

    alg: str
    nonce: str
    url: str
    jwk: JsonObject | None
    kid: str | None
    payload: bytes
    signing_input: bytes
    signature: bytes


def parse(body: bytes) -> SignedRequest:
    """Return the parts of a request body (RFC 8555 section 6.2).

    Raises:
        MalformedJws: too large, not strict JSON, not a flattened JWS, or the protected header is wrong.
        BadSignatureAlgorithm: `alg` is none of SIGNATURE_ALGORITHMS.
        BadNonce: there is no `nonce` (section 6.5 has the client retry with one).
    """
    return _request(_members(body), SIGNATURE_ALGORITHMS, _nonce)


def parse_key_change(payload: bytes) -> SignedRequest:
    """Return the inner JWS of a keyChange request: with `jwk`, without `nonce` (RFC 8555 section 7.3.5).

    Raises MalformedJws and BadSignatureAlgorithm as `parse` does.
    """
    inner = _request(_members(payload), SIGNATURE_ALGORITHMS, _no_nonce)
    if inner.jwk is None:
        raise MalformedJws("the inner JWS of a key change carries the new key as jwk, not a kid")
    return inner


def parse_binding(value: JsonValue) -> SignedRequest:
    """Return an `externalAccountBinding` value: MAC `alg`, the key's name as `kid`, no `nonce` (section 7.3.4).

    Raises MalformedJws and, with MAC_ALGORITHMS, BadSignatureAlgorithm as `parse` does.
    """
    if type(value) is not dict:
        raise MalformedJws("externalAccountBinding is not a JSON object")
    inner = _request(value, MAC_ALGORITHMS, _no_nonce)
    if inner.kid is None:
        raise MalformedJws("externalAccountBinding names its MAC key as kid and has no jwk")
    return inner


def check_url(jws: SignedRequest, expected_url: str) -> None:
    """Raise WrongUrl unless the JWS was signed for exactly the URL that we gave out (RFC 8555 section 6.4)."""
    if jws.url != expected_url:
        raise WrongUrl(
            f"the request was signed for the URL {quoted(jws.url, 200)}, not for {quoted(expected_url, 200)}"
        )


def verify(jws: SignedRequest, key: AccountKey) -> None:
    """Return if `key` made the signature.

    Raises:
        BadPublicKey: `alg` is not one that this key is used with (RFC 8555 section 6.2).
        BadSignature: it did not.
    """
    if jws.alg not in key.algorithms:
        raise BadPublicKey(
            f"the key does not fit the algorithm {jws.alg}; with this key use {', '.join(key.algorithms)}"
        )
    # The algorithm is the key's, so it tells the key's type; asking isinstance of an abstract class costs more.
    public_key: Any = key.public_key
    try:
        if (known := _ECDSA.get(jws.alg)) is not None:
            octets, ecdsa = known
            public_key.verify(dss_signature(jws.signature, octets), jws.signing_input, ecdsa)
        elif jws.alg == "RS256":
            public_key.verify(jws.signature, jws.signing_input, _PKCS1, _SHA256)
        else:
            public_key.verify(jws.signature, jws.signing_input)
    except InvalidSignature:
        raise BadSignature("the signature of the JWS is wrong") from None


def verify_eab(binding: SignedRequest, mac_key: bytes, expected_url: str, account_key: AccountKey) -> None:
    """Return if the holder of `mac_key` bound `account_key` for the request at `expected_url` (RFC 8555 section 7.3.4).

    Raises:
        BadSignatureAlgorithm, BadSignature, WrongUrl: as their names say.
        MalformedJws: the payload is not the JWK that signed the outer request.
    """
    if len(mac_key) < MIN_MAC_KEY:
        raise ValueError(f"a MAC key has at least {MIN_MAC_KEY} octets")
    if (digest := _MAC_HASH.get(binding.alg)) is None:
        raise BadSignatureAlgorithm("an external account binding is signed with a MAC", MAC_ALGORITHMS)
    if not hmac.compare_digest(hmac.digest(mac_key, binding.signing_input, digest), binding.signature):
        raise BadSignature("the MAC of the external account binding is wrong")
    check_url(binding, expected_url)
    try:
        bound = load(binding.payload)
    except JsonRefused:
        raise MalformedJws("the payload of the external account binding is not a JWK") from None
    if not stands_for(bound, account_key):
        raise MalformedJws(
            "the external account binding is for another key than the one that signed the request"
        )


def _members(body: bytes) -> JsonObject:
    if len(body) > MAX_BODY:
        raise MalformedJws(f"a JWS has at most {MAX_BODY} octets here")
    try:
        return load_object(body)
    except JsonRefused as error:
        raise MalformedJws(f"the JWS is refused: {error}") from None


def _request(
    members: JsonObject, algorithms: tuple[str, ...], nonce_of: Callable[[JsonObject], str]
) -> SignedRequest:
    if "header" in members:
        raise MalformedJws("a JWS with an unprotected header is not accepted")
    if "signatures" in members:
        raise MalformedJws("a JWS in general serialization is not accepted; send one signature, flattened")
    protected, payload, signature = members.get("protected"), members.get("payload"), members.get("signature")
    if type(protected) is not str or type(payload) is not str or type(signature) is not str:
        raise MalformedJws("a flattened JWS has the string members protected, payload and signature")
    try:
        header = load_object(base64url.decode(protected))
        payload_octets = base64url.decode(payload)
        signature_octets = base64url.decode(signature)
    except base64url.NotBase64url as error:
        raise MalformedJws(f"a member of the JWS is {error}") from None
    except JsonRefused as error:
        raise MalformedJws(f"the protected header is refused: {error}") from None
    if "crit" in header or "b64" in header:
        raise MalformedJws("the header parameters crit and b64 are not accepted")
    alg = _algorithm(header, algorithms)
    jwk, kid = _key_reference(header)
    signing_input = f"{protected}.{payload}".encode("ascii")
    return SignedRequest(
        alg, nonce_of(header), _line(header, "url"), jwk, kid, payload_octets, signing_input, signature_octets
    )


def _algorithm(header: JsonObject, algorithms: tuple[str, ...]) -> str:
    alg = header.get("alg")
    if type(alg) is not str:
        raise MalformedJws("the protected header has no string alg")
    if alg not in algorithms:
        message = f"the algorithm {quoted(alg)} is not accepted here; use one of {', '.join(algorithms)}"
        raise BadSignatureAlgorithm(message, algorithms)
    return alg


def _key_reference(header: JsonObject) -> tuple[JsonObject | None, str | None]:
    if ("jwk" in header) == ("kid" in header):
        raise MalformedJws("the protected header has exactly one of jwk and kid")
    if "kid" in header:
        return None, _line(header, "kid")
    jwk = header["jwk"]
    if type(jwk) is not dict:
        raise MalformedJws("jwk is not a JSON object")
    return jwk, None


def _nonce(header: JsonObject) -> str:
    if "nonce" not in header:
        raise BadNonce("the JWS has no nonce")
    nonce = header["nonce"]
    if type(nonce) is not str or not 0 < len(nonce) <= MAX_NONCE:
        raise MalformedJws("nonce is not a string of base64url")
    try:
        base64url.decode(nonce)
    except base64url.NotBase64url as error:
        raise MalformedJws(f"nonce is {error}") from None
    return nonce


def _no_nonce(header: JsonObject) -> str:
    if "nonce" in header:
        raise MalformedJws("an inner JWS has no nonce")
    return ""


def _line(header: JsonObject, name: str) -> str:
    """A URL, or the name of a MAC key, which section 7.3.4 wants in ASCII too."""
    value = header.get(name)
    if type(value) is not str:
        raise MalformedJws(f"the protected header has no string {name}")
    if not 0 < len(value) <= MAX_URL or not value.isascii() or not value.isprintable():
        raise MalformedJws(f"{name} is not a line of 1 to {MAX_URL} printable ASCII characters")
    return value


def dss_signature(raw: bytes, octets: int) -> bytes:
    """DER of r and s, each `octets` long. By hand: the library's function takes half as long again.

    Raises BadSignature for another length.
    """
    if len(raw) != 2 * octets:
        raise BadSignature(f"the signature has {len(raw)} octets instead of {2 * octets}")
    return sequence(_integer(raw[:octets]), _integer(raw[octets:]))


def _integer(magnitude: bytes) -> bytes:
    """DER of a number in big-endian octets: the fewest octets that hold it, and none of them a minus sign."""
    digits = magnitude.lstrip(b"\0")
    return tlv(0x02, digits if digits and digits[0] < 0x80 else b"\0" + digits)
