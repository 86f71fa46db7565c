"""Revoking a certificate: once, with a reason, and on the record (RFC 5280 section 5.3.1)."""

from enum import IntEnum
from typing import Final

from store import audit, certificates
from store.audit import AuditEvent
from store.clock import Millis
from store.database import Transaction
from store.ids import IssuerName, PrincipalId


class ReasonCode(IntEnum):
    """CRLReason. 7 was never assigned."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    CA_COMPROMISE = 2
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    CERTIFICATE_HOLD = 6
    REMOVE_FROM_CRL = 8
    PRIVILEGE_WITHDRAWN = 9
    AA_COMPROMISE = 10


ALLOWED: Final = frozenset(
    {
        ReasonCode.UNSPECIFIED,
        ReasonCode.KEY_COMPROMISE,
        ReasonCode.AFFILIATION_CHANGED,
        ReasonCode.SUPERSEDED,
        ReasonCode.CESSATION_OF_OPERATION,
        ReasonCode.PRIVILEGE_WITHDRAWN,
    }
)
"""What a subscriber's certificate may be revoked for; the others are about authorities, or are no end."""


class NoSuchCertificate(LookupError):
    """No certificate of that issuer and serial was issued here."""


class AlreadyRevoked(Exception):
    """It is revoked; the first reason stands."""


class BadReason(ValueError):
    """The number is no reason for which a subscriber's certificate is revoked."""


async def revoke(
    tx: Transaction, issuer: IssuerName, serial: str, reason: int, by: PrincipalId, now: Millis
) -> None:
    """Revoke one certificate (`serial` in hex). A compromised key is never certified again.

    Raises NoSuchCertificate, AlreadyRevoked, BadReason.
    """
    if reason not in ALLOWED:
        raise BadReason(
            f"reason {reason} is not given here; use one of {', '.join(str(int(r)) for r in sorted(ALLOWED))}"
        )
    certificate = await certificates.get(tx, issuer, serial)
    if certificate is None:
        raise NoSuchCertificate(f"{issuer} has not issued a certificate with serial {serial}")
    if not await certificates.revoke(tx, issuer, serial, now, reason, by):
        raise AlreadyRevoked("the certificate is revoked already")
    if reason == ReasonCode.KEY_COMPROMISE:
        words = "a certificate for it was revoked as compromised"
        await certificates.block_key(tx, certificate.spki_sha256, words, now, by)
    await audit.append(
        tx,
        now,
        by,
        AuditEvent.CERTIFICATE_REVOKED,
        certificate.job_id,
        serial=serial,
        issuer=issuer,
        reason=int(reason),
    )
