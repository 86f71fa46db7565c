"""Requests and a worker at a real CA directory, for commands to look at: no server needs to run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ca.csr import parse_csr
from ca.names import parse_identifier
from policy.enrollment import Enrollment, Gate, Refusal, Requester, Submitted
from policy.profile_cache import ProfileCache
from servers.app import Node, build_node
from servers.settings import load_settings
from store import clock, principals
from store.ids import PrincipalId, ProfileName, new_id
from store.open import open_database
from store.records import Principal, PrincipalKind
from tests.common.ca_process import Directory
from tests.common.world import make_csr

T = TypeVar("T")


def at(directory: Directory, work: Callable[[Node], Awaitable[T]]) -> T:
    """What `work` returns, done with the parts of a node at this directory."""

    async def run() -> T:
        settings = load_settings(directory.path, {})
        database = await open_database(settings.database_url, upgrade=False)
        node = await build_node(settings, database, workers=True)
        try:
            return await work(node)
        finally:
            await node.close()

    return asyncio.run(run())


def ask(directory: Directory, *names: str, profile: str = "gated", line: str | None = None) -> Submitted:
    """A machine's request for DNS names; `line` is a principal that stands in its line."""

    async def work(node: Node) -> Submitted:
        now = clock.now()
        machine = Principal(
            PrincipalId(new_id(now)), f"m{new_id(now)}", PrincipalKind.MACHINE, now, None, None
        )
        await node.database.write(lambda tx: principals.insert(tx, machine))
        behind: frozenset[PrincipalId] = frozenset()
        if line is not None:
            found = await node.database.read(lambda tx: principals.find(tx, line))
            assert found is not None
            behind = frozenset({found.id})
        identifiers = frozenset(parse_identifier("dns", name) for name in names)
        enrollment = Enrollment(ProfileName(profile), parse_csr(make_csr(*names)), identifiers)
        gate = Gate(ProfileCache())
        outcome = await node.database.write(
            lambda tx: gate.submit(
                tx, Requester(machine.id, "test", behind, source="192.0.2.1"), enrollment, now
            )
        )
        assert not isinstance(outcome, Refusal), outcome
        return outcome

    return at(directory, work)


def carry_out(directory: Directory) -> int:
    """Let a worker take its turn; how many jobs it did."""

    async def work(node: Node) -> int:
        assert node.worker is not None
        return await node.worker.turn()

    return at(directory, work)


def issue(directory: Directory, *names: str) -> str:
    """The serial of a new certificate, under the profile that asks nobody."""
    ask(directory, *names, profile="default")
    assert carry_out(directory) == 1
    found = directory.ok("certificate", "list", "--name", names[0])
    return str(found[0]["serial"])
