"""The life of a job: how it starts, one table of moves, how often and how fast a failed one is tried again."""

from datetime import timedelta
from types import MappingProxyType
from typing import Final

from store.clock import Millis
from store.ids import JobId, new_id
from store.records import Approval, ApprovalStatus, Job, JobStatus, Request

MOVES: Final = MappingProxyType(
    {
        JobStatus.AWAITING_APPROVAL: frozenset({JobStatus.PENDING, JobStatus.CANCELLED}),
        JobStatus.PENDING: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
        # back to pending when the lease ran out or the signer was out of reach: same serial, attempt counted
        JobStatus.RUNNING: frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.PENDING}),
        JobStatus.COMPLETED: frozenset[JobStatus](),
        JobStatus.FAILED: frozenset[JobStatus](),
        JobStatus.CANCELLED: frozenset[JobStatus](),
    }
)
TERMINAL: Final = frozenset(status for status, following in MOVES.items() if not following)

LEASE: Final = timedelta(seconds=60)
MAX_ATTEMPTS: Final = 6
_FIRST_BACKOFF: Final = timedelta(seconds=1)
_LONGEST_BACKOFF: Final = timedelta(minutes=5)


def backoff(attempts: int) -> timedelta:
    """How long a job rests after its `attempts`th failure: doubling from a second, five minutes at most."""
    return min(_FIRST_BACKOFF * (1 << max(attempts - 1, 0)), _LONGEST_BACKOFF)


def first(request: Request, approval: Approval | None, now: Millis) -> Job:
    """The job of a request that was just pinned: it waits for `approval`, leans on it if given, or is free to go."""
    waits = approval is not None and approval.status is ApprovalStatus.PENDING
    return Job(
        id=JobId(new_id(now)),
        kind=request.kind,
        request_id=request.id,
        status=JobStatus.AWAITING_APPROVAL if waits else JobStatus.PENDING,
        gated=approval is not None,
        approval_id=None if approval is None else approval.id,
        held=False,
        fence=0,
        worker=None,
        lease_until=None,
        attempts=0,
        run_after=now,
        error=None,
        created_at=now,
        updated_at=now,
    )
