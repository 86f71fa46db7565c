"""The one exception that a failed check raises, in ACME's own words (RFC 8555 6.7)."""

import errno
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from policy.validation.records import ValidationRecord

MOST_DETAIL: Final = 700
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class Problem(StrEnum):
    """ACME error types that a validation can end with, without their URN prefix."""

    CAA = "caa"
    CONNECTION = "connection"
    DNS = "dns"
    INCORRECT_RESPONSE = "incorrectResponse"
    REJECTED_IDENTIFIER = "rejectedIdentifier"
    SERVER_INTERNAL = "serverInternal"  # this machine ran out of sockets or memory: try again later
    TLS = "tls"


class ValidationFailed(Exception):
    """Control over the name was not shown.

    ``detail`` is for the person who asked: what was tried, what came back (escaped and bounded), what to do.
    ``record`` is what was looked up and connected to until then; the validator fills it in.
    """

    def __init__(self, problem: Problem, detail: str) -> None:
        self.problem = problem
        self.detail = detail if len(detail) <= MOST_DETAIL else detail[: MOST_DETAIL - 1] + "…"
        self.record: ValidationRecord | None = None
        super().__init__(f"{problem}: {self.detail}")


def excerpt(data: bytes, most: int = 64) -> str:
    """Bytes from a stranger as one safe, quoted, bounded line of ASCII."""
    text = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'\\"' else f"\\x{byte:02x}" for byte in data[:most]
    )
    return f'"{text}"' + ("…" if len(data) > most else "")


def connection_failed(error: OSError, what: str) -> ValidationFailed:
    """An operating system's refusal in plain words; ``what`` names the peer and ends the sentence's subject."""
    if error.errno in _OURS:
        return ValidationFailed(
            Problem.SERVER_INTERNAL, "the certificate server has no free sockets; try again in a while"
        )
    if isinstance(error, ConnectionRefusedError):
        return ValidationFailed(Problem.CONNECTION, f"{what}: connection refused; nothing listens there")
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return ValidationFailed(Problem.CONNECTION, f"{what}: the connection was reset by the other side")
    if error.errno in _NO_ROUTE:
        return ValidationFailed(Problem.CONNECTION, f"{what}: the certificate server has no route there")
    reason = os.strerror(error.errno).lower() if error.errno else "the connection failed"
    return ValidationFailed(Problem.CONNECTION, f"{what}: {reason}")
