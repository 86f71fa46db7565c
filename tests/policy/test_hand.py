"""A worker close by takes a job in the transaction that submits it: all that the claim promises holds."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Never

import pytest

from ca.csr import parse_csr
from ca.names import parse_identifier
from ca.signer import Signer
from policy import scheduler
from policy.enrollment import Enrollment, Refusal, Requester, Submitted
from policy.hand import Hand, NotTaken
from policy.jobs import LEASE
from policy.worker import Worker
from store import audit, certificates, jobs
from store.database import Transaction
from store.ids import IssuerName, ProfileName
from store.jobs import ClaimedJob
from store.records import Intent, JobStatus, Verdict
from tests.common.world import World, make_csr, make_world

NAME = "a.example"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as made:
        yield made


def asking(world: World, hand: Hand, profile: str = "default") -> Callable[[Transaction], Awaitable[Any]]:
    """The unit of work that submits a request and offers its job to `hand`."""
    csr, names = parse_csr(make_csr(NAME)), frozenset({parse_identifier("dns", NAME)})
    enrollment = Enrollment(ProfileName(profile), csr, names)
    requester = Requester(world.people["machine"].id, "test", account="machine")

    async def work(tx: Transaction) -> Submitted | Refusal:
        return await world.gate.submit(tx, requester, enrollment, world.now, hand)

    return work


async def ask(world: World, hand: Hand, profile: str = "default") -> Submitted:
    outcome = await world.write(asking(world, hand, profile))
    assert isinstance(outcome, Submitted)
    return outcome


async def intent(world: World, outcome: Submitted) -> Intent | None:
    return await world.database.read(lambda tx: certificates.intent(tx, outcome.job_id))


async def test_claimed_and_intended_in_the_same_commit_and_signed_after_it(world: World) -> None:
    worker = world.worker
    outcome = await ask(world, worker)
    assert (await world.job(outcome.job_id)).status is JobStatus.RUNNING
    meant = await intent(world, outcome)
    assert meant is not None
    assert await world.certificate(outcome.job_id) is None
    assert outcome.taken is not None
    assert await outcome.taken.begin()
    issued = await world.certificate(outcome.job_id)
    assert issued is not None
    assert (issued.serial, issued.tbs_sha256) == (meant.serial, meant.tbs_sha256)
    assert (await world.job(outcome.job_id)).status is JobStatus.COMPLETED
    assert await world.write(audit.verify) > 0


async def test_a_gated_request_is_not_taken(world: World) -> None:
    outcome = await ask(world, world.worker, "gated")
    assert (outcome.taken, outcome.status) == (None, JobStatus.AWAITING_APPROVAL)
    assert (await world.job(outcome.job_id)).status is JobStatus.AWAITING_APPROVAL


async def test_only_what_the_claim_would_claim_is_taken(world: World) -> None:
    """Not what waits for people, nor what is held, nor what is held by somebody else already."""
    gated = await world.ask(NAME, profile="gated")
    assert isinstance(gated, Submitted)
    assert gated.approval_id is not None
    take = world.worker.take
    assert await world.write(lambda tx: take(tx, gated.job_id)) is None
    await world.decide(gated.approval_id, "alice", Verdict.APPROVE)
    assert (await world.job(gated.job_id)).held
    assert await world.write(lambda tx: take(tx, gated.job_id)) is None
    running = await ask(world, world.worker)
    assert await world.write(lambda tx: take(tx, running.job_id)) is None
    assert (await world.job(running.job_id)).fence == 1


async def test_what_is_undone_was_never_taken(world: World) -> None:
    submitted: list[Submitted] = []
    work = asking(world, world.worker)

    async def undone(tx: Transaction) -> Never:
        submitted.append(await work(tx))
        raise RuntimeError("something after it failed")

    with pytest.raises(RuntimeError):
        await world.write(undone)
    assert submitted[0].taken is not None
    assert await world.database.read(lambda tx: jobs.get(tx, submitted[0].job_id)) is None
    assert await intent(world, submitted[0]) is None


async def test_a_job_that_cannot_be_carried_out_fails_and_stays(world: World) -> None:
    stranger = Worker(world.database, {}, world.cache, "w", lambda: world.now)
    outcome = await ask(world, stranger)
    assert outcome.taken is None
    job = await world.job(outcome.job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert "which is not here" in job.error


async def test_what_the_worker_did_not_expect_is_told_and_undone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Never:
        raise ZeroDivisionError("a fault of ours")

    worker = world.worker
    monkeypatch.setattr(Signer, "prepare", broken)
    with pytest.raises(NotTaken, match="a fault of ours"):
        await ask(world, worker)
    monkeypatch.undo()
    assert await worker.turn() == 0  # nothing is left of it


async def test_a_key_out_of_reach_is_tried_again(world: World) -> None:
    class Gone:
        public_key, algorithm = world.key.public_key, world.key.algorithm

        def __getattr__(self, name: str) -> Any:
            return getattr(world.key, name)

        def sign(self, *_: object) -> Never:
            raise OSError("no token in the slot")

    signer = Signer(world.issuer, Gone(), ClaimedJob)
    worker = Worker(world.database, {IssuerName("issuing"): signer}, world.cache, "w", lambda: world.now)
    outcome = await ask(world, worker)
    assert outcome.taken is not None
    assert not await outcome.taken.begin()
    job = await world.job(outcome.job_id)
    assert (job.status, job.attempts, job.error) == (JobStatus.PENDING, 1, "the signer did not answer")


async def test_what_was_taken_and_never_begun_is_signed_later_with_the_same_content(world: World) -> None:
    outcome = await ask(world, world.worker)
    meant = await intent(world, outcome)
    assert meant is not None
    assert outcome.taken is not None
    world.pass_time(seconds=LEASE.total_seconds() + 1)
    assert not await outcome.taken.begin()  # its lease has run out: too late
    await scheduler.tick(world.database, world.now)
    world.pass_time(seconds=2)
    assert await world.worker.turn() == 1
    issued = await world.certificate(outcome.job_id)
    assert issued is not None
    assert (issued.serial, issued.tbs_sha256) == (meant.serial, meant.tbs_sha256)
