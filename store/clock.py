"""Time as the tables hold it: whole milliseconds since the epoch, UTC.

The one module of the project that reads the clock. Everything else is handed `now`.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import NewType

Millis = NewType("Millis", int)


def now() -> Millis:
    """The present."""
    return Millis(time.time_ns() // 1_000_000)


def to_millis(moment: datetime) -> Millis:
    """The aware `moment` in milliseconds; a naive one is refused with ValueError."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone says nothing")
    return Millis(round(moment.timestamp() * 1000))


def to_datetime(moment: Millis) -> datetime:
    """`moment` as an aware datetime in UTC."""
    return datetime.fromtimestamp(moment / 1000, UTC)


def after(moment: Millis, span: timedelta) -> Millis:
    """`moment` plus `span`."""
    return Millis(moment + round(span.total_seconds() * 1000))
