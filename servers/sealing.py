"""Secrets that must be read again (external account keys), sealed for the database under DIR/secret.key.

AES-256-GCM under a key that is derived for each purpose, the purpose being authenticated: what was sealed as one
thing does not open as another. A stolen database opens nothing without the file.

    octet  0       version, 1
           1..12   random nonce
          13..     ciphertext and tag
"""

import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SECRET_OCTETS: Final = 32
_VERSION: Final = b"\x01"
_NONCE: Final = 12
_LABEL: Final = b"certctl sealing 1"


class Sealer:
    """Seals and unseals. Its repr shows nothing."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes) -> None:
        """`secret` is the server's master secret; the keys used here are derived from it."""
        if len(secret) < SECRET_OCTETS:
            raise ValueError(f"the secret has at least {SECRET_OCTETS} octets")
        self._key = hmac.digest(secret, _LABEL, "sha256")

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """`secret`, unreadable without the master secret."""
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._cipher(purpose).encrypt(nonce, secret, purpose.encode())

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """The secret; ValueError if it was not sealed here for this purpose."""
        if sealed[:1] != _VERSION or len(sealed) <= 1 + _NONCE:
            raise ValueError("this was not sealed here")
        nonce, ciphertext = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            return self._cipher(purpose).decrypt(nonce, ciphertext, purpose.encode())
        except InvalidTag:
            raise ValueError(
                "this was not sealed with the secret of this server, or for something else"
            ) from None

    def _cipher(self, purpose: str) -> AESGCM:
        return AESGCM(hmac.digest(self._key, purpose.encode(), "sha256"))

    def __repr__(self) -> str:
        return "<Sealer>"
