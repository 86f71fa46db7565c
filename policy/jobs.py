"""The life of a job: one table of moves, and how often and how fast a failed one is tried again."""

from datetime import timedelta
from types import MappingProxyType
from typing import Final

from store.records import JobStatus

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
