"""Principals, the roles they hold and the credentials that stand for them."""

import hashlib
from typing import Final

from sqlalchemy import bindparam, delete, null, or_, select, update

from store.clock import Millis
from store.database import Row, Transaction
from store.ids import PrincipalId
from store.records import Credential, Principal, PrincipalKind
from store.schema import credentials, principal_roles, principals
from store.statements import Statement, columns_of, insert_row, select_by

_INSERT: Final = insert_row(principals)
_BY_ID: Final = select_by(Principal, principals, "id")
_BY_NAME: Final = select_by(Principal, principals, "name")
_GRANT: Final = insert_row(principal_roles)
_WITHDRAW: Final = Statement(
    delete(principal_roles).where(
        principal_roles.c.principal_id == bindparam("principal_id"),
        principal_roles.c.role == bindparam("role"),
    )
)
_ROLES: Final = Statement(
    select(principal_roles.c.role).where(principal_roles.c.principal_id == bindparam("principal_id"))
)
_DISABLE: Final = Statement(
    update(principals)
    .where(principals.c.id == bindparam("key"), principals.c.disabled_at.is_(null()))
    .values(disabled_at=bindparam("at"))
)
_INSERT_CREDENTIAL: Final = insert_row(credentials)
_CREDENTIAL: Final = select_by(Credential, credentials, "id")
_REVOKE_CREDENTIAL: Final = Statement(
    update(credentials)
    .where(credentials.c.id == bindparam("key"), credentials.c.revoked_at.is_(null()))
    .values(revoked_at=bindparam("at"))
)
_AUTHENTICATE: Final = Statement(
    select(*columns_of(Principal, principals))
    .join(credentials, credentials.c.principal_id == principals.c.id)
    .where(
        credentials.c.secret_sha256 == bindparam("secret_sha256"),
        credentials.c.revoked_at.is_(null()),
        principals.c.disabled_at.is_(null()),
        or_(credentials.c.expires_at.is_(null()), credentials.c.expires_at > bindparam("now")),
    )
)


async def insert(tx: Transaction, principal: Principal, roles: tuple[str, ...] = ()) -> None:
    """Add a principal with its first roles. Names are unique; the database refuses a second."""
    await tx.execute(
        _INSERT,
        id=principal.id,
        name=principal.name,
        kind=principal.kind.value,
        created_at=principal.created_at,
        created_by=principal.created_by,
        disabled_at=principal.disabled_at,
    )
    for role in roles:
        await grant(tx, principal.id, role)


async def get(tx: Transaction, principal_id: PrincipalId) -> Principal | None:
    """The principal of that id."""
    return _principal(await tx.one(_BY_ID, id=principal_id))


async def find(tx: Transaction, name: str) -> Principal | None:
    """The principal of that name."""
    return _principal(await tx.one(_BY_NAME, name=name))


async def roles(tx: Transaction, principal_id: PrincipalId) -> frozenset[str]:
    """The roles that it holds."""
    return frozenset(row[0] for row in await tx.all(_ROLES, principal_id=principal_id))


async def grant(tx: Transaction, principal_id: PrincipalId, role: str) -> None:
    """Give a role. The database refuses `approver` to a machine."""
    await tx.execute(_GRANT, principal_id=principal_id, role=role)


async def withdraw(tx: Transaction, principal_id: PrincipalId, role: str) -> bool:
    """Take a role; whether it was held."""
    return await tx.execute(_WITHDRAW, principal_id=principal_id, role=role) == 1


async def disable(tx: Transaction, principal_id: PrincipalId, at: Millis) -> bool:
    """End all that it may do; whether that was not so already."""
    return await tx.execute(_DISABLE, key=principal_id, at=at) == 1


async def insert_credential(tx: Transaction, credential: Credential, secret: str) -> None:
    """Add a credential. Of `secret` (at least 128 bits of chance) only the SHA-256 is kept."""
    await tx.execute(
        _INSERT_CREDENTIAL,
        id=credential.id,
        principal_id=credential.principal_id,
        secret_sha256=_digest(secret),
        prefix=credential.prefix,
        created_at=credential.created_at,
        created_by=credential.created_by,
        expires_at=credential.expires_at,
        revoked_at=credential.revoked_at,
    )


async def get_credential(tx: Transaction, credential_id: str) -> Credential | None:
    """The credential of that id."""
    row = await tx.one(_CREDENTIAL, id=credential_id)
    return None if row is None else Credential(*row)


async def revoke_credential(tx: Transaction, credential_id: str, at: Millis) -> bool:
    """End a credential; whether it was still good."""
    return await tx.execute(_REVOKE_CREDENTIAL, key=credential_id, at=at) == 1


async def authenticate(tx: Transaction, secret: str, now: Millis) -> Principal | None:
    """Whom `secret` stands for, if it still stands for anybody.

    Looked up by digest: the time it takes tells nothing about the secret itself.
    """
    return _principal(await tx.one(_AUTHENTICATE, secret_sha256=_digest(secret), now=now))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _principal(row: Row | None) -> Principal | None:
    if row is None:
        return None
    key, name, kind, created_at, created_by, disabled_at = row
    return Principal(key, name, PrincipalKind(kind), created_at, created_by, disabled_at)
