"""Limits as clients meet them (RFC 8555 section 6.6). How buckets work: tests/policy/test_rate_limits.py."""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from policy import rate_limits
from policy.acme.limits import AcmeLimits
from policy.rate_limits import Limit, RateLimited
from store.ids import AccountId
from store.open import open_database
from tests.common.acme_client import AcmeClient, Answer
from tests.common.acme_server import AcmeServer, make_acme_server
from tests.servers.acme.steps import another, bind, rows

HOUR = timedelta(hours=1)
TWO = Limit(2, HOUR)


def limited(url: str, **limits: Limit) -> AbstractAsyncContextManager[AcmeServer]:
    return make_acme_server(url, limits=AcmeLimits(**limits))


def refused(answer: Answer) -> int:
    """The seconds until the request may succeed."""
    assert (answer.status, answer.problem) == (429, "rateLimited")
    seconds = int(answer.headers["Retry-After"])
    assert str(seconds) in answer.json["detail"]
    assert answer.headers["Replay-Nonce"]
    return seconds


async def later(server: AcmeServer, client: AcmeClient, seconds: float) -> None:
    server.world.pass_time(seconds=seconds)
    client.nonce = None


class TestEach:
    @pytest.fixture
    async def start(self, session: aiohttp.ClientSession) -> Any:
        async def made(server: AcmeServer) -> AcmeClient:
            return await AcmeClient(session, server.directory).start()

        return made

    async def test_orders_of_an_account(self, fresh_url: str, start: Any, events: object) -> None:
        async with limited(fresh_url, orders_per_account=TWO) as server:
            client = await start(server)
            await client.register()
            for _ in range(2):
                assert (await client.order("a.example.test")).status == 201
            before = rows(fresh_url)
            wait = refused(await client.order("a.example.test"))
            assert 0 < wait <= 1800
            assert rows(fresh_url) == before
            other = await another(server, client)
            await other.register()
            assert (await other.order("a.example.test")).status == 201
            await later(server, client, wait - 1)
            refused(await client.order("a.example.test"))
            await later(server, client, 1)
            assert (await client.order("a.example.test")).status == 201
            refused(await client.order("a.example.test"))

    async def test_orders_from_an_address(self, fresh_url: str, start: Any, events: object) -> None:
        async with limited(fresh_url, orders_per_address=TWO) as server:
            first, second = await start(server), await start(server)
            await first.register()
            await second.register()
            assert (await first.order("a.example.test")).status == 201
            assert (await second.order("a.example.test")).status == 201
            wait = refused(await first.order("a.example.test"))
            await later(server, first, wait)
            assert (await first.order("a.example.test")).status == 201

    async def test_orders_under_an_external_account_key(
        self, fresh_url: str, start: Any, events: object
    ) -> None:
        async with limited(fresh_url, orders_per_external_account=TWO) as server:
            kid = await server.external_key(reusable=True)
            first, second = await start(server), await start(server)
            await bind(first, kid)
            await bind(second, kid)
            assert (await first.order("a.example.test")).status == 201
            assert (await second.order("a.example.test")).status == 201
            wait = refused(await first.order("a.example.test"))
            plain = await another(server, first)
            await plain.register()
            assert (await plain.order("a.example.test")).status == 201
            await later(server, first, wait)
            assert (await first.order("a.example.test")).status == 201

    async def test_accounts_from_an_address(self, fresh_url: str, start: Any, events: object) -> None:
        async with limited(fresh_url, accounts_per_address=TWO) as server:
            clients = [await start(server) for _ in range(3)]
            for client in clients[:2]:
                assert (await client.register()).status == 201
            before = rows(fresh_url)
            wait = refused(await clients[2].register())
            assert rows(fresh_url) == before
            assert (await clients[0].register()).status == 200  # finding one's own costs nothing
            await later(server, clients[2], wait)
            assert (await clients[2].register()).status == 201

    @pytest.mark.parametrize("name", ["a.example.test", "*.a.example.test"])
    async def test_failed_validations(self, fresh_url: str, start: Any, events: object, name: str) -> None:
        """Of a name by an account; a wildcard is proved where its base name is."""
        method = "dns-01" if name.startswith("*.") else "http-01"
        async with limited(fresh_url, failed_validations=TWO) as server:
            client = await start(server)
            await client.register()
            for _ in range(2):
                order = (await client.order(name)).json
                challenge = await client.challenge(order["authorizations"][0], method)
                assert (await client.post(challenge["url"], {})).json["status"] == "invalid"
            wait = refused(await client.order("b.example.test", name))
            assert (await client.order("b.example.test")).status == 201
            await later(server, client, wait)
            assert (await client.order(name)).status == 201

    async def test_another_process_and_the_next_one_know_them(
        self, fresh_url: str, start: Any, events: object
    ) -> None:
        async with limited(fresh_url, orders_per_account=TWO) as server:
            client = await start(server)
            await client.register()
            for _ in range(2):
                await client.order("a.example.test")
            account = AccountId(str(client.kid).rpartition("/")[2])
            database = await open_database(fresh_url, upgrade=False)
            try:
                with pytest.raises(RateLimited):
                    await database.write(
                        lambda tx: rate_limits.take(
                            tx, TWO, "orders by this account", account, server.world.now
                        )
                    )
            finally:
                await database.close()

    async def test_what_is_refused_for_another_reason_costs_nothing(
        self, fresh_url: str, start: Any, events: object
    ) -> None:
        async with limited(fresh_url, orders_per_account=TWO, orders_per_address=TWO) as server:
            client = await start(server)
            await client.register()
            for _ in range(5):
                assert (await client.order("-.test")).status == 400
                assert (await client.order("a.test", notAfter="2020-01-01T00:00:00Z")).status == 400
            for _ in range(2):
                assert (await client.order("a.example.test")).status == 201
