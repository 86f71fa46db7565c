"""Encrypted PKCS#8 (RFC 5958) under PBES2 (RFC 8018): PBKDF2-HMAC-SHA-256 and AES-256-CBC.

cryptography's own writer stops at 2048 rounds, which makes a stolen file cheap to guess at. The same form with
600 000 rounds is readable by every OpenSSL, by Python's ssl module and in FIPS mode, so it is written here;
reading is cryptography's.
"""

import base64
import os
from typing import Final

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca import der
from ca.keys.algorithms import PrivateKey

ROUNDS: Final = 600_000

_PBES2: Final = der.oid("1.2.840.113549.1.5.13")
_PBKDF2: Final = der.oid("1.2.840.113549.1.5.12")
_HMAC_SHA256: Final = der.sequence(der.oid("1.2.840.113549.2.9"), der.NULL)
_AES_256_CBC: Final = der.oid("2.16.840.1.101.3.4.1.42")


def encrypted_pem(private_key: PrivateKey, passphrase: bytes) -> bytes:
    """The key as an ENCRYPTED PRIVATE KEY text (RFC 7468 11)."""
    salt, vector = os.urandom(16), os.urandom(16)
    secret = PBKDF2HMAC(hashes.SHA256(), 32, salt, ROUNDS).derive(passphrase)
    plain = private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(secret), modes.CBC(vector)).encryptor()
    sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    derivation = der.sequence(
        _PBKDF2, der.sequence(der.octet_string(salt), der.integer(ROUNDS), _HMAC_SHA256)
    )
    scheme = der.sequence(_AES_256_CBC, der.octet_string(vector))
    info = der.sequence(der.sequence(_PBES2, der.sequence(derivation, scheme)), der.octet_string(sealed))
    text = base64.b64encode(info)
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + lines + b"\n-----END ENCRYPTED PRIVATE KEY-----\n"
