"""Buckets: bursts, refills, and that two bases of one limit agree."""

import secrets
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy import rate_limits
from policy.acme.limits import AcmeLimits, bucket_of_address, bucket_of_name
from policy.rate_limits import Limit, RateLimited
from store import rate_limits as table
from store.clock import Millis
from store.database import Database, Transaction
from store.open import open_database
from tests.common.world import sqlite_url

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1/1s", Limit(1, timedelta(seconds=1))),
        ("300/3h", Limit(300, timedelta(hours=3))),
        (" 5/2d ", Limit(5, timedelta(days=2))),
        ("7/10m", Limit(7, timedelta(minutes=10))),
    ],
)
def test_a_limit_as_operators_write_it(text: str, limit: Limit) -> None:
    assert Limit.parse(text) == limit


@pytest.mark.parametrize(
    "text", ["", "5", "5/h", "0/1h", "-1/1h", "5/0s", "5/1y", "5 / 1h", "1e3/1h", "\u0665/1h"]
)
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match="is not a limit"):
        Limit.parse(text)


def test_a_limit_lets_something_through() -> None:
    for count, period in ((0, HOUR), (1, timedelta(0)), (1, timedelta(milliseconds=999))):
        with pytest.raises(ValueError, match="at least"):
            Limit(count, period)


def test_every_limit_of_acme_has_a_liberal_default() -> None:
    limits = AcmeLimits()
    for name in AcmeLimits.__slots__:
        assert getattr(limits, name).count >= 60


@pytest.mark.parametrize(
    ("source", "bucket"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_and_its_neighbours_of_ipv6_share_a_bucket(source: str, bucket: str) -> None:
    assert bucket_of_address(source) == bucket


def test_a_wildcard_and_its_base_share_a_bucket() -> None:
    assert bucket_of_name("a", "*.x.test") == bucket_of_name("a", "x.test") != bucket_of_name("b", "x.test")


@pytest.fixture
async def kept(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Database]:
    """One database for all examples of a property."""
    shutil.copy(sqlite_template, tmp_path / "certctl.db")
    database = await open_database(sqlite_url(tmp_path))
    yield database
    await database.close()


async def take(database: Database, limit: Limit, whose: str, now: int) -> int:
    """0 if one was taken, else the seconds to wait."""
    try:
        await database.write(lambda tx: rate_limits.take(tx, limit, "things", whose, Millis(now)))
    except RateLimited as error:
        return error.retry_after
    return 0


async def test_a_burst_then_one_at_a_time(database_url: str) -> None:
    database = await open_database(database_url)
    try:
        limit = Limit(3, timedelta(seconds=30))
        now = 1_000_000
        assert [await take(database, limit, "a", now) for _ in range(4)] == [0, 0, 0, 10]
        assert await take(database, limit, "b", now) == 0
        assert await take(database, limit, "a", now + 9_999) == 1
        assert await take(database, limit, "a", now + 10_000) == 0
        assert await take(database, limit, "a", now + 10_000) == 10
        assert [await take(database, limit, "a", now + 60_000) for _ in range(4)] == [0, 0, 0, 10]
    finally:
        await database.close()


async def test_looking_takes_nothing(database_url: str) -> None:
    database = await open_database(database_url)
    try:
        limit = Limit(1, HOUR)
        for _ in range(3):
            await database.read(lambda tx: rate_limits.check(tx, limit, "things", "a", Millis(0)))
        assert await take(database, limit, "a", 0) == 0
        with pytest.raises(RateLimited) as caught:
            await database.read(lambda tx: rate_limits.check(tx, limit, "things", "a", Millis(1)))
        assert caught.value.retry_after == 3600
        assert "3600 seconds" in str(caught.value)
    finally:
        await database.close()


async def test_what_is_undone_was_not_taken(database_url: str) -> None:
    database = await open_database(database_url)
    try:
        limit = Limit(1, HOUR)

        async def work(tx: Transaction) -> None:
            await rate_limits.take(tx, limit, "things", "a", Millis(0))
            raise LookupError

        with pytest.raises(LookupError):
            await database.write(work)
        assert await take(database, limit, "a", 0) == 0
    finally:
        await database.close()


async def test_full_buckets_are_forgotten_without_loss(database_url: str) -> None:
    database = await open_database(database_url)
    try:
        limit = Limit(2, timedelta(seconds=20))
        for whose, now in (("a", 0), ("b", 5_000), ("b", 5_000)):
            await take(database, limit, whose, now)
        assert await database.write(lambda tx: table.forget_full(tx, Millis(10_000))) == 1
        assert await take(database, limit, "b", 10_000) > 0
        assert await take(database, limit, "a", 10_000) == 0
    finally:
        await database.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 5),
    seconds=st.integers(1, 60),
    steps=st.lists(st.integers(0, 40_000), min_size=1, max_size=25),
)
async def test_never_more_than_the_limit_in_any_period_and_the_wait_is_right(
    kept: Database, count: int, seconds: int, steps: list[int]
) -> None:
    """A burst of `count`, then one every period / count: in any period at most twice `count` less one."""
    limit, whose, now = Limit(count, timedelta(seconds=seconds)), secrets.token_hex(8), 1_000_000
    taken: list[int] = []
    for step in steps:
        now += step
        wait = await take(kept, limit, whose, now)
        if wait == 0:
            taken.append(now)
            continue
        assert len(taken) >= count  # nobody is refused before the burst is used up
        assert wait >= 1
        # Waiting as long as was said is enough, and a second less is not (a second is the unit that is said in).
        full = await kept.read(lambda tx: table.full_at(tx, f"things:{whose}"))
        assert limit.wait(full, Millis(now + wait * 1000)) == 0
        assert limit.wait(full, Millis(now + (wait - 1) * 1000)) > 0
    for end in taken:
        assert sum(end - limit.milliseconds < at <= end for at in taken) <= 2 * count
