"""Deciding an approval: the word, the count, and what follows for the job, in one transaction."""

from dataclasses import dataclass
from typing import Final

from policy import profile_changes
from policy.approvals import DecisionRefused, check_may_decide, tally
from policy.profile_cache import ProfileCache
from store import approvals, audit, jobs, principals, requests
from store.audit import AuditEvent
from store.clock import Millis
from store.database import Transaction
from store.ids import ApprovalId
from store.records import Approval, ApprovalStatus, Decision, Job, JobKind, Principal, Verdict

MAX_NOTE: Final = 1000


class NoSuchApproval(LookupError):
    """There is no approval of that id."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Where the approval stands after the word, and the job that leans on it."""

    approval: Approval
    job: Job | None
    given: int


async def decide(
    tx: Transaction,
    approval_id: ApprovalId,
    by: Principal,
    verdict: Verdict,
    note: str,
    now: Millis,
    cache: ProfileCache,
) -> Decided:
    """Record `by`'s word and draw the consequence: enough words let the job go, one refusal ends it.

    Raises NoSuchApproval, DecisionRefused, or ValueError for a note that is too long.
    """
    if len(note) > MAX_NOTE:
        raise ValueError(f"a note has at most {MAX_NOTE} characters")
    # Locked before anything is counted: two approvers at the same moment must see each other.
    approval = await approvals.lock(tx, approval_id)
    if approval is None:
        raise NoSuchApproval(f"there is no approval {approval_id}")
    job = await jobs.live_of_approval(tx, approval_id)
    line = frozenset() if job is None else await requests.line(tx, job.request_id)
    earlier = await approvals.decisions(tx, approval_id)
    # As the principal is now, not as it was when the caller authenticated it.
    present = await principals.get(tx, by.id)
    if present is None:
        raise DecisionRefused(f"there is no principal {by.id}")
    check_may_decide(approval, present, await principals.roles(tx, by.id), line, earlier, now)

    await approvals.insert_decision(tx, Decision(approval_id, by.id, verdict, note, now))
    event = AuditEvent.APPROVAL_GIVEN if verdict is Verdict.APPROVE else AuditEvent.APPROVAL_REJECTED
    await audit.append(tx, now, by.id, event, approval_id, note=note, job=None if job is None else job.id)
    outcome = tally(approval.required, [*(d.verdict for d in earlier), verdict])
    if outcome is not ApprovalStatus.PENDING:
        await approvals.end(tx, approval_id, outcome, now)
    if job is not None:
        if outcome is ApprovalStatus.REJECTED:
            await _refuse(tx, job, by, note, now)
        elif outcome is ApprovalStatus.APPROVED:
            await _let_go(tx, approval, job, now, cache)
    ended = await approvals.get(tx, approval_id)
    assert ended is not None
    return Decided(ended, None if job is None else await jobs.get(tx, job.id), len(earlier) + 1)


async def _refuse(tx: Transaction, job: Job, by: Principal, note: str, now: Millis) -> None:
    why = f"refused by {by.name}" + (f": {note}" if note else "")
    await jobs.cancel(tx, job.id, now, why)
    await audit.append(tx, now, by.id, AuditEvent.JOB_CANCELLED, job.id, why=why)


async def _let_go(tx: Transaction, approval: Approval, job: Job, now: Millis, cache: ProfileCache) -> None:
    await audit.append(tx, now, "system", AuditEvent.APPROVAL_COMPLETE, approval.id, job=job.id)
    # With a reuse window the requester may come back with another key: sign for the one it holds then.
    await jobs.approve(tx, job.id, now, held=job.kind is JobKind.ISSUE and approval.reuse_window > 0)
    if job.kind is JobKind.CHANGE_PROFILE:
        await profile_changes.carry_out(tx, job.id, now, cache)
