"""The secrets of a data directory: its passphrase, its master secret, tokens."""

import secrets
from typing import Final

from servers.files import FileRefused, read_private
from servers.sealing import SECRET_OCTETS
from servers.settings import Settings

MASTER_FILE: Final = "secret.key"
ADMIN_FILE: Final = "admin.token"
SCANNED: Final = "certctl_"
SHOWN: Final = len(SCANNED) + 6
"""Characters of a token that lists show, so that people can tell one from another."""


def new_token() -> str:
    """256 bits of chance behind a word that scanners of leaked secrets can look for."""
    return SCANNED + secrets.token_urlsafe(32)


def new_passphrase() -> bytes:
    """A passphrase with 256 bits of chance, as its file holds it."""
    return secrets.token_urlsafe(32).encode() + b"\n"


def new_master_secret() -> bytes:
    """A master secret as its file holds it: hex."""
    return secrets.token_hex(SECRET_OCTETS).encode() + b"\n"


def passphrase(settings: Settings) -> bytes:
    """What opens the key files. Raises FileRefused."""
    if settings.keys.passphrase is not None:
        given = settings.keys.passphrase.get_secret_value().encode()
    else:
        given = read_private(settings.path(settings.keys.passphrase_file)).rstrip(b"\r\n")
    if not given:
        raise FileRefused("the passphrase is empty: look at [keys] passphrase_file")
    return given


def master_secret(settings: Settings) -> bytes:
    """The secret behind nonces and sealed keys. Raises FileRefused."""
    path = settings.directory / MASTER_FILE
    if not path.exists():
        raise FileRefused(f"{path} is missing: restore it from a backup")
    try:
        secret = bytes.fromhex(read_private(path).decode("ascii").strip())
    except ValueError:
        raise FileRefused(f"{path} is damaged: restore it from a backup") from None
    if len(secret) < SECRET_OCTETS:
        raise FileRefused(f"{path} is damaged: restore it from a backup")
    return secret
