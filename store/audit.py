"""The record of who did what: appended in the transaction of the deed, chained, never changed."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import select

from store.chain import genesis, link
from store.clock import Millis
from store.database import Transaction
from store.records import AuditRow
from store.schema import audit
from store.statements import Statement, columns_of, insert_row

_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_INSERT: Final = insert_row(audit)
_WALK: Final = Statement(select(*columns_of(AuditRow, audit)).order_by(audit.c.chain, audit.c.seq))


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
    """The number of rows whose chains hold; ChainBroken names the first that does not."""
    previous: AuditRow | None = None
    count = 0
    for values in await tx.all(_WALK):
        row = AuditRow(*values)
        begins = previous is None or previous.chain != row.chain
        expected_seq = 1 if begins or previous is None else previous.seq + 1
        expected_prev = genesis(row.chain) if begins or previous is None else previous.hash
        fields = (row.actor, row.action, row.subject, row.detail)
        if (
            row.seq != expected_seq
            or row.prev_hash != expected_prev
            or row.hash != link(expected_prev, row.chain, row.seq, row.at, fields)
        ):
            raise ChainBroken(
                f"chain {row.chain}: row {row.seq} is not what was written, or one is missing before it"
            )
        previous = row
        count += 1
    return count


def _json(detail: Mapping[str, Any]) -> str:
    return _encode(detail) if detail else "{}"
