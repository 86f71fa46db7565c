"""Rate limits by the generic cell rate algorithm: one number per bucket, kept in the database.

A limit of `count` per `period` lets a burst of `count` through at once and then one every
`period / count`. The number kept is the moment at which the bucket is full again.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from store import rate_limits
from store.clock import Millis
from store.database import Transaction

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_WRITTEN: Final = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,4})([smhd])", re.ASCII)


class RateLimited(Exception):
    """Too many of a kind. `retry_after` is in seconds, at least 1."""

    def __init__(self, what: str, retry_after: int) -> None:
        super().__init__(f"too many {what}; try again in {retry_after} seconds")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Limit:
    """`count` of something per `period`."""

    count: int
    period: timedelta
    milliseconds: int = field(init=False, repr=False)
    """The period."""
    interval: int = field(init=False, repr=False)
    """Milliseconds in which one comes back."""

    def __post_init__(self) -> None:
        """Refuse a limit that nothing could pass, or that never refills."""
        if self.count < 1 or self.period < timedelta(seconds=1):
            raise ValueError("a limit lets at least one pass, in at least a second")
        milliseconds = self.period // timedelta(milliseconds=1)
        object.__setattr__(self, "milliseconds", milliseconds)
        object.__setattr__(self, "interval", max(milliseconds // self.count, 1))

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """The limit that is written `300/3h` (units s, m, h, d); ValueError otherwise."""
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise ValueError(f'{text!r} is not a limit: write a number, a slash and a span, as in "300/3h"')
        count, number, unit = match.groups()
        return cls(int(count), timedelta(**{_UNITS[unit]: int(number)}))

    def wait(self, full_at: Millis | None, now: Millis) -> int:
        """Milliseconds until one can be taken from a bucket that is full again at `full_at`; 0 if there is one now."""
        start = now if full_at is None or full_at < now else full_at
        return max(start + self.interval - now - self.milliseconds, 0)


async def take(tx: Transaction, limit: Limit, what: str, whose: str, now: Millis) -> None:
    """Take one from the bucket of `whose`; RateLimited says `what` there were too many of."""
    if not await rate_limits.take(tx, f"{what}:{whose}", now, limit.interval, limit.milliseconds):
        await check(tx, limit, what, whose, now)
        raise RateLimited(what, 1)  # the bucket got its first drop between the two looks


async def check(tx: Transaction, limit: Limit, what: str, whose: str, now: Millis) -> None:
    """Raise RateLimited if the bucket of `whose` is empty; take nothing."""
    wait = limit.wait(await rate_limits.full_at(tx, f"{what}:{whose}"), now)
    if wait:
        raise RateLimited(what, -(-wait // 1000))
