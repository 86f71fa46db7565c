"""ACME accounts (RFC 8555 section 7.3): each is a principal of its own, a machine."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from policy import rate_limits
from policy.acme import external_accounts
from policy.acme.limits import AcmeLimits, bucket_of_address
from policy.acme.refusals import (
    AccountEnded,
    ContactRefused,
    ContactUnsupported,
    ExternalAccountRefused,
    KeyNotFresh,
    KeyTaken,
)
from policy.enrollment import withdraw
from store import acme_accounts, acme_orders, audit, certificates, principals
from store.audit import AuditEvent
from store.clock import Millis
from store.database import Transaction
from store.ids import AccountId, PrincipalId, ProfileName, new_id
from store.records import Account, AccountStatus, Principal, PrincipalKind

MAX_CONTACTS: Final = 10
_MAX_CONTACT: Final = 320
# RFC 6068 addr-spec without headers, comments or a list: what an operator could write to.
_MAILTO: Final = re.compile(
    r"mailto:[^\s@,?%<>()\[\];:\\\"]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", re.ASCII
)


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """An account key as the tables know it: canonical JWK, RFC 7638 thumbprint, SHA-256 of its SPKI (hex)."""

    thumbprint: str
    jwk: str
    spki_sha256: str


def check_contacts(contacts: Sequence[str]) -> str:
    """`contacts` as stored. Raises ContactUnsupported for other schemes, ContactRefused for bad addresses."""
    if len(contacts) > MAX_CONTACTS:
        raise ContactRefused(f"at most {MAX_CONTACTS} contacts")
    for contact in contacts:
        if not contact.lower().startswith("mailto:"):
            raise ContactUnsupported("only mailto: contacts are supported, as in mailto:admin@example.org")
        if len(contact) > _MAX_CONTACT or not _MAILTO.fullmatch(contact):
            raise ContactRefused("a contact is mailto: and one plain address, as in mailto:admin@example.org")
    return json.dumps(list(contacts), separators=(",", ":"))


async def find_or_create(
    tx: Transaction,
    key: KeyMaterial,
    contacts: str,
    *,
    terms_agreed: bool,
    external_kid: str | None,
    profile: ProfileName,
    source: str,
    limits: AcmeLimits,
    now: Millis,
) -> tuple[Account, bool]:
    """The account of this key, and whether it was made now. The binding, if any, was verified; here it is spent.

    `profile` is the one whose directory the client came by. Raises ExternalAccountRefused, KeyNotFresh, RateLimited.
    """
    found = await acme_accounts.find(tx, key.thumbprint)
    if found is not None:
        return found, False
    try:
        await _check_fresh(tx, key, None)
    except KeyTaken as error:
        # Since the last statement: two requests with one new key came at the same moment.
        found = await acme_accounts.get(tx, AccountId(error.account_id))
        assert found is not None
        return found, False
    address = bucket_of_address(source)
    await rate_limits.take(tx, limits.accounts_per_address, "new accounts from this address", address, now)
    if external_kid is not None:
        await external_accounts.usable(tx, external_kid, profile, now)
        if not await acme_accounts.use_external_key(tx, external_kid, now):
            raise ExternalAccountRefused(
                "the external account key was good for one account and has been used"
            )
    return await _insert(tx, key, contacts, terms_agreed, external_kid, source, now), True


async def _insert(
    tx: Transaction,
    key: KeyMaterial,
    contacts: str,
    terms_agreed: bool,
    external_kid: str | None,
    source: str,
    now: Millis,
) -> Account:
    account_id = AccountId(new_id(now))
    principal = Principal(
        PrincipalId(new_id(now)), f"acme:{account_id}", PrincipalKind.MACHINE, now, None, None
    )
    account = Account(
        id=account_id,
        principal_id=principal.id,
        thumbprint=key.thumbprint,
        jwk=key.jwk,
        status=AccountStatus.VALID,
        contacts=contacts,
        terms_agreed=terms_agreed,
        eab_kid=external_kid,
        created_at=now,
        updated_at=now,
    )
    await principals.insert(tx, principal)
    await acme_accounts.insert(tx, account, key.spki_sha256)
    await audit.append(
        tx,
        now,
        principal.id,
        AuditEvent.ACCOUNT_CREATED,
        account_id,
        thumbprint=key.thumbprint,
        external_key=external_kid,
        source=source,
    )
    return account


async def confirm(tx: Transaction, account: Account) -> None:
    """Return if `account` still is what the front end took it for, and so until the transaction ends.

    Raises AccountEnded.
    """
    if await acme_accounts.hold(tx, account.id) != (AccountStatus.VALID, account.thumbprint):
        raise AccountEnded("the account was deactivated, or its key has just been changed")


async def update(tx: Transaction, account: Account, contacts: str, now: Millis) -> Account:
    """The account with new contacts (RFC 8555 section 7.3.2). Raises AccountEnded."""
    agreed = account.terms_agreed
    if not await acme_accounts.set_contacts(tx, account.id, contacts, terms_agreed=agreed, now=now):
        raise AccountEnded("the account was deactivated")
    await audit.append(tx, now, account.principal_id, AuditEvent.ACCOUNT_UPDATED, account.id)
    return await _again(tx, account)


async def deactivate(
    tx: Transaction, account: Account, now: Millis, *, by: PrincipalId | None = None
) -> Account:
    """End the account for good, and what its orders still waited for (RFC 8555 section 7.3.6). Raises AccountEnded.

    Its certificates stay what they are.
    """
    to = AccountStatus.DEACTIVATED if by is None else AccountStatus.REVOKED
    if not await acme_accounts.end(tx, account.id, to, now):
        raise AccountEnded("the account was deactivated")
    who = by or account.principal_id
    await audit.append(tx, now, who, AuditEvent.ACCOUNT_DEACTIVATED, account.id, status=to.value)
    for job_id in await acme_orders.waiting_jobs(tx, account.id):
        await withdraw(tx, job_id, who, now, f"the account was {to}")
    return await _again(tx, account)


async def change_key(tx: Transaction, account: Account, key: KeyMaterial, now: Millis) -> Account:
    """The account under a new key (RFC 8555 section 7.3.5). Raises KeyTaken, KeyNotFresh, AccountEnded."""
    holder = await acme_accounts.find(tx, key.thumbprint)
    if holder is not None:
        raise KeyTaken(holder.id)
    await _check_fresh(tx, key, account)
    if not await acme_accounts.change_key(tx, account, key.thumbprint, key.jwk, key.spki_sha256, now):
        raise AccountEnded("the account was deactivated, or its key has just been changed")
    await audit.append(
        tx, now, account.principal_id, AuditEvent.ACCOUNT_KEY_CHANGED, account.id, thumbprint=key.thumbprint
    )
    return await _again(tx, account)


async def _check_fresh(tx: Transaction, key: KeyMaterial, account: Account | None) -> None:
    """Raise KeyTaken for a key that another account has, KeyNotFresh for one that it had, or a certificate has."""
    holder_id = await acme_accounts.holder_of_key(tx, key.spki_sha256)
    if holder_id is not None and (account is None or holder_id != account.id):
        holder = await acme_accounts.get(tx, holder_id)
        if holder is not None and holder.thumbprint == key.thumbprint:
            raise KeyTaken(holder.id)
        raise KeyNotFresh("another account had this key: make a new key for every account")
    if await certificates.key_used(tx, key.spki_sha256) or await certificates.blocked(tx, key.spki_sha256):
        raise KeyNotFresh("this key stands in a certificate, or is blocked: make a new key for the account")


async def _again(tx: Transaction, account: Account) -> Account:
    found = await acme_accounts.get(tx, account.id)
    assert found is not None
    return found
