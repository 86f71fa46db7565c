"""Claiming: every pending job goes to one worker, whichever engine and however many ask at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from policy.enrollment import Submitted
from store import jobs
from store.clock import after
from store.database import Database, Transaction
from store.ids import JobId
from store.jobs import ClaimedJob, LostClaim
from store.open import open_database
from store.records import JobStatus
from tests.common.world import World, make_world

NODES = 3
JOBS = 24


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as made:
        yield made


@pytest.fixture
async def nodes(database_url: str, world: World) -> AsyncIterator[list[Database]]:
    """Several nodes on the same database."""
    opened = [await open_database(database_url, upgrade=False) for _ in range(NODES)]
    yield opened
    for database in opened:
        await database.close()


async def ask(world: World, count: int) -> set[JobId]:
    """That many pending jobs."""
    outcomes = [await world.ask(f"host{number}.example", profile="default") for number in range(count)]
    return {outcome.job_id for outcome in outcomes if isinstance(outcome, Submitted)}


def claiming(world: World, worker: str, most: int) -> Callable[[Transaction], Awaitable[list[ClaimedJob]]]:
    until = after(world.now, timedelta(minutes=1))
    return lambda tx: jobs.claim(tx, worker, world.now, until, most)


async def test_every_job_goes_to_one_worker(world: World, nodes: list[Database]) -> None:
    asked = await ask(world, JOBS)
    claimed: list[tuple[str, ClaimedJob]] = []

    async def work(node: Database, worker: str) -> None:
        while got := await node.write(claiming(world, worker, 2)):
            claimed.extend((worker, job) for job in got)
            await asyncio.sleep(0)

    await asyncio.gather(*[work(node, f"{n}-{w}") for n, node in enumerate(nodes) for w in range(4)])
    assert len(claimed) == JOBS
    assert {job.job_id for _, job in claimed} == asked
    assert all(job.fence == 1 and job.attempts == 1 for _, job in claimed)
    for worker, job in claimed:
        stored = await world.job(job.job_id)
        assert (stored.worker, stored.status) == (worker, JobStatus.RUNNING)


async def test_no_more_than_asked_for(world: World) -> None:
    await ask(world, 5)
    assert len(await world.write(claiming(world, "w", 3))) == 3
    assert len(await world.write(claiming(world, "w", 3))) == 2
    assert await world.write(claiming(world, "w", 3)) == []


async def test_a_late_worker_has_lost_its_claim(world: World) -> None:
    (job_id,) = await ask(world, 1)
    (late,) = await world.write(claiming(world, "late", 1))
    world.pass_time(minutes=2)
    (lapsed,) = await world.write(lambda tx: jobs.lapsed(tx, world.now, 10))
    assert await world.write(lambda tx: jobs.reclaim(tx, lapsed, world.now, world.now, "gone"))
    assert not await world.write(lambda tx: jobs.reclaim(tx, lapsed, world.now, world.now, "gone"))
    (early,) = await world.write(claiming(world, "early", 1))
    assert (early.job_id, early.fence) == (job_id, late.fence + 1)
    with pytest.raises(LostClaim):
        await world.write(lambda tx: jobs.complete(tx, late, world.now))
    with pytest.raises(LostClaim):
        await world.write(lambda tx: jobs.fail(tx, late, world.now, "why"))
    with pytest.raises(LostClaim):
        await world.write(lambda tx: jobs.retry(tx, late, world.now, world.now, "why"))
    assert (await world.job(job_id)).worker == "early"


def test_a_claim_is_made_by_claiming_only() -> None:
    with pytest.raises(TypeError, match="claiming"):
        ClaimedJob(object(), None)  # type: ignore[arg-type]
