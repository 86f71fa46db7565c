"""Finalizing an order as far as it goes at once (RFC 8555 section 7.4)."""

import asyncio
from typing import Final

from ca.csr import CertificateRequest
from policy.acme import orders
from policy.acme.order_view import OrderView, issued
from policy.acme.refusals import RequestRefused
from policy.enrollment import Gate, Submitted
from policy.hand import Hand, NotTaken
from policy.profile_cache import ProfileCache
from store.clock import Millis
from store.database import Database
from store.ids import OrderId
from store.jobs import moved_topic
from store.records import Account, JobStatus

_SOON_SECONDS: Final = 0.25  # where another process does the job, its word does not reach us on SQLite


class Finalizer:
    """Submits the requests of orders; where a worker is close by, their jobs begin in the same unit of work."""

    def __init__(self, database: Database, gate: Gate, cache: ProfileCache, hand: Hand | None) -> None:
        self._database = database
        self._gate = gate
        self._profiles = cache
        self._hand = hand

    async def finalize(
        self,
        account: Account,
        order_id: OrderId,
        csr: CertificateRequest,
        source: str,
        now: Millis,
    ) -> OrderView:
        """The order after its request was submitted: valid, if its certificate came soon.

        Raises RequestRefused, StorageFailed, and what `orders.finalize` raises.
        """
        done = await self._submit(account, order_id, csr, source, now)
        if isinstance(done, RequestRefused):
            raise done
        seen, outcome = done
        if outcome.taken is not None:
            carried = outcome.taken.begin()
            await asyncio.wait([carried], timeout=_SOON_SECONDS)
            if carried.done() and carried.result():
                return issued(seen, outcome.job_id)
        elif outcome.status is JobStatus.PENDING and self._hand is None:
            with self._database.signals.expect(moved_topic(outcome.job_id)) as moved:
                await asyncio.wait([moved], timeout=_SOON_SECONDS)
        return await self._database.read(lambda tx: orders.load(tx, account, order_id, now))

    async def _submit(
        self, account: Account, order_id: OrderId, csr: CertificateRequest, source: str, now: Millis
    ) -> tuple[OrderView, Submitted] | RequestRefused:
        async def submit(hand: Hand | None) -> tuple[OrderView, Submitted] | RequestRefused:
            return await self._database.write(
                lambda tx: orders.finalize(
                    tx, self._gate, self._profiles, account, order_id, csr, source, now, hand
                )
            )

        try:
            return await submit(self._hand)
        except NotTaken:
            return await submit(None)
