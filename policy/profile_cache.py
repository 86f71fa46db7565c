"""Reading profiles from the database: whole and as written, or not at all."""

import hashlib
from typing import Final, NamedTuple

from policy.profiles import Profile, ProfileRefused, from_json
from store import profiles
from store.database import Transaction
from store.ids import ProfileName
from store.records import ProfileVersion

_MOST: Final = 1000


class ProfileUnreadable(Exception):
    """There is no such profile in force, or it cannot be read: nothing may be issued under it."""


class Held(NamedTuple):
    """A version that stays in force until the transaction `tx` ends, and what it says."""

    tx: Transaction
    version: ProfileVersion
    profile: Profile


class ProfileCache:
    """Parsed profile versions. A version never changes, so what was read once need not be read again.

    Which version is in force is asked anew each time.
    """

    def __init__(self) -> None:
        self._parsed: dict[tuple[str, int, str], Profile] = {}
        self._pinned: dict[tuple[str, int], tuple[ProfileVersion, Profile]] = {}

    async def current(self, tx: Transaction, name: ProfileName) -> tuple[ProfileVersion, Profile]:
        """The version in force, and what it says; ProfileUnreadable otherwise."""
        version = await profiles.current(tx, name)
        if version is None:
            raise ProfileUnreadable(f'there is no profile "{name}"')
        return version, self.read(version)

    async def held(self, tx: Transaction, name: ProfileName) -> Held:
        """As `current`; nobody can put another version in force before the transaction ends."""
        version = await profiles.hold(tx, name)
        if version is None:
            raise ProfileUnreadable(f'there is no profile "{name}"')
        return Held(tx, version, self.read(version))

    async def pinned(self, tx: Transaction, name: ProfileName, number: int) -> tuple[ProfileVersion, Profile]:
        """One version, in force or not, and what it says; ProfileUnreadable otherwise.

        Remembered by its number, so not for a unit of work that writes versions: what that has read may be undone,
        and another version get the number. Such a one asks `again`.
        """
        known = self._pinned.get((name, number))
        if known is None:
            known = await self.again(tx, name, number)
            if len(self._pinned) >= _MOST:
                self._pinned.clear()
            self._pinned[name, number] = known
        return known

    async def again(self, tx: Transaction, name: ProfileName, number: int) -> tuple[ProfileVersion, Profile]:
        """As `pinned`, read in this transaction and not remembered by its number."""
        version = await profiles.get(tx, name, number)
        if version is None:
            raise ProfileUnreadable(f'there is no version {number} of profile "{name}"')
        return version, self.read(version)

    def read(self, version: ProfileVersion) -> Profile:
        """What `version` says, after checking that it is what was written; ProfileUnreadable otherwise."""
        key = version.name, version.version, version.digest
        known = self._parsed.get(key)
        if known is not None:
            return known
        if hashlib.sha256(version.definition.encode()).hexdigest() != version.digest:
            raise ProfileUnreadable(f'version {version.version} of profile "{version.name}" was altered')
        try:
            profile = from_json(version.definition.encode())
        except ProfileRefused as error:
            raise ProfileUnreadable(
                f'version {version.version} of profile "{version.name}" cannot be read: {error}'
            ) from error
        if (
            profile.name != version.name
            or profile.requires_approval != version.requires_approval
            or (profile.approval.approvers if profile.approval else 0) != version.approvers
        ):
            raise ProfileUnreadable(
                f'version {version.version} of profile "{version.name}" contradicts its own row'
            )
        if len(self._parsed) >= _MOST:
            self._parsed.clear()
        self._parsed[key] = profile
        return profile
