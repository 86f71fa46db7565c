"""The record of who did what: appended in the transaction of the deed, chained, never changed."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, select, tuple_

from store.chain import genesis, link
from store.clock import Millis
from store.database import Transaction
from store.json_text import encoder
from store.records import AuditRow
from store.schema import audit
from store.statements import Statement, columns_of, insert_row

_encode: Final = encoder(ascii_only=False)
_INSERT: Final = insert_row(audit)
_PAGE: Final = 1000
_WALK: Final = Statement(
    select(*columns_of(AuditRow, audit))
    .where(
        tuple_(audit.c.chain, audit.c.seq) > tuple_(bindparam("chain"), bindparam("seq", type_=BigInteger))
    )
    .order_by(audit.c.chain, audit.c.seq)
    .limit(bindparam("most"))
)


class AuditEvent(StrEnum):
    """What can be said in the record: `subject.deed`."""

    CA_CREATED = "ca.created"
    CA_IMPORTED = "ca.imported"
    PRINCIPAL_CREATED = "principal.created"
    PRINCIPAL_DISABLED = "principal.disabled"
    ROLE_GRANTED = "role.granted"
    ROLE_WITHDRAWN = "role.withdrawn"
    CREDENTIAL_CREATED = "credential.created"
    CREDENTIAL_REVOKED = "credential.revoked"
    PROFILE_CREATED = "profile.created"
    PROFILE_CHANGED = "profile.changed"
    PROFILE_DELETED = "profile.deleted"
    PROFILE_CHANGE_ASKED = "profile.change_asked"
    REQUEST_REFUSED = "request.refused"
    REQUEST_ACCEPTED = "request.accepted"
    REQUEST_HELD = "request.held"
    REQUEST_COVERED = "request.covered"
    APPROVAL_GIVEN = "approval.given"
    APPROVAL_REJECTED = "approval.rejected"
    APPROVAL_COMPLETE = "approval.complete"
    APPROVAL_EXPIRED = "approval.expired"
    JOB_CLAIMED = "job.claimed"
    JOB_CANCELLED = "job.cancelled"
    JOB_RETRIED = "job.retried"
    JOB_FAILED = "job.failed"
    CERTIFICATE_ISSUED = "certificate.issued"
    CERTIFICATE_REVOKED = "certificate.revoked"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_UPDATED = "account.updated"
    ACCOUNT_DEACTIVATED = "account.deactivated"
    ACCOUNT_KEY_CHANGED = "account.key_changed"
    AUTHORIZATION_VALID = "authorization.valid"
    AUTHORIZATION_INVALID = "authorization.invalid"
    AUTHORIZATION_DEACTIVATED = "authorization.deactivated"
    EAB_KEY_CREATED = "eab_key.created"
    EAB_KEY_REVOKED = "eab_key.revoked"


class ChainBroken(Exception):
    """A row of the record was altered, or is missing."""


async def append(
    tx: Transaction, at: Millis, actor: str, event: AuditEvent, subject: str, **detail: Any
) -> None:
    """Record that `actor` did `event` to `subject`; `detail` must be plain JSON and hold no secret."""
    chain = tx.chain
    text = _json(detail)
    seq = chain.seq + 1
    digest = link(chain.head, chain.id, seq, at, (actor, event, subject, text))
    await tx.execute(
        _INSERT,
        chain=chain.id,
        seq=seq,
        at=at,
        actor=actor,
        action=event.value,
        subject=subject,
        detail=text,
        prev_hash=chain.head,
        hash=digest,
    )
    chain.seq, chain.head = seq, digest


async def verify(tx: Transaction) -> int:
    """The number of rows whose chains hold; ChainBroken names the first that does not.

    It cannot know of rows taken from the end of a chain that nobody writes to any more.
    """
    count = 0
    previous: AuditRow | None = None
    chain, seq = "", -(2**63)
    while rows := await tx.all(_WALK, chain=chain, seq=seq, most=_PAGE):
        for values in rows:
            row = AuditRow(*values)
            _check(row, previous if previous and previous.chain == row.chain else None)
            previous, chain, seq = row, row.chain, row.seq
        count += len(rows)
    return count


def _check(row: AuditRow, before: AuditRow | None) -> None:
    """Raise ChainBroken unless `row` hangs on the row `before` it in its chain, None for the first."""
    seq, prev_hash = (1, genesis(row.chain)) if before is None else (before.seq + 1, before.hash)
    fields = (row.actor, row.action, row.subject, row.detail)
    if (
        row.seq != seq
        or row.prev_hash != prev_hash
        or row.hash != link(prev_hash, row.chain, seq, row.at, fields)
    ):
        raise ChainBroken(
            f"chain {row.chain}: row {row.seq} is not what was written, or one is missing before it"
        )


def _json(detail: Mapping[str, Any]) -> str:
    return _encode(detail) if detail else "{}"
