"""Operators' lists: bounded, newest first, off the hot path."""

from typing import Final

from sqlalchemy import bindparam, desc, func, select

from store import approvals, jobs, requests
from store.database import Row, Transaction
from store.ids import ApprovalId, PrincipalId
from store.records import (
    Approval,
    ApprovalStatus,
    AuditRow,
    Credential,
    Job,
    Principal,
    PrincipalKind,
    Request,
)
from store.schema import approvals as approval_table
from store.schema import audit as audit_table
from store.schema import credentials, principal_roles, principals
from store.schema import jobs as job_table
from store.statements import Statement, columns_of

_ALL_PRINCIPALS: Final = (
    select(*columns_of(Principal, principals))
    .order_by(principals.c.created_at.desc())
    .limit(bindparam("most"))
)
_PRINCIPALS: Final = Statement(_ALL_PRINCIPALS)
_OPERATORS: Final = Statement(_ALL_PRINCIPALS.where(principals.c.name.not_like("acme:%")))
_ROLES: Final = Statement(
    select(principal_roles.c.principal_id, principal_roles.c.role).order_by(principal_roles.c.role)
)
_ACTIVE_HOLDERS: Final = Statement(
    select(func.count())
    .select_from(principal_roles)
    .join(principals, principals.c.id == principal_roles.c.principal_id)
    .where(principal_roles.c.role == bindparam("role"), principals.c.disabled_at.is_(None))
)
_CREDENTIALS: Final = Statement(
    select(*columns_of(Credential, credentials))
    .where(credentials.c.principal_id == bindparam("principal_id"))
    .order_by(credentials.c.created_at)
)
_APPROVALS: Final = Statement(
    select(approval_table.c.id).order_by(approval_table.c.requested_at.desc()).limit(bindparam("most"))
)
_JOBS: Final = Statement(select(job_table.c.id).order_by(job_table.c.id.desc()).limit(bindparam("most")))
_JOB_OF_APPROVAL: Final = Statement(
    select(job_table.c.id)
    .where(job_table.c.approval_id == bindparam("approval_id"))
    .order_by(job_table.c.id.desc())
    .limit(1)
)
_AUDIT: Final = Statement(
    select(*columns_of(AuditRow, audit_table))
    .order_by(desc(audit_table.c.at), audit_table.c.chain, audit_table.c.seq.desc())
    .limit(bindparam("most"))
)
_AUDIT_OF: Final = Statement(
    select(*columns_of(AuditRow, audit_table))
    .where(audit_table.c.subject == bindparam("subject"))
    .order_by(desc(audit_table.c.at), audit_table.c.chain, audit_table.c.seq.desc())
    .limit(bindparam("most"))
)


async def latest_principals(tx: Transaction, most: int, *, accounts: bool) -> list[Principal]:
    """The newest principals; `accounts` says whether those that stand for ACME accounts are among them."""
    return [_principal(row) for row in await tx.all(_PRINCIPALS if accounts else _OPERATORS, most=most)]


async def all_roles(tx: Transaction) -> dict[PrincipalId, list[str]]:
    """Who holds which roles; who holds none is left out."""
    held: dict[PrincipalId, list[str]] = {}
    for principal_id, role in await tx.all(_ROLES):
        held.setdefault(PrincipalId(principal_id), []).append(role)
    return held


async def active_holders(tx: Transaction, role: str) -> int:
    """How many principals hold `role` and are not disabled."""
    row = await tx.one(_ACTIVE_HOLDERS, role=role)
    return int(row[0]) if row else 0


async def credentials_of(tx: Transaction, principal_id: PrincipalId) -> list[Credential]:
    """Its credentials, ended ones too, oldest first."""
    return [Credential(*row) for row in await tx.all(_CREDENTIALS, principal_id=principal_id)]


async def latest_approvals(
    tx: Transaction, most: int, status: ApprovalStatus | None = None
) -> list[Approval]:
    """The newest approvals; of one `status` the oldest, for those wait longest."""
    if status is not None:
        return await approvals.in_status(tx, status, most)
    found = [await approvals.get(tx, ApprovalId(row[0])) for row in await tx.all(_APPROVALS, most=most)]
    return [one for one in found if one is not None]


async def latest_jobs(tx: Transaction, most: int) -> list[Job]:
    """The newest jobs."""
    found = [await jobs.get(tx, row[0]) for row in await tx.all(_JOBS, most=most)]
    return [one for one in found if one is not None]


async def behind_approval(tx: Transaction, approval_id: ApprovalId) -> tuple[Job, Request] | None:
    """The newest job that leans on this approval, ended ones too, and its request."""
    row = await tx.one(_JOB_OF_APPROVAL, approval_id=approval_id)
    job = None if row is None else await jobs.get(tx, row[0])
    return None if job is None else (job, await requests.get(tx, job.request_id))


async def latest_audit(tx: Transaction, most: int, subject: str | None = None) -> list[AuditRow]:
    """The newest lines of the record, of one subject if given."""
    if subject is not None:
        rows = await tx.all(_AUDIT_OF, subject=subject, most=most)
    else:
        rows = await tx.all(_AUDIT, most=most)
    return [AuditRow(*row) for row in rows]


def _principal(row: Row) -> Principal:
    key, name, kind, created_at, created_by, disabled_at = row
    return Principal(key, name, PrincipalKind(kind), created_at, created_by, disabled_at)
