"""Keys in files: encrypted PKCS#8, readable by their owner alone.

A file that others can read, a symbolic link, a plain-text key or a key of another kind stops the start with a
sentence that names the file. Nothing here ever shows a key or a passphrase.
"""

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ca.keys.algorithms import (
    KeyAlgorithm,
    PrivateKey,
    PublicKey,
    describe,
    signature_algorithm,
    signature_maker,
)
from ca.keys.pkcs8 import encrypted_pem

RSA_BITS: Final = range(2048, 4096 + 1, 8)
"""Sizes of an authority's RSA keys."""

MAX_FILE: Final = 64 * 1024
MAX_PASSPHRASE: Final = 1024


class KeyRefused(Exception):
    """A key or its file is not fit for use; the message names the file and the reason, never a secret."""


class FileKey:
    """A KeyHandle over a key in this process's memory."""

    __slots__ = ("_algorithm", "_private_key", "_public_key", "_sign", "_signature_algorithm")

    def __init__(self, private_key: PrivateKey) -> None:
        """Wrap a loaded key; KeyRefused for kinds and sizes that an authority does not use."""
        try:
            algorithm, bits = describe(private_key.public_key())
        except ValueError as unsupported:
            raise KeyRefused(str(unsupported)) from None
        if algorithm is KeyAlgorithm.RSA and bits not in RSA_BITS:
            raise KeyRefused(f"an RSA key of {bits} bits; 2048 to 4096 in whole octets are used")
        self._private_key = private_key
        self._public_key = private_key.public_key()
        self._algorithm = algorithm
        self._signature_algorithm = signature_algorithm(algorithm)
        self._sign = signature_maker(private_key)

    @property
    def algorithm(self) -> KeyAlgorithm:
        return self._algorithm

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    @property
    def signature_algorithm(self) -> bytes:
        return self._signature_algorithm

    def sign(self, data: bytes) -> bytes:
        """The signature octets over `data`; safe to call from any thread."""
        return self._sign(data)

    def save(self, path: Path, passphrase: bytes) -> None:
        """Write the key to a new file of mode 0600, encrypted; KeyRefused if something is there already.

        The file appears whole or not at all: written under another name, synced, then linked into place.
        """
        _check_passphrase(passphrase)
        _write_new(path, encrypted_pem(self._private_key, passphrase))

    def __repr__(self) -> str:
        return f"<FileKey {self._algorithm}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not copied into pickles")


def generate(algorithm: KeyAlgorithm, bits: int | None = None) -> FileKey:
    """A fresh key. `bits` is for RSA only (default 3072)."""
    if algorithm is KeyAlgorithm.RSA:
        size = 3072 if bits is None else bits
        if size not in RSA_BITS:
            raise KeyRefused(f"an RSA key of {size} bits; 2048 to 4096 in whole octets are used")
        return FileKey(rsa.generate_private_key(65537, size))
    if bits is not None:
        raise KeyRefused(f"a key of algorithm {algorithm} has no choice of size")
    return FileKey(_GENERATORS[algorithm]())


_GENERATORS: Final[dict[KeyAlgorithm, Callable[[], PrivateKey]]] = {
    KeyAlgorithm.P256: lambda: ec.generate_private_key(ec.SECP256R1()),
    KeyAlgorithm.P384: lambda: ec.generate_private_key(ec.SECP384R1()),
    KeyAlgorithm.P521: lambda: ec.generate_private_key(ec.SECP521R1()),
    KeyAlgorithm.ED25519: ed25519.Ed25519PrivateKey.generate,
    KeyAlgorithm.ML_DSA_44: mldsa.MLDSA44PrivateKey.generate,
    KeyAlgorithm.ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
    KeyAlgorithm.ML_DSA_87: mldsa.MLDSA87PrivateKey.generate,
}


def open_key(path: Path, passphrase: bytes) -> FileKey:
    """The key in `path`; KeyRefused when the file is exposed, missing, not encrypted, or the passphrase is wrong."""
    _check_passphrase(passphrase)
    text = _read_private(path)
    if b"-----BEGIN ENCRYPTED PRIVATE KEY-----" not in text:
        raise KeyRefused(f"{path} is not an encrypted PKCS#8 key (PEM)")
    try:
        private_key = load_pem_private_key(text, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRefused(f"{path}: the passphrase does not open this key, or the file is damaged") from None
    try:
        return FileKey(private_key)  # type: ignore[arg-type]  # the constructor refuses the kinds we do not have
    except KeyRefused as refused:
        raise KeyRefused(f"{path}: {refused}") from None


def _check_passphrase(passphrase: bytes) -> None:
    if not 1 <= len(passphrase) <= MAX_PASSPHRASE:
        raise KeyRefused(f"a passphrase has 1 to {MAX_PASSPHRASE} octets")


def _read_private(path: Path) -> bytes:
    try:
        # The link is refused and the mode read on the open file, so nothing can be swapped in between.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as failed:
        reason = "it is a symbolic link" if path.is_symlink() else failed.strerror
        raise KeyRefused(f"cannot open the key file {path}: {reason}") from None
    try:
        _check_facts(path, os.fstat(descriptor))
        text = os.read(descriptor, MAX_FILE + 1)  # a regular file is read whole in one call
    finally:
        os.close(descriptor)
    if len(text) > MAX_FILE:
        raise KeyRefused(f"{path} is too large for a key")
    return text


def _check_facts(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise KeyRefused(f"{path} is not a regular file")
    if facts.st_mode & 0o077:
        mode = stat.S_IMODE(facts.st_mode)
        raise KeyRefused(f"{path} has mode {mode:04o}: others can reach the key. Set it to 0600")
    if facts.st_uid not in (0, os.geteuid()):
        raise KeyRefused(f"{path} belongs to another user")


def _write_new(path: Path, text: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)  # whatever the umask took away
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            os.link(draft, path, follow_symlinks=False)  # unlike rename, never replaces what is there
        finally:
            draft.unlink()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise KeyRefused(f"{path} exists already; a key is never overwritten") from None
    except OSError as failed:
        raise KeyRefused(f"cannot write the key file {path}: {failed.strerror}") from None
