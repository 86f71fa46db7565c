"""Profiles: immutable versions, and which one is in force."""

from typing import Final

from sqlalchemy import and_, bindparam, func, null, select, update

from store.clock import Millis
from store.database import Row, Transaction
from store.ids import ProfileName
from store.records import ProfileVersion
from store.schema import profile_versions, profiles
from store.statements import Statement, columns_of, insert_row, select_by

_INSERT_VERSION: Final = insert_row(profile_versions)
_INSERT: Final = insert_row(profiles)
_VERSION: Final = select_by(ProfileVersion, profile_versions, "name", "version")
_IN_FORCE: Final = (
    select(*columns_of(ProfileVersion, profile_versions))
    .join(
        profiles,
        and_(
            profiles.c.name == profile_versions.c.name,
            profiles.c.version == profile_versions.c.version,
        ),
    )
    .where(profiles.c.deleted_at.is_(null()))
)
_CURRENT: Final = Statement(_IN_FORCE.where(profiles.c.name == bindparam("name")))
_HELD: Final = Statement(
    _IN_FORCE.where(profiles.c.name == bindparam("name")).with_for_update(read=True, of=profiles)
)
_ALL: Final = Statement(_IN_FORCE.order_by(profiles.c.name))
_HISTORY: Final = Statement(
    select(*columns_of(ProfileVersion, profile_versions))
    .where(profile_versions.c.name == bindparam("name"))
    .order_by(profile_versions.c.version)
)
_LATEST: Final = Statement(
    select(func.coalesce(func.max(profile_versions.c.version), 0)).where(
        profile_versions.c.name == bindparam("name")
    )
)
_MOVE: Final = Statement(
    update(profiles)
    .where(profiles.c.name == bindparam("key"))
    .values(version=bindparam("to_version"), updated_at=bindparam("at"), deleted_at=null())
)
_DELETE: Final = Statement(
    update(profiles)
    .where(profiles.c.name == bindparam("key"), profiles.c.deleted_at.is_(null()))
    .values(deleted_at=bindparam("at"), updated_at=bindparam("at"))
)


async def insert_version(tx: Transaction, version: ProfileVersion) -> None:
    """Add `version` and put it in force. The database wants versions in order, and a job behind each change."""
    await tx.execute(
        _INSERT_VERSION,
        name=version.name,
        version=version.version,
        definition=version.definition,
        digest=version.digest,
        requires_approval=version.requires_approval,
        approvers=version.approvers,
        created_at=version.created_at,
        created_by=version.created_by,
    )
    if version.version == 1:
        await tx.execute(
            _INSERT, name=version.name, version=1, updated_at=version.created_at, deleted_at=None
        )
    else:
        await tx.execute(_MOVE, key=version.name, to_version=version.version, at=version.created_at)


async def delete(tx: Transaction, name: ProfileName, at: Millis) -> bool:
    """Take the profile out of force; whether it was. Its versions stay: jobs and certificates name them."""
    return await tx.execute(_DELETE, key=name, at=at) == 1


async def current(tx: Transaction, name: ProfileName) -> ProfileVersion | None:
    """The version in force; None when there is no such profile or it was deleted."""
    return _version(await tx.one(_CURRENT, name=name))


async def hold(tx: Transaction, name: ProfileName) -> ProfileVersion | None:
    """As `current`, and it stays in force until the transaction ends."""
    return _version(await tx.one(_HELD, name=name))


async def get(tx: Transaction, name: ProfileName, version: int) -> ProfileVersion | None:
    """One version, in force or not."""
    return _version(await tx.one(_VERSION, name=name, version=version))


async def latest_number(tx: Transaction, name: ProfileName) -> int:
    """The number of the newest version there ever was, 0 for none."""
    row = await tx.one(_LATEST, name=name)
    return int(row[0]) if row else 0


async def every(tx: Transaction) -> list[ProfileVersion]:
    """All versions in force, by name."""
    return [found for row in await tx.all(_ALL) if (found := _version(row))]


async def history(tx: Transaction, name: ProfileName) -> list[ProfileVersion]:
    """Every version of one profile, oldest first."""
    return [found for row in await tx.all(_HISTORY, name=name) if (found := _version(row))]


def _version(row: Row | None) -> ProfileVersion | None:
    if row is None:
        return None
    name, version, definition, digest, requires_approval, approvers, at, by = row
    return ProfileVersion(
        name,
        version,
        definition,
        digest,
        bool(requires_approval),
        approvers,
        at,
        by,
    )
