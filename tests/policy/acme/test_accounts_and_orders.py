"""Accounts and orders against each engine: races, and what ends when something ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from ca.csr import parse_csr
from ca.names import parse_identifier
from policy.acme import accounts, authorizations, external_keys, orders
from policy.acme.accounts import KeyMaterial
from policy.acme.limits import AcmeLimits
from policy.acme.order_view import OrderStatus, OrderView
from policy.acme.orders import NewOrder
from policy.acme.refusals import (
    AccountEnded,
    AuthorizationEnded,
    KeyNotFresh,
    KeyTaken,
    NotAllowed,
    NotFound,
    OrderNotReady,
    RequestRefused,
)
from policy.enrollment import Submitted
from store import acme_authorizations, acme_orders
from store.ids import AuthorizationId, OrderId, ProfileName, new_id
from store.records import Account, ApprovalStatus, JobStatus, Verdict
from tests.common.world import World, make_csr, make_world

NAME = "a.test"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as made:
        yield made


def key(text: str) -> KeyMaterial:
    return KeyMaterial(f"thumb-{text}", json.dumps({"kty": text}), f"spki-{text}")


async def create(world: World, text: str, kid: str | None = None, profile: str = "default") -> Account:
    """The account of a key, found or made."""
    account, _ = await world.write(
        lambda tx: accounts.find_or_create(
            tx,
            key(text),
            "[]",
            terms_agreed=True,
            external_kid=kid,
            profile=ProfileName(profile),
            source="192.0.2.1",
            limits=AcmeLimits(),
            now=world.now,
        )
    )
    return account


async def order(world: World, account: Account, profile: str = "default", *names: str) -> OrderView:
    wanted = NewOrder(tuple(parse_identifier("dns", name) for name in names or (NAME,)))
    return await world.write(
        lambda tx: orders.create(
            tx, world.cache, account, ProfileName(profile), wanted, "192.0.2.1", AcmeLimits(), world.now
        )
    )


async def prove(world: World, seen: OrderView) -> None:
    """As if http-01 had been validated."""
    for one in seen.authorizations:
        attempted = replace(one, attempt="http-01", attempted_at=world.now)
        ended = await world.write(
            lambda tx, attempted=attempted: acme_authorizations.validate(  # type: ignore[misc]
                tx, attempted, world.now, attempted.expires_at
            )
        )
        assert ended is not None


async def finalize(world: World, account: Account, order_id: OrderId) -> Submitted:
    csr = parse_csr(make_csr(NAME))
    done = await world.write(
        lambda tx: orders.finalize(
            tx, world.gate, world.cache, account, order_id, csr, "192.0.2.1", world.now
        )
    )
    assert not isinstance(done, RequestRefused)
    return done[1]


async def look(world: World, account: Account, order_id: OrderId) -> OrderView:
    return await world.database.read(lambda tx: orders.load(tx, account, order_id, world.now))


async def waiting(world: World, account: Account) -> tuple[OrderView, Submitted]:
    """An order of the gated profile that waits for people."""
    seen = await order(world, account, "gated")
    await prove(world, seen)
    return seen, await finalize(world, account, seen.order.id)


class TestRaces:
    async def test_many_new_accounts_of_one_key_are_one(self, world: World) -> None:
        made = await asyncio.gather(*[create(world, "k") for _ in range(10)])
        assert len({account.id for account in made}) == 1

    async def test_many_accounts_of_a_key_that_is_good_for_one(self, world: World) -> None:
        kid = await external_key(world)
        made = await asyncio.gather(
            *[create(world, f"k{number}", kid) for number in range(6)], return_exceptions=True
        )
        assert sum(isinstance(one, Account) for one in made) == 1
        assert {type(one).__name__ for one in made} == {"Account", "ExternalAccountRefused"}

    async def test_of_many_finalizes_one_wins(self, world: World) -> None:
        account = await create(world, "k")
        seen = await order(world, account)
        await prove(world, seen)
        done = await asyncio.gather(
            *[finalize(world, account, seen.order.id) for _ in range(6)], return_exceptions=True
        )
        assert sum(isinstance(one, Submitted) for one in done) == 1
        assert all(isinstance(one, Submitted | OrderNotReady) for one in done), done

    async def test_of_two_accounts_that_want_one_new_key_one_gets_it(self, world: World) -> None:
        pair = [await create(world, text) for text in ("one", "two")]
        done = await asyncio.gather(
            *[
                world.write(
                    lambda tx, account=account: accounts.change_key(tx, account, key("new"), world.now)  # type: ignore[misc]
                )
                for account in pair
            ],
            return_exceptions=True,
        )
        assert sum(isinstance(one, Account) for one in done) == 1
        assert {type(one) for one in done} <= {Account, KeyTaken}


class TestKeys:
    async def test_a_key_belongs_to_one_account_for_good(self, world: World) -> None:
        """RFC 8555 section 11.1."""
        account, other = await create(world, "old"), await create(world, "other")
        changed = await world.write(lambda tx: accounts.change_key(tx, account, key("new"), world.now))
        assert changed.id == account.id
        with pytest.raises(KeyNotFresh):
            await create(world, "old")
        with pytest.raises(KeyNotFresh):
            await world.write(lambda tx: accounts.change_key(tx, other, key("old"), world.now))
        back = await world.write(lambda tx: accounts.change_key(tx, changed, key("old"), world.now))
        assert back.thumbprint == key("old").thumbprint

    async def test_who_was_overtaken_is_told(self, world: World) -> None:
        account = await create(world, "old")
        await world.write(lambda tx: accounts.change_key(tx, account, key("new"), world.now))
        with pytest.raises(AccountEnded):
            await world.write(lambda tx: accounts.change_key(tx, account, key("newer"), world.now))
        with pytest.raises(AccountEnded):
            await order(world, account)


class TestEnds:
    async def test_an_account_takes_what_waits_with_it(self, world: World) -> None:
        account, other = await create(world, "k"), await create(world, "other")
        _, mine = await waiting(world, account)
        _, theirs = await waiting(world, other)
        await world.write(lambda tx: accounts.deactivate(tx, account, world.now))
        ended = await world.job(mine.job_id)
        assert (ended.status, ended.error) == (JobStatus.CANCELLED, "the account was deactivated")
        assert (await world.job(theirs.job_id)).status is JobStatus.AWAITING_APPROVAL
        assert mine.approval_id is not None
        assert (await world.approval(mine.approval_id)).status is ApprovalStatus.EXPIRED
        with pytest.raises(AccountEnded):
            await world.write(lambda tx: accounts.deactivate(tx, account, world.now))
        with pytest.raises(AccountEnded):
            await order(world, account)

    async def test_a_key_takes_what_waits_with_it(self, world: World) -> None:
        kid, other = await external_key(world), await external_key(world)
        account, free = await create(world, "k", kid), await create(world, "other", other)
        _, mine = await waiting(world, account)
        _, theirs = await waiting(world, free)
        await world.write(lambda tx: external_keys.revoke(tx, kid, world.people["admin"].id, world.now))
        assert (await world.job(mine.job_id)).status is JobStatus.CANCELLED
        assert (await world.job(theirs.job_id)).status is JobStatus.AWAITING_APPROVAL
        with pytest.raises(external_keys.NoSuchKey):
            await world.write(lambda tx: external_keys.revoke(tx, kid, world.people["admin"].id, world.now))

    async def test_an_authorization_takes_what_waits_with_it(self, world: World) -> None:
        account = await create(world, "k")
        seen, mine = await waiting(world, account)
        authorization = AuthorizationId(seen.authorizations[0].id)
        await world.write(lambda tx: authorizations.deactivate(tx, account, authorization, world.now))
        assert (await world.job(mine.job_id)).status is JobStatus.CANCELLED
        after = await look(world, account, seen.order.id)
        assert after.status is OrderStatus.INVALID

    async def test_what_was_approved_and_held_is_taken_too(self, world: World) -> None:
        account = await create(world, "k")
        _, mine = await waiting(world, account)
        assert mine.approval_id is not None
        await world.decide(mine.approval_id, "alice", Verdict.APPROVE)
        assert (await world.job(mine.job_id)).held
        await world.write(lambda tx: accounts.deactivate(tx, account, world.now))
        assert (await world.job(mine.job_id)).status is JobStatus.CANCELLED

    async def test_what_is_being_signed_goes_on(self, world: World) -> None:
        """It was authorized when it was claimed, and nobody can call a signature back."""
        account = await create(world, "k")
        seen = await order(world, account)
        await prove(world, seen)
        done = await finalize(world, account, seen.order.id)
        await world.worker.turn()
        await world.write(lambda tx: accounts.deactivate(tx, account, world.now))
        assert (await world.job(done.job_id)).status is JobStatus.COMPLETED
        assert await world.certificate(done.job_id) is not None


class TestOwnership:
    async def test_what_belongs_to_somebody_else(self, world: World) -> None:
        account, other = await create(world, "k"), await create(world, "other")
        seen = await order(world, account)
        part = AuthorizationId(seen.authorizations[0].id)
        for work in (
            lambda tx: orders.load(tx, other, seen.order.id, world.now),
            lambda tx: orders.certificate(tx, other, seen.order.id),
            lambda tx: orders.come_back(tx, other, seen.order.id, world.now),
            lambda tx: authorizations.load(tx, other, part),
            lambda tx: authorizations.deactivate(tx, other, part, world.now),
        ):
            with pytest.raises(NotAllowed):
                await world.write(work)
        missing = OrderId(new_id(world.now))
        with pytest.raises(NotFound):
            await look(world, account, missing)
        with pytest.raises(NotFound):
            await world.write(lambda tx: orders.certificate(tx, account, missing))

    async def test_an_ended_authorization_cannot_be_deactivated(self, world: World) -> None:
        account = await create(world, "k")
        seen = await order(world, account)
        part = seen.authorizations[0]
        failed = replace(part, attempt="http-01", attempted_at=world.now)
        await world.write(lambda tx: acme_authorizations.invalidate(tx, failed, "{}"))
        with pytest.raises(AuthorizationEnded):
            await world.write(lambda tx: authorizations.deactivate(tx, account, part.id, world.now))

    async def test_pages_of_orders(self, world: World) -> None:
        account = await create(world, "k")
        made = [(await order(world, account)).order.id for _ in range(5)]
        found, behind = [], ""
        while True:
            page, last = await world.database.read(
                lambda tx, behind=behind: orders.page(tx, account, behind, 2, world.now)  # type: ignore[misc]
            )
            found += page
            if last is None:
                break
            behind = last
        assert sorted(found) == sorted(made)
        assert await world.database.read(lambda tx: acme_orders.waiting_jobs(tx, account.id)) == []


async def external_key(world: World) -> str:
    kid = new_id(world.now)
    await world.write(
        lambda tx: external_keys.create(
            tx,
            kid,
            b"sealed",
            name="",
            profile=None,
            patterns=(),
            reusable=False,
            expires_at=None,
            by=world.people["admin"].id,
            now=world.now,
            cache=world.cache,
        )
    )
    return kid


async def test_what_is_ordered_and_what_ends_the_account_do_not_pass_each_other(world: World) -> None:
    """Either the order is refused, or what it waits for is cancelled: never a job that outlives its account."""
    for number in range(4):
        account = await create(world, f"k{number}")
        seen = await order(world, account, "gated")
        await prove(world, seen)
        done, ended = await asyncio.gather(
            finalize(world, account, seen.order.id),
            world.write(lambda tx, account=account: accounts.deactivate(tx, account, world.now)),  # type: ignore[misc]
            return_exceptions=True,
        )
        assert isinstance(ended, Account)
        if isinstance(done, Submitted):
            assert (await world.job(done.job_id)).status is JobStatus.CANCELLED
        else:
            assert isinstance(done, AccountEnded)
