"""A worker close by: whoever submits a job in its process need not wait until it finds the job.

The front ends know it by these names only; they cannot import it (docs/architecture.md).
"""

import asyncio
from typing import Protocol

from store.database import Transaction
from store.ids import JobId


class NotTaken(Exception):
    """The worker met something that it did not expect, and the unit of work is lost: do it again without the worker."""


class Taken(Protocol):
    """A job that was claimed and prepared in a unit of work."""

    def begin(self) -> "asyncio.Future[bool]":
        """Have it signed and stored; whether it was. Only once that unit of work is durable."""


class Hand(Protocol):
    """What a worker offers to whoever submits."""

    async def take(self, tx: Transaction, job_id: JobId) -> Taken | None:
        """Claim a pending job in the transaction that made it, and record what will be signed for it.

        None for a job that cannot be claimed, and for one that cannot be carried out: that has failed then, and what
        else the transaction does stands. Raises NotTaken.
        """
