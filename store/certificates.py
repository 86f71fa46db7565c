"""Certificates and the intents that precede them."""

from typing import Final

from sqlalchemy import bindparam, null, select, update

from store.clock import Millis
from store.database import Row, Transaction
from store.ids import IssuerName, JobId, PrincipalId, Serial
from store.records import Certificate, Intent
from store.schema import acme_account_keys, blocked_keys, certificate_names, certificates, intents
from store.statements import Statement, columns_of, insert_row, select_by

_COLUMNS: Final = columns_of(Certificate, certificates)
_INSERT_INTENT: Final = insert_row(intents)
_INTENT: Final = select_by(Intent, intents, "job_id")
_INSERT: Final = insert_row(certificates)
_INSERT_NAME: Final = insert_row(certificate_names)
_BY_SERIAL: Final = select_by(Certificate, certificates, "issuer", "serial")
_BY_JOB: Final = select_by(Certificate, certificates, "job_id")
_BY_DIGEST: Final = select_by(Certificate, certificates, "sha256")
_LATEST: Final = Statement(
    select(*_COLUMNS)
    .order_by(certificates.c.issued_at.desc(), certificates.c.serial)
    .limit(bindparam("most"))
)
_BY_NAME: Final = Statement(
    select(*_COLUMNS)
    .join(
        certificate_names,
        (certificate_names.c.issuer == certificates.c.issuer)
        & (certificate_names.c.serial == certificates.c.serial),
    )
    .where(certificate_names.c.value == bindparam("value"))
    .order_by(certificates.c.issued_at.desc())
    .limit(bindparam("most"))
)
_REVOKE: Final = Statement(
    update(certificates)
    .where(
        certificates.c.issuer == bindparam("key_issuer"),
        certificates.c.serial == bindparam("key_serial"),
        certificates.c.revoked_at.is_(null()),
    )
    .values(revoked_at=bindparam("at"), revocation_reason=bindparam("reason"), revoked_by=bindparam("by"))
)
_KEY_USED: Final = Statement(
    select(certificates.c.serial).where(certificates.c.spki_sha256 == bindparam("spki_sha256")).limit(1)
)
_BLOCK: Final = insert_row(blocked_keys)
_BLOCKED: Final = Statement(
    select(blocked_keys.c.reason).where(blocked_keys.c.spki_sha256 == bindparam("spki_sha256"))
)
_KEY_HOLDER: Final = select(acme_account_keys.c.account_id).where(
    acme_account_keys.c.spki_sha256 == bindparam("spki_sha256")
)
_ABOUT_KEY: Final = Statement(
    select(
        select(blocked_keys.c.reason)
        .where(blocked_keys.c.spki_sha256 == bindparam("spki_sha256"))
        .scalar_subquery(),
        _KEY_HOLDER.scalar_subquery(),
    )
)


def serial_text(serial: Serial) -> str:
    """A serial as the tables hold it: lower-case hex without leading zeros."""
    return f"{serial:x}"


def serial_number(text: str) -> Serial:
    """The serial that `text` stands for."""
    return Serial(int(text, 16))


async def insert_intent(tx: Transaction, intent: Intent) -> None:
    """Record what is about to be signed. One per job; serials are unique per issuer."""
    await tx.execute(
        _INSERT_INTENT,
        job_id=intent.job_id,
        issuer=intent.issuer,
        serial=intent.serial,
        tbs_sha256=intent.tbs_sha256,
        not_before=intent.not_before,
        not_after=intent.not_after,
        recorded_at=intent.recorded_at,
    )


async def intent(tx: Transaction, job_id: JobId) -> Intent | None:
    """What the job meant to sign, if it came that far."""
    row = await tx.one(_INTENT, job_id=job_id)
    return None if row is None else Intent(*row)


async def insert(tx: Transaction, certificate: Certificate, names: tuple[tuple[str, str], ...]) -> None:
    """Store what was signed. `names` are its (type, value) pairs, for the search by name."""
    await tx.execute(
        _INSERT,
        issuer=certificate.issuer,
        serial=certificate.serial,
        job_id=certificate.job_id,
        request_id=certificate.request_id,
        approval_id=certificate.approval_id,
        profile=certificate.profile,
        profile_version=certificate.profile_version,
        principal_id=certificate.principal_id,
        account_id=certificate.account_id,
        fence=certificate.fence,
        der=certificate.der,
        tbs_sha256=certificate.tbs_sha256,
        sha256=certificate.sha256,
        spki_sha256=certificate.spki_sha256,
        subject=certificate.subject,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        issued_at=certificate.issued_at,
        revoked_at=None,
        revocation_reason=None,
        revoked_by=None,
    )
    for type_, value in names:
        await tx.execute(
            _INSERT_NAME, value=value, type=type_, issuer=certificate.issuer, serial=certificate.serial
        )


async def get(tx: Transaction, issuer: IssuerName, serial: str) -> Certificate | None:
    """The certificate of that issuer and serial (hex)."""
    return _certificate(await tx.one(_BY_SERIAL, issuer=issuer, serial=serial))


async def of_job(tx: Transaction, job_id: JobId) -> Certificate | None:
    """What the job has issued."""
    return _certificate(await tx.one(_BY_JOB, job_id=job_id))


async def with_digest(tx: Transaction, sha256: str) -> Certificate | None:
    """The certificate whose DER has that SHA-256 (hex)."""
    return _certificate(await tx.one(_BY_DIGEST, sha256=sha256))


async def latest(tx: Transaction, most: int) -> list[Certificate]:
    """The newest certificates."""
    return [Certificate(*row) for row in await tx.all(_LATEST, most=most)]


async def with_name(tx: Transaction, value: str, most: int) -> list[Certificate]:
    """The newest certificates for one name."""
    return [Certificate(*row) for row in await tx.all(_BY_NAME, value=value, most=most)]


async def revoke(
    tx: Transaction, issuer: IssuerName, serial: str, at: Millis, reason: int, by: PrincipalId
) -> bool:
    """Mark as revoked, once; whether it was good until now."""
    return await tx.execute(_REVOKE, key_issuer=issuer, key_serial=serial, at=at, reason=reason, by=by) == 1


async def block_key(tx: Transaction, spki_sha256: str, reason: str, at: Millis, by: PrincipalId) -> None:
    """Never again issue for this key."""
    if await blocked(tx, spki_sha256) is None:
        await tx.execute(_BLOCK, spki_sha256=spki_sha256, reason=reason, blocked_at=at, blocked_by=by)


async def blocked(tx: Transaction, spki_sha256: str) -> str | None:
    """Why this key is blocked, if it is."""
    row = await tx.one(_BLOCKED, spki_sha256=spki_sha256)
    return None if row is None else str(row[0])


async def about_key(tx: Transaction, spki_sha256: str) -> tuple[str | None, bool]:
    """Why this key is blocked, if it is, and whether it is or was the key of some account."""
    row = await tx.one(_ABOUT_KEY, spki_sha256=spki_sha256)
    assert row is not None
    return row[0], row[1] is not None


async def key_used(tx: Transaction, spki_sha256: str) -> bool:
    """Whether a certificate was issued for this key before."""
    return await tx.one(_KEY_USED, spki_sha256=spki_sha256) is not None


def _certificate(row: Row | None) -> Certificate | None:
    return None if row is None else Certificate(*row)
