"""Principals and their tokens: made, given and taken, always on the record.

A token is handed in by the caller, who shows it once; here it only becomes a digest.
"""

import re
from typing import Final

from policy.access import ADMIN, RoleRefused, check_may_hold
from policy.approvals import circle
from policy.profile_cache import ProfileCache, ProfileUnreadable
from store import audit, listings, principals, profiles
from store.audit import AuditEvent
from store.clock import Millis
from store.database import Transaction
from store.ids import CredentialId, PrincipalId, new_id
from store.records import Credential, Principal, PrincipalKind

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,62}", re.ASCII)
SYSTEM: Final = PrincipalId("system")


class NoSuchPrincipal(LookupError):
    """There is no principal of that name, or no token of that id."""


class PrincipalRefused(ValueError):
    """The principal cannot be made, or must stay as it is; the message says why."""


async def find(tx: Transaction, name: str) -> Principal:
    """The principal of that name. Raises NoSuchPrincipal."""
    found = await principals.find(tx, name)
    if found is None:
        raise NoSuchPrincipal(f'there is no principal "{name}"')
    return found


async def create(
    tx: Transaction,
    name: str,
    kind: PrincipalKind,
    roles: tuple[str, ...],
    by: PrincipalId,
    now: Millis,
    cache: ProfileCache,
) -> Principal:
    """A new principal with `roles`. Raises PrincipalRefused, RoleRefused."""
    if not _NAME.fullmatch(name):
        raise PrincipalRefused(
            f"{name!r}: a name has up to 63 lower-case letters, digits and . _ @ + -, and begins with a letter or digit"
        )
    if await principals.find(tx, name) is not None:
        raise PrincipalRefused(f'there is a principal "{name}" already')
    principal = Principal(PrincipalId(new_id(now)), name, kind, now, by, None)
    await principals.insert(tx, principal)
    await audit.append(tx, now, by, AuditEvent.PRINCIPAL_CREATED, principal.id, name=name, kind=kind.value)
    for role in dict.fromkeys(roles):
        await grant(tx, principal, role, by, now, cache)
    return principal


async def grant(
    tx: Transaction, principal: Principal, role: str, by: PrincipalId, now: Millis, cache: ProfileCache
) -> None:
    """Give `principal` a role. Raises RoleRefused."""
    check_may_hold(principal.kind, role, await circles(tx, cache))
    if role in await principals.roles(tx, principal.id):
        raise RoleRefused(f'{principal.name} holds "{role}" already')
    await principals.grant(tx, principal.id, role)
    await audit.append(tx, now, by, AuditEvent.ROLE_GRANTED, principal.id, role=role)


async def withdraw(tx: Transaction, principal: Principal, role: str, by: PrincipalId, now: Millis) -> None:
    """Take a role. Raises RoleRefused, PrincipalRefused for the last admin's."""
    if not await principals.withdraw(tx, principal.id, role):
        raise RoleRefused(f'{principal.name} does not hold "{role}"')
    await _keep_an_admin(tx)
    await audit.append(tx, now, by, AuditEvent.ROLE_WITHDRAWN, principal.id, role=role)


async def disable(tx: Transaction, principal: Principal, by: PrincipalId, now: Millis) -> None:
    """End all that `principal` may do, for good. Raises PrincipalRefused."""
    if principal.id == SYSTEM:
        raise PrincipalRefused("system is the server itself")
    if not await principals.disable(tx, principal.id, now):
        raise PrincipalRefused(f"{principal.name} is disabled already")
    await _keep_an_admin(tx)
    await audit.append(tx, now, by, AuditEvent.PRINCIPAL_DISABLED, principal.id)


async def give_token(
    tx: Transaction,
    principal: Principal,
    token: str,
    shown: str,
    expires_at: Millis | None,
    by: PrincipalId,
    now: Millis,
) -> Credential:
    """Let `token` stand for `principal`; `shown` are the characters of it that lists show. Raises PrincipalRefused."""
    if principal.disabled_at is not None:
        raise PrincipalRefused(f"{principal.name} is disabled")
    if principal.id == SYSTEM:
        raise PrincipalRefused("system is the server itself: nothing else acts in its name")
    credential = Credential(CredentialId(new_id(now)), principal.id, shown, now, by, expires_at, None)
    await principals.insert_credential(tx, credential, token)
    await audit.append(
        tx,
        now,
        by,
        AuditEvent.CREDENTIAL_CREATED,
        credential.id,
        principal=principal.id,
        expires_at=expires_at,
    )
    return credential


async def revoke_token(tx: Transaction, credential_id: str, by: PrincipalId, now: Millis) -> None:
    """End a token. Raises NoSuchPrincipal, PrincipalRefused if it has ended."""
    credential = await principals.get_credential(tx, credential_id)
    if credential is None:
        raise NoSuchPrincipal(f"there is no token {credential_id}")
    if not await principals.revoke_credential(tx, credential_id, now):
        raise PrincipalRefused(f"the token {credential_id} has ended already")
    await audit.append(
        tx, now, by, AuditEvent.CREDENTIAL_REVOKED, credential_id, principal=credential.principal_id
    )


async def circles(tx: Transaction, cache: ProfileCache) -> frozenset[str]:
    """The roles and groups that profiles in force name as their approvers."""
    found: set[str] = set()
    for version in await profiles.every(tx):
        try:
            rules = cache.read(version).approval
        except ProfileUnreadable:
            continue
        if rules is not None:
            found.add(circle(rules))
    return frozenset(found)


async def _keep_an_admin(tx: Transaction) -> None:
    if await listings.active_holders(tx, ADMIN) == 0:
        raise PrincipalRefused("nobody would be admin any more: make somebody else admin first")
