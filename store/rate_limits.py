"""Rate limits that a restart or a second node does not forget: when each bucket is full again."""

from typing import Final

from sqlalchemy import bindparam, delete, select, update

from store.clock import Millis
from store.database import Transaction
from store.schema import rate_limits
from store.statements import Statement, insert_row

_GET: Final = Statement(
    select(rate_limits.c.full_at).where(rate_limits.c.key == bindparam("key")).with_for_update()
)
_INSERT: Final = insert_row(rate_limits)
_SET: Final = Statement(
    update(rate_limits).where(rate_limits.c.key == bindparam("of")).values(full_at=bindparam("to"))
)
_FORGET: Final = Statement(delete(rate_limits).where(rate_limits.c.full_at <= bindparam("now")))


async def full_at(tx: Transaction, key: str) -> Millis | None:
    """When the bucket of `key` is full again, held until the transaction ends; None for a full one."""
    row = await tx.one(_GET, key=key)
    return None if row is None else Millis(row[0])


async def put(tx: Transaction, key: str, at: Millis, *, known: bool) -> None:
    """Remember when the bucket of `key` is full again. `known` says whether it had a row."""
    if known:
        await tx.execute(_SET, of=key, to=at)
    else:
        await tx.execute(_INSERT, key=key, full_at=at)


async def forget_full(tx: Transaction, now: Millis) -> int:
    """Drop the rows of full buckets; how many."""
    return await tx.execute(_FORGET, now=now)
