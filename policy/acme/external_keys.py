"""Making and ending external account keys (RFC 8555 section 7.3.4). How they are used: `policy.acme.external_accounts`."""

import json

from policy.acme.external_accounts import parse_pattern
from policy.enrollment import withdraw
from policy.profile_cache import ProfileCache
from store import acme_accounts, acme_orders, audit
from store.audit import AuditEvent
from store.clock import Millis
from store.database import Transaction
from store.ids import PrincipalId, ProfileName
from store.records import ExternalAccountKey


class NoSuchKey(LookupError):
    """There is no external account key of that id, or it has ended."""


def purpose(kid: str) -> str:
    """What a key is sealed for: its own id, so that no row can be given another's key."""
    return f"eab:{kid}"


async def create(
    tx: Transaction,
    kid: str,
    sealed_key: bytes,
    *,
    name: str,
    profile: ProfileName | None,
    patterns: tuple[str, ...],
    reusable: bool,
    expires_at: Millis | None,
    by: PrincipalId,
    now: Millis,
    cache: ProfileCache,
) -> ExternalAccountKey:
    """A new key. Who makes it stands in the line of all that its accounts ask for.

    Raises PatternRefused, ProfileUnreadable for a profile that is not there.
    """
    if profile is not None:
        await cache.current(tx, profile)
    canonical = [parse_pattern(pattern) for pattern in patterns]
    key = ExternalAccountKey(
        kid=kid,
        name=name,
        sealed_key=sealed_key,
        reusable=reusable,
        profile=profile,
        name_patterns=json.dumps(canonical, separators=(",", ":")),
        created_by=by,
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
        used_at=None,
    )
    await acme_accounts.insert_external_key(tx, key)
    await audit.append(
        tx,
        now,
        by,
        AuditEvent.EAB_KEY_CREATED,
        kid,
        name=name,
        profile=profile,
        patterns=canonical,
        reusable=reusable,
        expires_at=expires_at,
    )
    return key


async def revoke(tx: Transaction, kid: str, by: PrincipalId, now: Millis) -> None:
    """End a key: accounts that it vouched for get nothing more under it. Raises NoSuchKey."""
    if not await acme_accounts.revoke_external_key(tx, kid, now):
        raise NoSuchKey(f"there is no external account key {kid}, or it was revoked already")
    await audit.append(tx, now, by, AuditEvent.EAB_KEY_REVOKED, kid)
    for job_id in await acme_orders.waiting_jobs_under(tx, kid):
        await withdraw(tx, job_id, by, now, "the external account key behind the account was revoked")
