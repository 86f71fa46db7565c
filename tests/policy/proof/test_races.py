"""The same moment, many hands: what the walk takes one after the other, here at once, on both engines."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from policy import scheduler
from policy.approvals import DecisionRefused
from policy.decisions import Decided
from policy.enrollment import Submitted, collect, withdraw
from policy.profile_cache import ProfileUnreadable
from policy.profile_changes import propose
from policy.profile_gates import ApprovalRules
from policy.profiles import DEFAULT, GATED, Profile
from store.database import DatabaseRefused
from store.ids import ProfileName
from store.records import ApprovalStatus, JobStatus, Verdict
from tests.common.world import World, make_world

ROUNDS = 8


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as made:
        await made.person("carol", "approver")
        await made.put_profile(_named(GATED, "pair", approval=ApprovalRules(approvers=2)))
        yield made


def _named(profile: Profile, name: str, **changes: Any) -> Profile:
    return profile.model_copy(update={"name": name, **changes})


async def ask(world: World, name: str, profile: str = "gated") -> Submitted:
    outcome = await world.ask(name, profile=profile)
    assert isinstance(outcome, Submitted)
    return outcome


async def at_once(*hands: Awaitable[Any]) -> list[Any]:
    """What came of each, in the order given; they are started in any order."""
    order = list(range(len(hands)))
    random.shuffle(order)
    tasks = {n: asyncio.ensure_future(hands[n]) for n in order}
    await asyncio.wait(tasks.values())
    return [tasks[n].exception() or tasks[n].result() for n in range(len(hands))]


async def status(world: World, outcome: Submitted) -> tuple[ApprovalStatus, JobStatus]:
    assert outcome.approval_id is not None
    return (await world.approval(outcome.approval_id)).status, (await world.job(outcome.job_id)).status


def say(world: World, outcome: Submitted, name: str, verdict: Verdict) -> Awaitable[Decided]:
    assert outcome.approval_id is not None
    return world.decide(outcome.approval_id, name, verdict)


async def test_two_approvers_at_once_see_each_other(world: World) -> None:
    for number in range(ROUNDS):
        outcome = await ask(world, f"n{number}.example", "pair")
        results = await at_once(
            *[say(world, outcome, name, Verdict.APPROVE) for name in ("alice", "bob", "carol")]
        )
        assert sorted(type(r) is Decided for r in results) == [False, True, True]
        assert await status(world, outcome) == (ApprovalStatus.APPROVED, JobStatus.PENDING)


async def test_one_person_twice_at_once_is_one(world: World) -> None:
    for number in range(ROUNDS):
        outcome = await ask(world, f"n{number}.example", "pair")
        results = await at_once(*[say(world, outcome, "alice", Verdict.APPROVE) for _ in range(3)])
        assert sorted(type(r) is Decided for r in results) == [False, False, True]
        assert await status(world, outcome) == (ApprovalStatus.PENDING, JobStatus.AWAITING_APPROVAL)


async def test_yes_and_no_at_once_is_one_of_them(world: World) -> None:
    for number in range(ROUNDS):
        outcome = await ask(world, f"n{number}.example")
        results = await at_once(
            say(world, outcome, "alice", Verdict.APPROVE), say(world, outcome, "bob", Verdict.REJECT)
        )
        assert sum(type(r) is DecisionRefused for r in results) == 1
        if type(results[0]) is Decided:
            assert await status(world, outcome) == (ApprovalStatus.APPROVED, JobStatus.PENDING)
        else:
            assert await status(world, outcome) == (ApprovalStatus.REJECTED, JobStatus.CANCELLED)


async def test_yes_and_withdrawal_at_once_end_in_nothing(world: World) -> None:
    admin = world.people["admin"].id
    for number in range(ROUNDS):
        outcome = await ask(world, f"n{number}.example")
        await at_once(
            say(world, outcome, "alice", Verdict.APPROVE),
            world.write(lambda tx, o=outcome: withdraw(tx, o.job_id, admin, world.now, "not wanted")),  # type: ignore[misc]
        )
        assert (await world.job(outcome.job_id)).status is JobStatus.CANCELLED
        again = await ask(world, f"n{number}.example")
        assert again.approval_id != outcome.approval_id
        assert again.status is JobStatus.AWAITING_APPROVAL


async def test_an_approval_given_serves_one_of_many_who_come_back_at_once(world: World) -> None:
    for number in range(ROUNDS):
        name = f"n{number}.example"
        first = await ask(world, name)
        await say(world, first, "alice", Verdict.APPROVE)
        results = await at_once(
            *[ask(world, name) for _ in range(3)],
            world.write(lambda tx, o=first: collect(tx, o.job_id, world.now)),  # type: ignore[misc]
        )
        outcomes = [r for r in results[:3] if isinstance(r, Submitted)]
        leaning = [o for o in [first, *outcomes] if o.approval_id == first.approval_id]
        live = [o for o in leaning if (await world.job(o.job_id)).status is not JobStatus.CANCELLED]
        assert len(live) == 1
        assert (await world.job(live[0].job_id)).status is JobStatus.PENDING


async def test_every_job_is_claimed_and_signed_once(world: World) -> None:
    outcomes = [await ask(world, f"n{number}.example", "default") for number in range(20)]
    counts = await at_once(*[world.worker.turn() for _ in range(4)])
    counts.append(await world.worker.turn())
    assert sum(counts) == len(outcomes)
    certificates = [await world.certificate(o.job_id) for o in outcomes]
    assert len({c.serial for c in certificates if c is not None}) == len(outcomes)


async def test_the_end_of_time_and_a_yes_at_once(world: World) -> None:
    for number in range(ROUNDS):
        outcome = await ask(world, f"n{number}.example")
        approval = await world.approval(outcome.approval_id)  # type: ignore[arg-type]
        world.now = approval.expires_at if number % 2 else type(world.now)(approval.expires_at - 1)
        await at_once(
            say(world, outcome, "alice", Verdict.APPROVE),
            scheduler.tick(world.database, approval.expires_at),
        )
        assert await status(world, outcome) in {
            (ApprovalStatus.APPROVED, JobStatus.PENDING),
            (ApprovalStatus.EXPIRED, JobStatus.CANCELLED),
        }
        if number % 2:
            assert await status(world, outcome) == (ApprovalStatus.EXPIRED, JobStatus.CANCELLED)


async def test_a_request_and_the_end_of_its_profile_at_once(world: World) -> None:
    admin = world.people["admin"].id
    for number in range(ROUNDS):
        name = ProfileName(f"p{number}")
        await world.put_profile(_named(DEFAULT, name))
        results = await at_once(
            *[ask(world, f"n{n}.example", name) for n in range(4)],
            world.write(lambda tx, n=name: propose(tx, n, None, admin, world.now, world.cache)),  # type: ignore[misc]
        )
        for result in results[:4]:
            if isinstance(result, Submitted):
                assert (await world.job(result.job_id)).status is JobStatus.CANCELLED
            else:
                assert isinstance(result, ProfileUnreadable)


async def test_two_changes_of_one_profile_at_once(world: World) -> None:
    admin = world.people["admin"].id
    for number in range(ROUNDS):
        name = ProfileName(f"p{number}")
        await world.put_profile(_named(DEFAULT, name))
        changes = [_named(DEFAULT, name, description=f"change {n}") for n in range(3)]
        results = await at_once(
            *[
                world.write(lambda tx, n=name, to=to: propose(tx, n, to, admin, world.now, world.cache))  # type: ignore[misc]
                for to in changes
            ]
        )
        assert not [r for r in results if isinstance(r, Exception) and not isinstance(r, DatabaseRefused)]
