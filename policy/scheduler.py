"""What time itself brings about: questions that nobody answered, leases that ran out, buckets that are full."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from policy.jobs import MAX_ATTEMPTS, backoff
from store import approvals, audit, jobs, rate_limits
from store.audit import AuditEvent
from store.clock import Millis, after
from store.database import Database, StorageFailed, Transaction
from store.records import ApprovalStatus

log = structlog.get_logger()
SYSTEM: Final = "system"
_BATCH: Final = 100
_SECONDS: Final = 1.0
_SWEEP: Final = 300  # ticks between two sweeps
_EXPIRED: Final = "nobody decided in time"
_UNCOLLECTED: Final = "it was approved, but the requester did not come back for it in time"
_LAPSED: Final = "its worker stopped answering"

Step = Callable[[Transaction, Millis], Awaitable[int]]


async def expire_approvals(tx: Transaction, now: Millis) -> int:
    """Pending -> expired for questions whose time is up; their jobs are cancelled. How many."""
    due = await approvals.due(tx, now, _BATCH)
    for approval in due:
        if not await approvals.end(tx, approval.id, ApprovalStatus.EXPIRED, now):
            continue
        await audit.append(tx, now, SYSTEM, AuditEvent.APPROVAL_EXPIRED, approval.id)
        job = await jobs.live_of_approval(tx, approval.id)
        if job is not None and await jobs.cancel(tx, job.id, now, _EXPIRED):
            await audit.append(tx, now, SYSTEM, AuditEvent.JOB_CANCELLED, job.id, why=_EXPIRED)
    return len(due)


async def cancel_uncollected(tx: Transaction, now: Millis) -> int:
    """Cancel jobs that were approved and not collected within the reuse window. How many."""
    overdue = await jobs.uncollected(tx, now, _BATCH)
    for job in overdue:
        if await jobs.cancel(tx, job.id, now, _UNCOLLECTED):
            await audit.append(tx, now, SYSTEM, AuditEvent.JOB_CANCELLED, job.id, why=_UNCOLLECTED)
    return len(overdue)


async def reclaim_lapsed(tx: Transaction, now: Millis) -> int:
    """Running -> pending for jobs whose lease ran out, -> failed after the last attempt. How many."""
    lapsed = await jobs.lapsed(tx, now, _BATCH)
    for job in lapsed:
        if job.attempts >= MAX_ATTEMPTS:
            why = f"{_LAPSED}; gave up after {job.attempts} attempts"
            if await jobs.give_up(tx, job, now, why):
                await audit.append(tx, now, SYSTEM, AuditEvent.JOB_FAILED, job.id, why=why)
        elif await jobs.reclaim(tx, job, now, after(now, backoff(job.attempts)), _LAPSED):
            await audit.append(tx, now, SYSTEM, AuditEvent.JOB_RETRIED, job.id, why=_LAPSED)
    return len(lapsed)


STEPS: Final[tuple[Step, ...]] = (
    expire_approvals,
    cancel_uncollected,
    reclaim_lapsed,
)


async def tick(database: Database, now: Millis) -> None:
    """Everything that is due at `now`, to exhaustion, in transactions of bounded size."""
    for step in STEPS:
        while await database.write(lambda tx, step=step: step(tx, now)) == _BATCH:  # type: ignore[misc]
            pass


async def run(database: Database, clock: Callable[[], Millis], stopping: asyncio.Event) -> None:
    """Tick every second until `stopping` is set; sweep the rate limits now and then."""
    for count in itertools.count():
        if stopping.is_set():
            return
        try:
            await tick(database, clock())
            if count % _SWEEP == 0:
                await database.write(lambda tx: rate_limits.forget_full(tx, clock()))
        except StorageFailed as error:
            log.error("scheduler.storage_failed", error=str(error))
        try:
            async with asyncio.timeout(_SECONDS):
                await stopping.wait()
        except TimeoutError:
            continue
