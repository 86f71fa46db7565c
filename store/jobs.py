"""Jobs: every move is one compare-and-set, and only the claim makes a `ClaimedJob`."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, false, null, select, true, update
from sqlalchemy.sql.dml import Update

from store.clock import Millis
from store.database import Transaction
from store.ids import ApprovalId, JobId, RequestId
from store.records import Job, JobKind, JobStatus
from store.schema import approvals, jobs, requests
from store.statements import Statement, columns_of, insert_row, one_of, select_by

JOBS_READY: Final = "jobs.ready"
_MINT: Final = object()
_COLUMNS: Final = columns_of(Job, jobs)
# a table costs a tenth of calling the enumeration
_KINDS: Final = {kind.value: kind for kind in JobKind}
_STATUSES: Final = {status.value: status for status in JobStatus}


def moved_topic(job_id: JobId) -> str:
    """The topic on which the moves of one job are announced."""
    return f"job.moved.{job_id}"


class LostClaim(Exception):
    """The job is no longer this worker's: its lease ran out and somebody else may have it."""


class ClaimedJob:
    """A job that this process holds, made by the claim and by nothing else.

    The signer takes no request without one (docs/approval-workflow.md, the third layer).
    """

    __slots__ = ("approval_id", "attempts", "fence", "gated", "job_id", "kind", "request_id")

    def __init__(self, mint: object, job: Job) -> None:
        if mint is not _MINT:
            raise TypeError("a ClaimedJob comes from claiming a pending job, from nowhere else")
        self.job_id = job.id
        self.kind = job.kind
        self.request_id = job.request_id
        self.fence = job.fence
        self.attempts = job.attempts
        self.gated = job.gated
        self.approval_id = job.approval_id

    def __repr__(self) -> str:
        return f"ClaimedJob({self.job_id}, fence={self.fence})"


@dataclass(frozen=True, slots=True)
class _Move:
    """A move from one status to another, as SQL."""

    source: JobStatus
    target: JobStatus

    def update(self) -> Update:
        return (
            update(jobs)
            .where(jobs.c.id == bindparam("key"), jobs.c.status == self.source.value)
            .values(status=self.target.value, updated_at=bindparam("now"))
        )


_INSERT: Final = insert_row(jobs)
_GET: Final = select_by(Job, jobs, "id")
_PENDING: Final = jobs.c.status == JobStatus.PENDING.value
# Whoever claims, and however a job comes to it: these are the conditions.
_MAY_BE_CLAIMED: Final = (
    jobs.c.kind == JobKind.ISSUE.value,
    _PENDING,
    jobs.c.held == false(),
    jobs.c.run_after <= bindparam("now"),
)
_RUN: Final = (
    update(jobs)
    .values(
        status=JobStatus.RUNNING.value,
        fence=jobs.c.fence + 1,
        attempts=jobs.c.attempts + 1,
        worker=bindparam("by"),
        lease_until=bindparam("until"),
        updated_at=bindparam("now"),
    )
    .returning(*_COLUMNS)
)
_CLAIMABLE: Final = (
    select(jobs.c.id)
    .where(*_MAY_BE_CLAIMED)
    .order_by(jobs.c.run_after)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    # Apart, so that it is run once: inside the update PostgreSQL may run it for every row, and the limit is none.
    .cte("claimable")
)
_CLAIM: Final = Statement(_RUN.where(jobs.c.id.in_(select(_CLAIMABLE.c.id)), _PENDING))
_CLAIM_AT_ONCE: Final = Statement(_RUN.where(jobs.c.id == bindparam("key"), *_MAY_BE_CLAIMED))
_CLAIM_ONE: Final = Statement(_RUN.where(jobs.c.id == bindparam("key"), _PENDING))
_APPROVE: Final = Statement(
    _Move(JobStatus.AWAITING_APPROVAL, JobStatus.PENDING)
    .update()
    .values(held=bindparam("hold"), run_after=bindparam("now"))
)
_RELEASE: Final = Statement(
    update(jobs)
    .where(jobs.c.id == bindparam("key"), jobs.c.status == JobStatus.PENDING.value, jobs.c.held == true())
    .values(held=false(), updated_at=bindparam("now"), run_after=bindparam("now"))
)
_CANCEL: Final = Statement(
    update(jobs)
    .where(
        jobs.c.id == bindparam("key"),
        jobs.c.status.in_(one_of(JobStatus.AWAITING_APPROVAL.value, JobStatus.PENDING.value)),
    )
    .values(status=JobStatus.CANCELLED.value, updated_at=bindparam("now"), error=bindparam("why"))
)
_COMPLETE: Final = Statement(
    _Move(JobStatus.RUNNING, JobStatus.COMPLETED)
    .update()
    .where(jobs.c.fence == bindparam("held_fence"))
    .values(lease_until=null(), error=null())
)
_FAIL: Final = Statement(
    _Move(JobStatus.RUNNING, JobStatus.FAILED)
    .update()
    .where(jobs.c.fence == bindparam("held_fence"))
    .values(lease_until=null(), error=bindparam("why"))
)
_RETRY: Final = Statement(
    _Move(JobStatus.RUNNING, JobStatus.PENDING)
    .update()
    .where(jobs.c.fence == bindparam("held_fence"))
    .values(lease_until=null(), worker=null(), error=bindparam("why"), run_after=bindparam("again_at"))
)
_LAPSED: Final = Statement(
    select(*_COLUMNS)
    .where(jobs.c.status == JobStatus.RUNNING.value, jobs.c.lease_until <= bindparam("now"))
    .order_by(jobs.c.id)
    .limit(bindparam("most"))
)
_LIVE_BY_APPROVAL: Final = Statement(
    select(*_COLUMNS).where(
        jobs.c.approval_id == bindparam("approval_id"), jobs.c.status != JobStatus.CANCELLED.value
    )
)
_OPEN_BY_PROFILE: Final = Statement(
    select(*_COLUMNS)
    .join(requests, requests.c.id == jobs.c.request_id)
    .where(
        requests.c.profile == bindparam("profile"),
        jobs.c.kind == JobKind.ISSUE.value,
        jobs.c.status.in_(one_of(JobStatus.AWAITING_APPROVAL.value, JobStatus.PENDING.value)),
    )
)
_OVERDUE: Final = Statement(
    select(*_COLUMNS)
    .join(approvals, approvals.c.id == jobs.c.approval_id)
    .where(
        jobs.c.status == JobStatus.PENDING.value,
        jobs.c.held == true(),
        approvals.c.ended_at + approvals.c.reuse_window <= bindparam("now"),
    )
    .limit(bindparam("most"))
)


async def insert(tx: Transaction, job: Job) -> None:
    """Add a job. `policy.enrollment` alone makes issuing ones."""
    await tx.execute(
        _INSERT,
        id=job.id,
        kind=job.kind.value,
        request_id=job.request_id,
        status=job.status.value,
        gated=job.gated,
        approval_id=job.approval_id,
        held=job.held,
        fence=job.fence,
        worker=job.worker,
        lease_until=job.lease_until,
        attempts=job.attempts,
        run_after=job.run_after,
        error=job.error,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )


async def get(tx: Transaction, job_id: JobId) -> Job | None:
    """The job of that id."""
    row = await tx.one(_GET, id=job_id)
    return None if row is None else job_of(row)


async def claim(
    tx: Transaction, worker: str, now: Millis, lease_until: Millis, most: int
) -> list[ClaimedJob]:
    """Up to `most` pending jobs, now running and this worker's until the lease runs out."""
    rows = await tx.all(_CLAIM, by=worker, now=now, until=lease_until, most=most)
    return [ClaimedJob(_MINT, job_of(row)) for row in rows]


async def claim_at_once(
    tx: Transaction, job_id: JobId, worker: str, now: Millis, lease_until: Millis
) -> ClaimedJob | None:
    """As `claim`, for one job and under the same conditions; None if they do not hold."""
    row = await tx.one(_CLAIM_AT_ONCE, key=job_id, by=worker, now=now, until=lease_until)
    return None if row is None else ClaimedJob(_MINT, job_of(row))


async def claim_one(
    tx: Transaction, job_id: JobId, by: str, now: Millis, lease_until: Millis
) -> ClaimedJob | None:
    """That pending job, now running; None if it is not pending. For jobs that no worker carries out."""
    row = await tx.one(_CLAIM_ONE, key=job_id, by=by, now=now, until=lease_until)
    return None if row is None else ClaimedJob(_MINT, job_of(row))


async def approve(tx: Transaction, job_id: JobId, now: Millis, *, held: bool) -> bool:
    """awaiting_approval -> pending; `held` until its requester comes back. Whether it moved."""
    moved = await tx.execute(_APPROVE, key=job_id, now=now, hold=held) == 1
    if moved:
        tx.announce(moved_topic(job_id))
        if not held:
            tx.announce(JOBS_READY)
    return moved


async def release(tx: Transaction, job_id: JobId, now: Millis) -> bool:
    """Let a held job run: its requester is here. Whether it was held."""
    released = await tx.execute(_RELEASE, key=job_id, now=now) == 1
    if released:
        tx.announce(JOBS_READY)
    return released


async def cancel(tx: Transaction, job_id: JobId, now: Millis, why: str) -> bool:
    """awaiting_approval or pending -> cancelled, for good. Whether it moved."""
    moved = await tx.execute(_CANCEL, key=job_id, now=now, why=why) == 1
    if moved:
        tx.announce(moved_topic(job_id))
    return moved


async def complete(tx: Transaction, claimed: ClaimedJob, now: Millis) -> None:
    """Running -> completed; LostClaim if the claim is not this worker's any more."""
    await _leave(tx, _COMPLETE, claimed, now)
    tx.announce(moved_topic(claimed.job_id))


async def fail(tx: Transaction, claimed: ClaimedJob, now: Millis, why: str) -> None:
    """Running -> failed, for good; LostClaim as above."""
    await _leave(tx, _FAIL, claimed, now, why=why)
    tx.announce(moved_topic(claimed.job_id))


async def retry(tx: Transaction, claimed: ClaimedJob, now: Millis, again_at: Millis, why: str) -> None:
    """Running -> pending, not before `again_at`; LostClaim as above."""
    await _leave(tx, _RETRY, claimed, now, why=why, again_at=again_at)
    tx.announce(JOBS_READY)


async def lapsed(tx: Transaction, now: Millis, most: int) -> list[Job]:
    """Running jobs whose lease has run out: their worker died or hangs."""
    return [job_of(row) for row in await tx.all(_LAPSED, now=now, most=most)]


async def reclaim(tx: Transaction, job: Job, now: Millis, again_at: Millis, why: str) -> bool:
    """Running -> pending for a job found lapsed; whether it still was what it was."""
    moved = (
        await tx.execute(_RETRY, key=job.id, held_fence=job.fence, now=now, again_at=again_at, why=why) == 1
    )
    if moved:
        tx.announce(JOBS_READY)
    return moved


async def give_up(tx: Transaction, job: Job, now: Millis, why: str) -> bool:
    """Running -> failed for a job found lapsed once too often; whether it still was what it was."""
    moved = await tx.execute(_FAIL, key=job.id, held_fence=job.fence, now=now, why=why) == 1
    if moved:
        tx.announce(moved_topic(job.id))
    return moved


async def live_of_approval(tx: Transaction, approval_id: ApprovalId) -> Job | None:
    """The one job that leans on this approval and was not cancelled."""
    row = await tx.one(_LIVE_BY_APPROVAL, approval_id=approval_id)
    return None if row is None else job_of(row)


async def open_of_profile(tx: Transaction, profile: str) -> list[Job]:
    """The issuing jobs of one profile that nobody has claimed yet."""
    return [job_of(row) for row in await tx.all(_OPEN_BY_PROFILE, profile=profile)]


async def uncollected(tx: Transaction, now: Millis, most: int) -> list[Job]:
    """Held jobs whose requester did not come back while the approval could be used."""
    return [job_of(row) for row in await tx.all(_OVERDUE, now=now, most=most)]


async def _leave(tx: Transaction, move: Statement, claimed: ClaimedJob, now: Millis, **values: Any) -> None:
    if await tx.execute(move, key=claimed.job_id, held_fence=claimed.fence, now=now, **values) != 1:
        raise LostClaim(f"job {claimed.job_id} is no longer held under fence {claimed.fence}")


def job_of(row: tuple[Any, ...]) -> Job:
    """The record that `row` spells."""
    key, kind, request_id, status, gated, approval_id, held, *rest = row
    return Job(
        JobId(key),
        _KINDS[kind],
        RequestId(request_id),
        _STATUSES[status],
        bool(gated),
        approval_id,
        bool(held),
        *rest,
    )
