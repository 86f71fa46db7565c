"""What the cache of profiles remembers, and what it asks anew each time."""

from collections.abc import AsyncIterator
from typing import Never

import pytest

from policy import profile_changes
from policy.profile_cache import ProfileCache, ProfileUnreadable
from policy.profiles import DEFAULT, Profile
from store import profiles
from store.database import Transaction
from store.ids import ProfileName
from tests.common.world import World, make_world

NAME = ProfileName("default")
TIGHTER = DEFAULT.model_copy(update={"description": "tighter"})
OTHER = DEFAULT.model_copy(update={"description": "another"})


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as made:
        yield made


class Undone(Exception):
    """The unit of work is to leave nothing."""


async def test_a_pinned_version_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await world.write(lambda tx: world.cache.pinned(tx, NAME, 1))

    async def never(*_: object) -> Never:
        raise AssertionError("it was read again")

    monkeypatch.setattr(profiles, "get", never)
    assert await world.write(lambda tx: world.cache.pinned(tx, NAME, 1)) is first


async def test_what_is_in_force_is_asked_each_time(world: World) -> None:
    await world.write(lambda tx: world.cache.pinned(tx, NAME, 1))
    await world.put_profile(TIGHTER)
    version, profile = await world.write(lambda tx: world.cache.current(tx, NAME))
    assert (version.version, profile.description) == (2, "tighter")
    _, before = await world.write(lambda tx: world.cache.pinned(tx, NAME, 1))
    assert before == DEFAULT


async def test_a_version_that_was_undone_is_not_remembered(world: World) -> None:
    """The number goes to another version then."""

    async def change(tx: Transaction, to: Profile) -> None:
        await profile_changes.propose(tx, NAME, to, world.people["admin"].id, world.now, world.cache)

    async def undone(tx: Transaction) -> None:
        await change(tx, TIGHTER)
        await change(tx, TIGHTER)  # looks at what it is about to replace
        raise Undone

    with pytest.raises(Undone):
        await world.write(undone)
    await world.write(lambda tx: change(tx, OTHER))
    _, profile = await world.write(lambda tx: world.cache.pinned(tx, NAME, 2))
    assert profile.description == "another"


async def test_a_version_that_does_not_exist_is_not_remembered_either(world: World) -> None:
    cache = ProfileCache()
    with pytest.raises(ProfileUnreadable, match="no version 2"):
        await world.write(lambda tx: cache.pinned(tx, NAME, 2))
    await world.put_profile(TIGHTER)
    version, _ = await world.write(lambda tx: cache.pinned(tx, NAME, 2))
    assert version.version == 2
