"""Rate limits that a restart or a second node does not forget: when each bucket is full again."""

from typing import Final

from sqlalchemy import BigInteger, bindparam, case, delete, select
from sqlalchemy.dialects.postgresql import insert as upsert

from store.clock import Millis
from store.database import Transaction
from store.schema import rate_limits
from store.statements import Statement

_NOW: Final = bindparam("now", type_=BigInteger)
_INTERVAL: Final = bindparam("interval", type_=BigInteger)
_START: Final = case((rate_limits.c.full_at < _NOW, _NOW), else_=rate_limits.c.full_at)
_TAKE: Final = Statement(
    # SQLite and PostgreSQL spell this alike; SQLAlchemy has it once per dialect.
    upsert(rate_limits)
    .values(key=bindparam("bucket"), full_at=_NOW + _INTERVAL)
    .on_conflict_do_update(
        index_elements=[rate_limits.c.key],
        set_={"full_at": _START + _INTERVAL},
        where=bindparam("latest", type_=BigInteger) >= _START + _INTERVAL,
    )
    .returning(rate_limits.c.full_at)
)
_GET: Final = Statement(select(rate_limits.c.full_at).where(rate_limits.c.key == bindparam("bucket")))
_FORGET: Final = Statement(delete(rate_limits).where(rate_limits.c.full_at <= bindparam("now")))


async def take(tx: Transaction, bucket: str, now: Millis, interval: int, period: int) -> bool:
    """Take one from a bucket that refills one in `interval` ms and is full after `period` ms; False if it is empty."""
    row = await tx.one(_TAKE, bucket=bucket, now=now, interval=interval, latest=now + period)
    return row is not None


async def full_at(tx: Transaction, bucket: str) -> Millis | None:
    """When the bucket is full again; None for one that was never used, or is forgotten."""
    row = await tx.one(_GET, bucket=bucket)
    return None if row is None else Millis(row[0])


async def forget_full(tx: Transaction, now: Millis) -> int:
    """Drop the rows of full buckets; how many."""
    return await tx.execute(_FORGET, now=now)
