"""Issuers that come after the start: a running server serves what others sign with them."""

from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.certificate import Issuer
from ca.signer import Signer
from policy.worker import Worker
from servers.authorities import Chains
from store import issuers
from store.ids import IssuerName
from store.jobs import ClaimedJob
from store.records import IssuerRecord
from tests.common.acme_client import AcmeClient
from tests.common.acme_server import make_acme_server
from tests.common.world import World, make_csr, make_issuer, make_world
from tests.servers.acme.steps import ordered, profile


async def add(world: World, issuer: Issuer, *above: x509.Certificate) -> None:
    """The row of an issuer, whose chain ends with `above`."""
    der = issuer.certificate.public_bytes(Encoding.DER)
    chain = b"".join(link.public_bytes(Encoding.PEM) for link in (*issuer.chain, *above)).decode()
    record = IssuerRecord(IssuerName(issuer.name), der, chain, f"{issuer.name}.key", world.now)
    await world.write(lambda tx: issuers.insert(tx, record))


def worker_of(world: World, issuer: Issuer, key: Any) -> Worker:
    """A worker, as in another process, that has the key of this issuer alone."""
    signers = {IssuerName(issuer.name): Signer(issuer, key, ClaimedJob)}
    return Worker(world.database, signers, world.cache, "elsewhere", lambda: world.now)


async def test_a_certificate_of_an_issuer_that_came_later_is_served_with_its_chain(database_url: str) -> None:
    async with make_acme_server(database_url, worker=False) as server, aiohttp.ClientSession() as session:
        late, key = make_issuer("late")
        await add(server.world, late)
        await server.put_profile(profile("late", issuer="late"))
        client = await AcmeClient(session, server.directory_of("late")).start()
        await client.register()
        order = await ordered(server, client, "a.example.test")
        await client.finalize(order, make_csr("a.example.test"))
        while await worker_of(server.world, late, key).turn():
            pass
        done = (await client.post(order["url"])).json
        answer = await client.post(done["certificate"])
        assert answer.status == 200, answer.body
        leaf, *chain = x509.load_pem_x509_certificates(answer.body)
        leaf.verify_directly_issued_by(late.certificate)
        assert chain == [late.certificate]


async def test_the_root_is_left_out_and_the_database_asked_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_world(database_url) as world:
        late, _ = make_issuer("late")
        root = make_issuer("root")[0].certificate
        await add(world, late, root)
        chains = Chains(world.database)
        assert await chains.of("late") == late.chain_pem
        assert await chains.of("issuing") == world.issuer.chain_pem
        monkeypatch.setattr(world.database, "read", None)
        assert await chains.of("late") == late.chain_pem
