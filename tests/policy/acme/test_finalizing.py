"""Finalizing with a worker close by, without one, and with one that is broken."""

import asyncio
from collections.abc import AsyncIterator
from typing import Never

import pytest

from ca.csr import parse_csr
from ca.signer import Signer
from policy.acme import orders
from policy.acme.finalizing import Finalizer
from policy.acme.order_view import OrderStatus, OrderView
from policy.acme.refusals import OrderNotReady, RequestRefused
from policy.worker import Worker
from store.ids import JobId, OrderId
from store.records import Account, JobStatus
from tests.common.world import World, make_csr, make_world
from tests.policy.acme.test_accounts_and_orders import NAME, create, look, order, prove


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as made:
        yield made


async def ready(world: World, profile: str = "default") -> tuple[Account, OrderId]:
    account = await create(world, "k")
    seen = await order(world, account, profile)
    await prove(world, seen)
    return account, seen.order.id


async def finalize(
    world: World, hand: Worker | None, account: Account, order_id: OrderId, *names: str
) -> OrderView:
    csr = parse_csr(make_csr(*names or (NAME,)))
    finalizer = Finalizer(world.database, world.gate, world.cache, hand)
    return await finalizer.finalize(account, order_id, csr, "192.0.2.1", world.now)


async def test_with_a_worker_close_by_it_is_valid_at_once(world: World) -> None:
    account, order_id = await ready(world)
    seen = await finalize(world, world.worker, account, order_id)
    assert seen.status is OrderStatus.VALID
    assert seen == await look(world, account, order_id)
    issuer, der = await world.database.read(lambda tx: orders.certificate(tx, account, order_id))
    assert issuer == "issuing"
    assert der


async def test_without_one_it_is_processing(world: World) -> None:
    account, order_id = await ready(world)
    seen = await finalize(world, None, account, order_id)
    assert seen.status is OrderStatus.PROCESSING
    assert await world.worker.turn() == 1
    assert (await look(world, account, order_id)).status is OrderStatus.VALID


async def test_of_many_finalizes_one_wins(world: World) -> None:
    account, order_id = await ready(world)
    done = await asyncio.gather(
        *[finalize(world, world.worker, account, order_id) for _ in range(6)], return_exceptions=True
    )
    assert sum(isinstance(one, OrderView) for one in done) == 1
    assert all(isinstance(one, OrderView | OrderNotReady) for one in done), done


async def test_where_people_are_asked_they_are_waited_for(world: World) -> None:
    account, order_id = await ready(world, "gated")
    seen = await finalize(world, world.worker, account, order_id)
    assert (seen.status, seen.waits_for_people) == (OrderStatus.PROCESSING, True)


async def test_a_refusal_is_raised(world: World) -> None:
    account, order_id = await ready(world)
    with pytest.raises(RequestRefused, match="not authorized"):
        await finalize(world, world.worker, account, order_id, NAME, "b.test")
    assert (await look(world, account, order_id)).status is OrderStatus.READY


async def test_a_worker_that_cannot_carry_it_out_is_an_order_that_failed(world: World) -> None:
    account, order_id = await ready(world)
    stranger = Worker(world.database, {}, world.cache, "w", lambda: world.now)
    seen = await finalize(world, stranger, account, order_id)
    assert seen.status is OrderStatus.INVALID
    assert "could not be issued" in seen.detail


async def test_a_broken_worker_does_not_take_the_request_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if none were there: the job waits until a worker has been mended."""

    def broken(*_: object) -> Never:
        raise ZeroDivisionError("a fault of ours")

    account, order_id = await ready(world)
    worker = world.worker
    with monkeypatch.context() as patch:
        patch.setattr(Signer, "prepare", broken)
        seen = await finalize(world, worker, account, order_id)
    assert seen.status is OrderStatus.PROCESSING
    assert seen.order.job_id is not None
    assert (await world.job(JobId(seen.order.job_id))).status is JobStatus.PENDING
    assert await worker.turn() == 1
    assert (await look(world, account, order_id)).status is OrderStatus.VALID
