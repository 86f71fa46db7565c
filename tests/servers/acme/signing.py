"""A client's side of the JWS: signs what it is told to, right or wrong. Independent of servers.acme on purpose."""

import base64
import hmac
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

URL = "https://ca.test/acme/new-order"
KID = "https://ca.test/acme/acct/7"
NONCE = "bm9uY2U"
ALGORITHMS = ("RS256", "ES256", "ES384", "ES512", "EdDSA")

_EC: dict[str, tuple[ec.EllipticCurve, str, int, Any]] = {
    "ES256": (ec.SECP256R1(), "P-256", 32, SHA256()),
    "ES384": (ec.SECP384R1(), "P-384", 48, SHA384()),
    "ES512": (ec.SECP521R1(), "P-521", 66, SHA512()),
}


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Key:
    """A client's key pair: its `alg`, its public JWK, and how to sign."""

    alg: str
    jwk: dict[str, Any]
    private: Any

    def sign(self, data: bytes) -> bytes:
        if self.alg == "RS256":
            return bytes(self.private.sign(data, padding.PKCS1v15(), SHA256()))
        if self.alg == "EdDSA":
            return bytes(self.private.sign(data))
        _, _, octets, digest = _EC[self.alg]
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(octets, "big") + s.to_bytes(octets, "big")


def new_key(alg: str, bits: int = 2048) -> Key:
    if alg == "RS256":
        private = rsa.generate_private_key(65537, bits)
        public = private.public_key().public_numbers()
        return Key(alg, {"kty": "RSA", "n": number(public.n), "e": number(public.e)}, private)
    if alg == "EdDSA":
        signer = ed25519.Ed25519PrivateKey.generate()
        return Key(
            alg, {"kty": "OKP", "crv": "Ed25519", "x": b64(signer.public_key().public_bytes_raw())}, signer
        )
    curve, name, octets, _ = _EC[alg]
    pair = ec.generate_private_key(curve)
    point = pair.public_key().public_numbers()
    x, y = (b64(value.to_bytes(octets, "big")) for value in (point.x, point.y))
    return Key(alg, {"kty": "EC", "crv": name, "x": x, "y": y}, pair)


def key(alg: str, which: int = 0) -> Key:
    """One key of each kind for the whole run; `which` tells several apart."""
    return _kept_key(alg, which)


@cache
def _kept_key(alg: str, which: int) -> Key:
    del which
    return new_key(alg)


def header(by: Key, **changes: Any) -> dict[str, Any]:
    """The protected header of a request by kid; a change to None takes a parameter out."""
    values = {"alg": by.alg, "kid": KID, "nonce": NONCE, "url": URL} | changes
    return {name: value for name, value in values.items() if value is not None}


def flattened(protected: bytes, payload: bytes, by: Key) -> dict[str, Any]:
    """A JWS whose signature is right, whatever the header says."""
    members = {"protected": b64(protected), "payload": b64(payload)}
    signature = by.sign(f"{members['protected']}.{members['payload']}".encode())
    return members | {"signature": b64(signature)}


def request(by: Key, payload: bytes = b"{}", **changes: Any) -> bytes:
    """The body of a signed request with header parameters changed."""
    return compact(flattened(compact(header(by, **changes)), payload, by))


def binding(mac_key: bytes, bound: object, digest: str = "sha256", **changes: Any) -> dict[str, Any]:
    """An externalAccountBinding value with a right MAC."""
    values = {"alg": "HS256", "kid": "eab-1", "url": URL} | changes
    protected = compact({name: value for name, value in values.items() if value is not None})
    members = {"protected": b64(protected), "payload": b64(compact(bound))}
    mac = hmac.digest(mac_key, f"{members['protected']}.{members['payload']}".encode(), digest)
    return members | {"signature": b64(mac)}
