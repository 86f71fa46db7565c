"""Which profiles ACME clients may use at all."""

from policy.acme.refusals import NotFound
from policy.profile_cache import Held, ProfileCache
from policy.profiles import Profile
from store import profiles
from store.database import Transaction
from store.ids import ProfileName
from store.records import ProfileVersion


async def offered(tx: Transaction, cache: ProfileCache, name: ProfileName) -> tuple[ProfileVersion, Profile]:
    """The version of the profile that is in force.

    Raises NotFound where there is none or it is not offered over ACME, ProfileUnreadable where it cannot be read.
    """
    return _offered(cache, name, await profiles.current(tx, name))


async def held(tx: Transaction, cache: ProfileCache, name: ProfileName) -> Held:
    """As `offered`, and it stays in force until the transaction ends."""
    return Held(tx, *_offered(cache, name, await profiles.hold(tx, name)))


def _offered(
    cache: ProfileCache, name: ProfileName, version: ProfileVersion | None
) -> tuple[ProfileVersion, Profile]:
    if version is None:
        raise NotFound(f"there is no profile {name}")
    profile = cache.read(version)
    if not profile.acme.enabled:
        raise NotFound(f"profile {name} is not offered over ACME")
    return version, profile
