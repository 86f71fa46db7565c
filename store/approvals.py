"""Approvals and the decisions on them: every move is one compare-and-set."""

from typing import Any, Final

from sqlalchemy import bindparam, select, update

from store.clock import Millis
from store.database import Transaction
from store.ids import ApprovalId
from store.records import Approval, ApprovalStatus, Decision, JobKind, Verdict
from store.schema import approval_decisions, approvals
from store.statements import Statement, columns_of, insert_row, one_of, select_by

_COLUMNS: Final = columns_of(Approval, approvals)
_INSERT: Final = insert_row(approvals)
_GET: Final = select_by(Approval, approvals, "id")
_LOCKED: Final = Statement(select(*_COLUMNS).where(approvals.c.id == bindparam("id")).with_for_update())
_COVERING: Final = Statement(
    select(*_COLUMNS)
    .where(
        approvals.c.digest == bindparam("digest"),
        approvals.c.status.in_(one_of(ApprovalStatus.PENDING.value, ApprovalStatus.APPROVED.value)),
    )
    .order_by(approvals.c.id.desc())
    .with_for_update()
)
_DUE: Final = Statement(
    select(*_COLUMNS)
    .where(approvals.c.status == ApprovalStatus.PENDING.value, approvals.c.expires_at <= bindparam("now"))
    .order_by(approvals.c.expires_at)
    .limit(bindparam("most"))
)
_OPEN: Final = Statement(
    select(*_COLUMNS)
    .where(approvals.c.status == bindparam("status"))
    .order_by(approvals.c.id)
    .limit(bindparam("most"))
)
_END: Final = Statement(
    update(approvals)
    .where(approvals.c.id == bindparam("key"), approvals.c.status == ApprovalStatus.PENDING.value)
    .values(status=bindparam("to"), ended_at=bindparam("now"))
)
_INSERT_DECISION: Final = insert_row(approval_decisions)
_DECISIONS: Final = Statement(
    select(*columns_of(Decision, approval_decisions))
    .where(approval_decisions.c.approval_id == bindparam("approval_id"))
    .order_by(approval_decisions.c.decided_at)
)


async def insert(tx: Transaction, approval: Approval) -> None:
    """Put a question."""
    await tx.execute(
        _INSERT,
        id=approval.id,
        digest=approval.digest,
        kind=approval.kind.value,
        profile=approval.profile,
        profile_version=approval.profile_version,
        required=approval.required,
        role=approval.role,
        status=approval.status.value,
        requested_at=approval.requested_at,
        expires_at=approval.expires_at,
        reuse_window=approval.reuse_window,
        ended_at=approval.ended_at,
    )


async def get(tx: Transaction, approval_id: ApprovalId) -> Approval | None:
    """The approval of that id."""
    row = await tx.one(_GET, id=approval_id)
    return None if row is None else _approval(row)


async def lock(tx: Transaction, approval_id: ApprovalId) -> Approval | None:
    """The approval of that id, held until the transaction ends: who counts votes must not be overtaken."""
    row = await tx.one(_LOCKED, id=approval_id)
    return None if row is None else _approval(row)


async def covering(tx: Transaction, digest: str) -> list[Approval]:
    """Open or given approvals of exactly this question, newest first, held until the transaction ends."""
    return [_approval(row) for row in await tx.all(_COVERING, digest=digest)]


async def due(tx: Transaction, now: Millis, most: int) -> list[Approval]:
    """Open approvals whose time is up."""
    return [_approval(row) for row in await tx.all(_DUE, now=now, most=most)]


async def in_status(tx: Transaction, status: ApprovalStatus, most: int = 1000) -> list[Approval]:
    """Approvals in one status, oldest first."""
    return [_approval(row) for row in await tx.all(_OPEN, status=status.value, most=most)]


async def end(tx: Transaction, approval_id: ApprovalId, to: ApprovalStatus, now: Millis) -> bool:
    """Pending -> `to`, for good. Whether it moved."""
    return await tx.execute(_END, key=approval_id, to=to.value, now=now) == 1


async def insert_decision(tx: Transaction, decision: Decision) -> None:
    """Record a word. The database refuses a second one by the same principal, and one from the wrong person."""
    await tx.execute(
        _INSERT_DECISION,
        approval_id=decision.approval_id,
        principal_id=decision.principal_id,
        verdict=decision.verdict.value,
        note=decision.note,
        decided_at=decision.decided_at,
    )


async def decisions(tx: Transaction, approval_id: ApprovalId) -> list[Decision]:
    """The words given so far, oldest first."""
    rows = await tx.all(_DECISIONS, approval_id=approval_id)
    return [Decision(a, p, Verdict(v), note, at) for a, p, v, note, at in rows]


def _approval(row: tuple[Any, ...]) -> Approval:
    key, digest, kind, profile, version, required, role, status, *times = row
    return Approval(
        key, digest, JobKind(kind), profile, version, required, role, ApprovalStatus(status), *times
    )
