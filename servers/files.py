"""Files that are theirs alone who own them: written whole or not at all, read only if nobody else can."""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

MAX_SECRET: Final = 64 * 1024


class FileRefused(Exception):
    """A private file cannot be used or written; the message names it and what to do."""


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put `content` in `path`, in place of whatever is there, in one step that a crash cannot cut in two."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)  # whatever the umask took away
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise FileRefused(f"cannot write {path}: {error.strerror}") from None


def read_private(path: Path) -> bytes:
    """What `path` holds; FileRefused when it is missing or others can read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FileRefused(f"cannot open {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise FileRefused(f"{path} is not a regular file")
        if facts.st_mode & 0o077:
            raise FileRefused(
                f"{path} has mode {stat.S_IMODE(facts.st_mode):04o}: others can read it. Run: chmod 600 {path}"
            )
        content = file.read(MAX_SECRET + 1)
    if len(content) > MAX_SECRET:
        raise FileRefused(f"{path} is too large for a secret")
    return content


def make_private_directory(path: Path) -> None:
    """A directory that only its owner enters, made with its parents if it is not there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise FileRefused(f"cannot use {path} as a data directory: {error.strerror}") from None


def sync_directory(path: Path) -> None:
    """Make names in the directory `path` durable."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
